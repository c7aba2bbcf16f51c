# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Bags of latents for tests: made up, or inferred from a bag without a node."""

from __future__ import annotations

import torch

from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.writer import BagWriter, rosbags_classes
from m2vae_ros.fusion.latent_message import (
    Latent,
    latent_to_message,
    LATENT_TYPE,
    sensors_mask,
)
from m2vae_ros.fusion.pipeline import Pipeline
from m2vae_ros.vae import checkpoint

TOPIC = '/fusion/latent'


def write_latents(path, latents, topic=TOPIC):
    """Write a bag of latents; return its path."""
    with BagWriter(path) as writer:
        writer.add_topic(topic, LATENT_TYPE)
        for latent in latents:
            writer.write(topic, latent.stamp_ns, latent_to_message(latent, rosbags_classes()))
    return path


def offline_latents(model_path, bag_path, topics):
    """Infer the latents of a bag, its receive times as the clock, on one thread of the CPU."""
    torch.set_num_threads(1)
    model = checkpoint.load(model_path).model
    pipeline = Pipeline(model, device='cpu')
    sets = []
    with Bag(bag_path) as bag:
        for topic, now_ns, message in bag.messages(list(topics)):
            sets += pipeline.receive(topics[topic], message, now_ns)
        while (deadline_ns := pipeline.next_deadline_ns) is not None:
            sets += pipeline.poll(deadline_ns)
    results = [pipeline.fuse(fused_set) for fused_set in sets]
    pipeline.close()
    return [
        Latent(
            result.stamp_ns, result.posterior.mean.numpy()[0],
            result.posterior.log_variance.numpy()[0], sensors_mask(result.sensors, model.names),
        )
        for result in results
    ]

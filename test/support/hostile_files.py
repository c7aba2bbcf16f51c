# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A small model file taken apart and put together wrongly, and how long loading it may take."""

from __future__ import annotations

from contextlib import contextmanager
import json
import resource
import time

import pytest

from m2vae_ros.specs import SensorSpec
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.header import METADATA_KEY
from m2vae_ros.vae.model import Architecture, M2VAE
from m2vae_ros.vae.weights_file import CheckpointError

SENSORS = (
    SensorSpec('camera', 'image', 'camera/image_raw', 'camera', (3, 4, 4)),
    SensorSpec('lidar', 'laser_scan', 'scan', 'laser', (8,), {
        'angle_min': -3.0, 'angle_max': 3.0, 'range_min': 0.1, 'range_max': 10.0,
    }),
)
MOST_BYTES = 500e6  # above what was there before
MOST_SECONDS = 10.0  # on a machine that does much else
LONG = 'x' * 2_000_000
ESCAPE = 'a\x1b]0;owned\x07\x1b[2J'


def small_model():
    return M2VAE(SENSORS, Architecture(latent_size=2, feature_size=4, hidden_size=4)).eval()


def content_of(model, path):
    """Return the file of a model."""
    header = checkpoint.describe(
        model, provenance={'seed': 3}, calibration={'temperature': {'camera': 2.0}})
    checkpoint.save(path, model, header)
    return path.read_bytes()


def parts(content):
    """Return the header's JSON, our JSON in it, and the weights."""
    start = 8 + int.from_bytes(content[:8], 'little')
    header = json.loads(content[8:start])
    return header, json.loads(header['__metadata__'][METADATA_KEY]), content[start:]


def joined(header, ours, weights):
    """Return the file; without a digest, which a stranger can make to fit."""
    text = ours if isinstance(ours, str) else json.dumps(ours)
    begin = json.dumps({**header, '__metadata__': {METADATA_KEY: text}}).encode()
    return len(begin).to_bytes(8, 'little') + begin + weights


def begun(text, weights=b''):
    """Return a file with this text as its header."""
    return len(text).to_bytes(8, 'little') + text + weights


def refused(path, content):
    """Return why a file is refused, in little time and memory."""
    path.write_bytes(content)
    with bounded(), pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)
    said = str(caught.value)
    assert said.startswith(str(path))
    assert len(said) < len(str(path)) + 700
    assert said.isprintable()
    return said


@contextmanager
def bounded():
    """Hold what happens to memory and time."""
    with open('/proc/self/statm') as pages:
        now = int(pages.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    began = time.process_time()
    resource.setrlimit(resource.RLIMIT_AS, (int(now + MOST_BYTES), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert time.process_time() - began < MOST_SECONDS

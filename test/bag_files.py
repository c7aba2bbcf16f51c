# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Small real bags of the simulated robot for tests."""

from __future__ import annotations

import cv2
import numpy as np

from m2vae_ros.learning.bag_writer import BagWriter, rosbags_classes
from m2vae_ros.sensors import message_type
from m2vae_ros.simulation.native_messages import observe, PERIODS
from m2vae_ros.simulation.robot import Robot, SENSORS
from m2vae_ros.simulation.world import World

START_NS = 1_700_000_000_000_000_000
DELAY_NS = 10_000_000  # from a message's stamp to its receipt


def write_drive(path, *, seconds=2.0, sensors=('camera', 'lidar', 'depth'), storage='mcap',
                compression=None, compressed_images=False, seed=0, start_ns=START_NS,
                delay_ns=DELAY_NS, silent=None):
    """
    Write a drive of the simulated robot, exactly periodic; return the path.

    `silent` maps a sensor to (from, to) in seconds, when it says nothing.
    """
    robot = Robot(World(seed))
    classes = rosbags_classes()
    specs = {spec.name: spec for spec in SENSORS if spec.name in sensors}
    due = sorted(
        (round(index * PERIODS[name] * 1e9), name)
        for name in specs for index in range(round(seconds / PERIODS[name]))
    )
    with BagWriter(path, storage=storage, compression=compression) as writer:
        topics = {}
        for name, spec in specs.items():
            is_jpeg = compressed_images and spec.kind == 'image'
            topics[name] = f'/{spec.topic}/compressed' if is_jpeg else f'/{spec.topic}'
            kind = 'sensor_msgs/msg/CompressedImage' if is_jpeg else message_type(spec)
            writer.add_topic(topics[name], kind)
        now = 0
        for when, name in due:
            robot.step((when - now) * 1e-9)
            now = when
            first, last = (silent or {}).get(name, (0, 0))
            if first <= when * 1e-9 < last:
                continue
            message = observe(robot, name, start_ns + when, classes)
            if topics[name].endswith('/compressed'):
                message = _jpeg(message, classes)
            writer.write(topics[name], start_ns + when + delay_ns, message)
    return path


def _jpeg(image, classes):
    pixels = image.data.reshape(image.height, image.width, 3)
    _, data = cv2.imencode('.jpg', np.ascontiguousarray(pixels[:, :, ::-1]))
    return classes.CompressedImage(header=image.header, format='jpeg', data=data.ravel())

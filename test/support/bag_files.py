# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Small real bags of the simulated robot for tests, bags of any message, and what is in them."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores
import yaml

from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.storage import BagError
from m2vae_ros.bags.writer import BagWriter, message_types, rosbags_classes
from m2vae_ros.sensors.kinds import decode, message_type
from m2vae_ros.simulation.native_messages import observe, PERIODS
from m2vae_ros.simulation.robot import Robot, SENSORS
from m2vae_ros.simulation.world import World

START_NS = 1_700_000_000_000_000_000
DELAY_NS = 10_000_000  # from a message's stamp to its receipt
SCAN, IMAGE, CLOUD = (
    f'sensor_msgs/msg/{name}' for name in ('LaserScan', 'Image', 'PointCloud2')
)
STRING = 'std_msgs/msg/String'
CLASSES = rosbags_classes()


def write_drive(path, *, seconds=2.0, sensors=('camera', 'lidar', 'depth'), storage='mcap',
                compression=None, compressed_images=False, seed=0, start_ns=START_NS,
                delay_ns=DELAY_NS, silent=None, change=None):
    """
    Write a drive of the simulated robot with exactly periodic messages; return the path.

    `silent` maps a sensor to (from, to) in seconds during which it sends nothing. `change` gets
    the topic, the number of its messages so far and a message, and returns the message to write
    instead; None = no message.
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
        now, counts = 0, Counter()
        for when, name in due:
            robot.step((when - now) * 1e-9)
            now = when
            first, last = (silent or {}).get(name, (0, 0))
            if first <= when * 1e-9 < last:
                continue
            message = observe(robot, name, start_ns + when, classes)
            if topics[name].endswith('/compressed'):
                message = _jpeg(message, classes)
            if change:
                message = change(topics[name], counts[name], message)
                counts[name] += 1
                if message is None:
                    continue
            writer.write(topics[name], start_ns + when + delay_ns, message)
    return path


def _jpeg(image, classes):
    pixels = image.data.reshape(image.height, image.width, 3)
    _, data = cv2.imencode('.jpg', np.ascontiguousarray(pixels[:, :, ::-1]))
    return classes.CompressedImage(header=image.header, format='jpeg', data=data.ravel())


def contents(path, **options):
    """Return topic, time of receipt and decoded values of every message of a drive."""
    with Bag(path) as bag:
        specs = {f'/{spec.topic}': spec for spec in SENSORS}
        return [
            (topic, when, decode(specs[topic.removesuffix('/compressed')], message).values)
            for topic, when, message in bag.messages(**options)
        ]


def same(first, second):
    return len(first) == len(second) and all(
        a[:2] == b[:2] and np.array_equal(a[2], b[2]) for a, b in zip(first, second, strict=True)
    )


def strings(texts, *, start=START_NS, step=1_000_000):
    """Return times and String messages of these texts."""
    return [
        (start + step * i, message_types()[STRING](data=text)) for i, text in enumerate(texts)
    ]


def write_strings(path, texts=('one', 'two', 'three'), *, store=Stores.ROS2_HUMBLE, version=8,
                  mode=None, plugin=StoragePlugin.MCAP, topic='/said', start=START_NS):
    """Write a bag of String messages as `ros2 bag record` of a distribution does."""
    typestore = get_typestore(store)
    with_compression = Writer(path, version=version, storage_plugin=plugin)
    if mode is not None:
        with_compression.set_compression(mode, CompressionFormat.ZSTD)
    with with_compression as writer:
        connection = writer.add_connection(topic, STRING, typestore=typestore)
        for when, message in strings(texts, start=start):
            writer.write(connection, when, typestore.serialize_cdr(message, STRING))
    return path


def read_strings(path, **options):
    """Return the texts of a bag of String messages."""
    with Bag(path) as bag:
        return [received.message.data for received in bag.messages(**options)]


def change_metadata(path, **changes):
    """Change entries of a bag's metadata."""
    file = path / 'metadata.yaml'
    content = yaml.safe_load(file.read_text())
    content['rosbag2_bagfile_information'].update(changes)
    file.write_text(yaml.safe_dump(content))


def read_all(path):
    with Bag(path) as bag:
        return list(bag.messages())


def explanation(path, action=read_all):
    """Return the text of the error that an action on a bag raises; it is one line."""
    with pytest.raises(BagError) as caught:
        action(path)
    text = str(caught.value)
    assert str(path) in text
    assert '\n' not in text
    return text

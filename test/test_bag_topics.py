# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Sensors find their topics in a bag."""

from __future__ import annotations

import pytest

from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.resolution import resolve_topics
from m2vae_ros.bags.storage import BagError
from m2vae_ros.bags.writer import BagWriter, message_types
from m2vae_ros.simulation.robot import SENSORS
from support.bag_files import explanation, SCAN, START_NS, STRING, write_drive, write_strings


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    """Return a folder with the bag of a drive with all sensors."""
    return write_drive(tmp_path_factory.mktemp('drives') / 'drive', seconds=0.7)


def test_sensors_find_their_topics_and_compressed_ones(tmp_path, drive):
    with Bag(drive) as bag:
        assert resolve_topics(bag, SENSORS) == {
            'camera': '/camera/image_raw', 'lidar': '/scan', 'depth': '/depth/points',
        }
    path = write_drive(tmp_path / 'jpeg', seconds=0.3, compressed_images=True)
    with Bag(path) as bag:
        found = resolve_topics(bag, SENSORS[:1])
    assert found == {'camera': '/camera/image_raw/compressed'}


def test_a_topic_may_be_chosen(tmp_path):
    path = write_strings(tmp_path / 'bag')
    with BagWriter(tmp_path / 'renamed') as writer:
        writer.add_topic('/front/scan', SCAN)
        for received in Bag(write_drive(tmp_path / 'scan', sensors=('lidar',))).serialized():
            writer.write_serialized('/front/scan', received.receive_ns, received.data)
    with Bag(tmp_path / 'renamed') as bag:
        text = explanation(bag.path, lambda _: resolve_topics(bag, SENSORS[1:2]))
        assert 'sensor lidar: no topic /scan' in text
        assert '--topic lidar=/front/scan' in text
        assert resolve_topics(bag, SENSORS[1:2], {'lidar': '/front/scan'}) == \
            {'lidar': '/front/scan'}
        with pytest.raises(BagError, match='no such sensor; the sensors are lidar'):
            resolve_topics(bag, SENSORS[1:2], {'ladar': '/front/scan'})
    with Bag(path) as bag:
        assert 'take lidar out' in explanation(
            path, lambda _: resolve_topics(bag, SENSORS[1:2], {'lidar': '/said'})
        )


def test_wrong_types_and_silent_topics_are_told_apart(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic('/scan', STRING)
        writer.add_topic('/depth/points', 'sensor_msgs/msg/PointCloud2')
        writer.write('/scan', START_NS, message_types()[STRING](data=''))
    with Bag(tmp_path / 'bag') as bag:
        wrong = explanation(bag.path, lambda _: resolve_topics(bag, SENSORS[1:2]))
        silent = explanation(bag.path, lambda _: resolve_topics(bag, SENSORS[2:]))
    assert f'/scan is of type {STRING}, not {SCAN}' in wrong
    assert '/depth/points has no messages' in silent

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The fusion node's subscriptions follow what the publishers offer, and lose next to nothing."""

from __future__ import annotations

import time

import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import Image, LaserScan, PointCloud2  # noqa: E402

from support.node_processes import (  # noqa: E402
    CLASSES,
    message,
    NodeProcess,
    Peer,
    save_untrained_model,
)

DOMAIN = 72
RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


@pytest.fixture(scope='module')
def node(tmp_path_factory):
    folder = tmp_path_factory.mktemp('node')
    process = NodeProcess(DOMAIN, folder, {
        'model': save_untrained_model(folder), 'depth.reliability': 'reliable',
    })
    yield process
    assert process.stop() == 0
    assert 'Traceback' not in process.log


@pytest.fixture(scope='module')
def peer(node):
    peer = Peer(DOMAIN, node)
    yield peer
    peer.close()


@pytest.fixture(scope='module')
def statuses(peer):
    return peer.hear(DiagnosticArray, '/diagnostics')


def values(peer, statuses, name):
    """Return the sensor's values of the next diagnostics."""
    del statuses[:]
    found = peer.wait_for(lambda: [
        status for array in statuses for status in array.status
        if status.name == f'fusion: {name}'
    ], f'diagnostics of {name}')[-1]
    return {pair.key: pair.value for pair in found.values}, found.message


def subscribed_reliably(peer, topic, reliable):
    """Wait until the node's subscription of a topic is so."""
    wanted = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    peer.wait_for(lambda: [
        info.qos_profile.reliability for info in peer.node.get_subscriptions_info_by_topic(topic)
    ] == [wanted], f'subscription of {topic}, reliable={reliable}')


def vga(stamp):
    rng = np.random.default_rng(3)
    return Image(
        header=CLASSES.Header(stamp=stamp, frame_id='camera'), height=480, width=640,
        encoding='rgb8', step=1920,
        data=CLASSES.uint8_sequence(rng.integers(0, 256, (480, 640, 3), np.uint8)),
    )


def test_vga_frames_of_a_reliable_publisher_on_defaults_all_arrive(peer, statuses):
    publisher = peer.node.create_publisher(Image, 'camera/image_raw', RELIABLE)
    peer.wait_for(publisher.get_subscription_count, 'subscription')
    before = int(values(peer, statuses, 'camera')[0]['received'])
    image = vga(peer.node.get_clock().now().to_msg())
    published = 0

    def publish():
        nonlocal published
        image.header.stamp = peer.node.get_clock().now().to_msg()
        publisher.publish(image)
        published += 1

    timer = peer.node.create_timer(1 / 30, publish)
    peer.wait_for(lambda: published >= 100, '100 frames')
    peer.node.destroy_timer(timer)
    end = time.monotonic() + 3

    def received():
        said = values(peer, statuses, 'camera')[0]
        return int(said['received']) - before - int(said['rejected'])

    peer.wait_for(lambda: received() >= published or time.monotonic() > end)
    assert received() >= 0.99 * published
    assert values(peer, statuses, 'camera')[0]['subscription'] == 'reliable'
    peer.node.destroy_publisher(publisher)


def test_the_subscription_follows_what_its_publishers_offer(peer, statuses):
    subscribed_reliably(peer, '/scan', False)  # nobody is there: what every publisher matches
    publisher = peer.node.create_publisher(LaserScan, 'scan', BEST_EFFORT)
    peer.wait_for(publisher.get_subscription_count)
    before = int(values(peer, statuses, 'lidar')[0]['received'])
    for _ in range(5):
        publisher.publish(message('lidar', peer.node.get_clock().now().nanoseconds))
    peer.wait_for(lambda: int(values(peer, statuses, 'lidar')[0]['received']) == before + 5)

    peer.node.destroy_publisher(publisher)
    publisher = peer.node.create_publisher(LaserScan, 'scan', RELIABLE)
    subscribed_reliably(peer, '/scan', True)
    other = peer.node.create_publisher(LaserScan, 'scan', BEST_EFFORT)
    subscribed_reliably(peer, '/scan', False)
    said, _ = values(peer, statuses, 'lidar')
    assert sorted(said['publishers'].split(', ')) == ['/peer (best effort)', '/peer (reliable)']
    peer.node.destroy_publisher(other)
    subscribed_reliably(peer, '/scan', True)
    peer.node.destroy_publisher(publisher)
    subscribed_reliably(peer, '/scan', False)


def test_no_message_is_lost_or_delivered_twice_while_the_reliability_changes(peer, statuses):
    publisher = peer.node.create_publisher(LaserScan, 'scan', RELIABLE)
    subscribed_reliably(peer, '/scan', True)
    before = int(values(peer, statuses, 'lidar')[0]['received'])
    others, sent = [], 0

    def publish():
        nonlocal sent
        publisher.publish(message('lidar', peer.node.get_clock().now().nanoseconds))
        sent += 1

    timer = peer.node.create_timer(0.02, publish)
    for _ in range(3):
        others.append(peer.node.create_publisher(LaserScan, 'scan', BEST_EFFORT))
        subscribed_reliably(peer, '/scan', False)
        peer.node.destroy_publisher(others.pop())
        subscribed_reliably(peer, '/scan', True)
    peer.node.destroy_timer(timer)
    received = peer.wait_for(
        lambda: (count := int(values(peer, statuses, 'lidar')[0]['received']) - before) >= sent
        and count, 'all messages'
    )
    assert received == sent
    peer.node.destroy_publisher(publisher)


def test_a_publisher_that_a_parameter_excludes_is_named(peer, statuses):
    publisher = peer.node.create_publisher(PointCloud2, 'depth/points', BEST_EFFORT)
    peer.wait_for(
        lambda: 'set depth.reliability to auto' in values(peer, statuses, 'depth')[1], 'error'
    )
    subscribed_reliably(peer, '/depth/points', True)
    peer.node.destroy_publisher(publisher)


def test_a_topic_without_a_publisher_is_named_with_the_remedy(peer, statuses):
    peer.wait_for(lambda: 'no publisher' in values(peer, statuses, 'depth')[1], 'warning')
    _, said = values(peer, statuses, 'depth')
    assert 'no publisher on /depth/points' in said
    assert 'depth.topic' in said

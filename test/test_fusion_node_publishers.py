# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The fusion node's subscriptions follow what the publishers offer and lose next to nothing."""

from __future__ import annotations

import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from lifecycle_msgs.srv import GetState  # noqa: E402
from rclpy.duration import Duration  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import Image, LaserScan, PointCloud2  # noqa: E402

from support.live_sensors import CLASSES, message  # noqa: E402
from support.node_processes import peer_of_node  # noqa: E402

RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


@pytest.fixture(scope='module')
def peer(tmp_path_factory, untrained_model):
    parameters = {'model': untrained_model, 'depth.reliability': 'reliable'}
    with peer_of_node(tmp_path_factory.mktemp('node'), parameters) as peer:
        yield peer


@pytest.fixture(scope='module')
def statuses(peer):
    return peer.hear(DiagnosticArray, '/diagnostics')


def status(peer, statuses, name):
    """Return the values and the text of a sensor's next diagnostics."""
    del statuses[:]
    found = peer.wait_for(lambda: [
        status for array in statuses for status in array.status
        if status.name == f'fusion: {name}'
    ], f'diagnostics of {name}')[-1]
    return {pair.key: pair.value for pair in found.values}, found.message


def received(peer, statuses, name):
    """Return how many messages of a sensor the node has received, valid or not."""
    return int(status(peer, statuses, name)[0]['received'])


def subscribed_reliably(peer, topic, reliable, step=None):
    """Wait until the node has one subscription of a topic and it is reliable, or is not."""
    wanted = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    peer.wait_for(lambda: [
        info.qos_profile.reliability for info in peer.node.get_subscriptions_info_by_topic(topic)
    ] == [wanted], f'subscription of {topic}, reliable={reliable}', step=step)


def follow(peer):
    """Wait until the node has answered, so that it has had time to take what was sent before."""
    peer.call(GetState, 'fusion/get_state')


def vga():
    rng = np.random.default_rng(3)
    return Image(
        header=CLASSES.Header(frame_id='camera'), height=480, width=640,
        encoding='rgb8', step=1920,
        data=CLASSES.uint8_sequence(rng.integers(0, 256, (480, 640, 3), np.uint8)),
    )


def test_vga_frames_of_a_reliable_publisher_on_defaults_all_arrive(peer, statuses):
    publisher = peer.node.create_publisher(Image, 'camera/image_raw', RELIABLE)
    subscribed_reliably(peer, '/camera/image_raw', True)
    before, _ = status(peer, statuses, 'camera')
    image, published = vga(), 100
    for _ in range(published):
        image.header.stamp = peer.node.get_clock().now().to_msg()
        publisher.publish(image)
        peer.pass_time(1 / 30)
        assert publisher.wait_for_all_acked(Duration(seconds=300))
        follow(peer)
    expected = int(before['received']) + 0.99 * published
    peer.wait_for(lambda: received(peer, statuses, 'camera') >= expected, '99 % of the frames')
    after, _ = status(peer, statuses, 'camera')
    assert after['rejected'] == before['rejected']
    assert after['subscription'] == 'reliable'
    peer.node.destroy_publisher(publisher)


def test_the_subscription_follows_what_its_publishers_offer(peer, statuses):
    subscribed_reliably(peer, '/scan', False)  # nobody is there: what every publisher matches
    publisher = peer.node.create_publisher(LaserScan, 'scan', BEST_EFFORT)
    before, sent = received(peer, statuses, 'lidar'), 0

    def send():
        nonlocal sent
        publisher.publish(message('lidar', peer.now_ns()))
        sent += 1

    timer = peer.node.create_timer(0.1, send)
    peer.wait_for(lambda: received(peer, statuses, 'lidar') >= before + 5, 'scans at the node')
    peer.node.destroy_timer(timer)
    assert received(peer, statuses, 'lidar') <= before + sent

    peer.node.destroy_publisher(publisher)
    publisher = peer.node.create_publisher(LaserScan, 'scan', RELIABLE)
    subscribed_reliably(peer, '/scan', True)
    other = peer.node.create_publisher(LaserScan, 'scan', BEST_EFFORT)
    subscribed_reliably(peer, '/scan', False)
    peer.wait_for(
        lambda: sorted(status(peer, statuses, 'lidar')[0]['publishers'].split(', '))
        == ['/peer (best effort)', '/peer (reliable)'], 'both publishers',
    )
    peer.node.destroy_publisher(other)
    subscribed_reliably(peer, '/scan', True)
    peer.node.destroy_publisher(publisher)
    subscribed_reliably(peer, '/scan', False)


def test_no_message_is_lost_or_delivered_twice_while_the_reliability_changes(peer, statuses):
    publisher = peer.node.create_publisher(LaserScan, 'scan', RELIABLE)
    subscribed_reliably(peer, '/scan', True)
    before, sent = received(peer, statuses, 'lidar'), 0

    def send():
        nonlocal sent
        publisher.publish(message('lidar', peer.now_ns()))
        sent += 1
        peer.pass_time(0.02)
        follow(peer)

    for _ in range(3):
        other = peer.node.create_publisher(LaserScan, 'scan', BEST_EFFORT)
        subscribed_reliably(peer, '/scan', False, step=send)
        peer.node.destroy_publisher(other)
        subscribed_reliably(peer, '/scan', True, step=send)
    peer.wait_for(lambda: received(peer, statuses, 'lidar') >= before + sent, 'all messages')
    assert received(peer, statuses, 'lidar') == before + sent
    peer.node.destroy_publisher(publisher)


def test_a_publisher_that_a_parameter_excludes_is_named(peer, statuses):
    publisher = peer.node.create_publisher(PointCloud2, 'depth/points', BEST_EFFORT)
    peer.wait_for(
        lambda: 'set depth.reliability to auto' in status(peer, statuses, 'depth')[1], 'error'
    )
    subscribed_reliably(peer, '/depth/points', True)
    peer.node.destroy_publisher(publisher)


def test_a_topic_without_a_publisher_is_named_with_the_remedy(peer, statuses):
    peer.wait_for(lambda: 'no publisher' in status(peer, statuses, 'depth')[1], 'warning')
    _, said = status(peer, statuses, 'depth')
    assert 'no publisher on /depth/points' in said
    assert 'depth.topic' in said

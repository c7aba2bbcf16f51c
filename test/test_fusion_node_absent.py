# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the node says of sensors that a robot lacks, and of those that send nothing usable."""

from __future__ import annotations

import pytest

rclpy = pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from sensor_msgs.msg import PointCloud2  # noqa: E402

from m2vae_ros.fusion.latent_message import latent_from_message  # noqa: E402
from support.live_sensors import LiveSensors, message, NAMES  # noqa: E402
from support.node_processes import peer_of_node  # noqa: E402

OK, ERROR = DiagnosticStatus.OK, DiagnosticStatus.ERROR


@pytest.fixture(scope='module')
def peer(tmp_path_factory, untrained_model):
    parameters = {'model': untrained_model, 'depth.enabled': False}
    with peer_of_node(tmp_path_factory.mktemp('node'), parameters) as peer:
        yield peer


@pytest.fixture(scope='module')
def sensors(peer):
    return LiveSensors(peer)


@pytest.fixture(scope='module')
def statuses(peer):
    return peer.hear(DiagnosticArray, '/diagnostics')


def status(peer, statuses, name, holds):
    """Wait for a status of the name for which something holds."""
    del statuses[:]
    return peer.wait_for(
        lambda: next((
            found for array in statuses for found in array.status
            if found.name == f'fusion: {name}' and holds(found)
        ), None),
        lambda: f'such a status of {name}; heard {statuses[-1:]}',
    )


def test_of_a_sensor_that_is_not_enabled_nothing_is_heard_and_nothing_is_wrong(
    peer, sensors, statuses
):
    latents = peer.hear(PointCloud2, 'fusion/latent', 100)
    imagined = peer.hear(PointCloud2, 'fusion/depth/reconstruction')
    peer.wait_for(lambda: imagined and len(latents) > 10, 'latents and the depth expected')
    assert {latent_from_message(latent).subset(NAMES) for latent in latents[5:]} <= {
        ('camera',), ('lidar',), ('camera', 'lidar'),
    }
    assert peer.node.get_subscriptions_info_by_topic('/depth/points') == []
    found = status(peer, statuses, 'depth', lambda found: True)
    assert (found.level, found.message) == (OK, 'not enabled (depth.enabled is false)')
    status(peer, statuses, 'fusion', lambda found: found.level == OK)


def test_a_sensor_of_which_all_messages_are_rejected_is_an_error_in_the_decoders_words(
    peer, sensors, statuses
):
    expected = {'camera': ('encoding', "'purple'"), 'lidar': ('zero_stamp', 'driver must stamp')}
    sensors.silent.update(expected)

    def publish_wrong():
        unknown, unstamped = message('camera', peer.now_ns()), message('lidar', 0)
        unknown.encoding = 'purple'
        sensors.publishers['camera'].publish(unknown)
        sensors.publishers['lidar'].publish(unstamped)

    timer = peer.node.create_timer(0.1, publish_wrong)
    for name, (rule, words) in expected.items():
        found = status(peer, statuses, name, lambda found: found.level == ERROR)
        assert 'all messages are rejected' in found.message
        assert f'{rule}: ' in found.message
        assert words in found.message
        values = {pair.key: pair.value for pair in found.values}
        assert words in values[f'first rejected: {rule}']
        (line,) = [line for line in peer.process.log.splitlines()
                   if f'{name}: the first message rejected for {rule}' in line]
        assert words in line
    overall = status(peer, statuses, 'fusion', lambda found: found.level == ERROR)
    assert 'see camera, lidar' in overall.message
    peer.node.destroy_timer(timer)
    sensors.silent.clear()
    for name in expected:
        status(peer, statuses, name, lambda found: found.level == OK)


def test_a_model_without_an_encoder_for_what_is_enabled_is_named(start_node):
    peer = start_node(**{f'{name}.enabled': False for name in NAMES})
    peer.wait_for(lambda: 'configure failed' in peer.process.log, 'configure failed')
    assert 'enabled are no sensors' in peer.process.log
    assert 'set <sensor>.enabled to true' in peer.process.log

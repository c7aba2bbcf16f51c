# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What ordinary orders of events do to the fusion node's process: nothing, whenever they come."""

from __future__ import annotations

from pathlib import Path
import random
import signal

import pytest

rclpy = pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import Image, LaserScan, PointCloud2  # noqa: E402

from m2vae_ros.ending import SIGNALS  # noqa: E402
from support.domains import reserved_domain  # noqa: E402
from support.live_sensors import LiveSensors  # noqa: E402
from support.node_processes import NodeProcess  # noqa: E402
from support.waiting import BusyClock  # noqa: E402

try:
    from rclpy.event_handler import PublisherEventCallbacks
except ModuleNotFoundError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks

RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
TOPICS = {'scan': LaserScan, 'camera/image_raw': Image, 'depth/points': PointCloud2}


def change(peer, transition):
    return peer.call(
        ChangeState, 'fusion/change_state', transition=Transition(id=transition)
    ).success


def test_it_lives_when_publishers_of_another_reliability_come_and_go(start_node):
    peer = start_node()
    LiveSensors(peer, RELIABLE)
    latents = peer.hear(PointCloud2, 'fusion/latent')
    peer.wait_for(lambda: latents, 'latent')
    for _ in range(6):
        others = [
            peer.node.create_publisher(message_class, topic, BEST_EFFORT)
            for topic, message_class in TOPICS.items() for _ in range(3)
        ]
        peer.pass_time(0.3)
        for other in others:
            peer.node.destroy_publisher(other)
        peer.pass_time(0.3)
    del latents[:]
    peer.wait_for(lambda: latents, 'latent after the changes')


def test_it_lives_when_drivers_of_several_publishers_start_after_it(start_node):
    peer = start_node()
    peer.wait_for(
        lambda: len(peer.node.get_subscriptions_info_by_topic('/scan')) == 1, 'subscription'
    )
    for topic, message_class in TOPICS.items():
        for _ in range(4):
            peer.node.create_publisher(message_class, topic, BEST_EFFORT)
    LiveSensors(peer)
    latents = peer.hear(PointCloud2, 'fusion/latent')
    peer.wait_for(lambda: len(latents) > 5, 'latents')


def test_it_lives_through_activations_while_messages_flow(start_node):
    peer = start_node()
    sensors = LiveSensors(peer)
    latents = peer.hear(PointCloud2, 'fusion/latent')
    peer.wait_for(lambda: latents, 'latent')
    timer = peer.node.create_timer(0.005, lambda: sensors.publish('lidar'))
    for cycle in range(25):
        for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
            assert change(peer, transition), f'cycle {cycle}'
    del latents[:]
    peer.wait_for(lambda: latents, 'latent after the cycles')
    peer.node.destroy_timer(timer)


@pytest.mark.parametrize('drivers_are_first', [True, False])
def test_no_best_effort_driver_meets_an_incompatible_subscription(drivers_are_first, start_node):
    warnings = []
    events = PublisherEventCallbacks(incompatible_qos=warnings.append)
    peer = start_node(autostart=not drivers_are_first)
    if not drivers_are_first:
        peer.wait_for(
            lambda: len(peer.node.get_subscriptions_info_by_topic('/scan')) == 1, 'subscription'
        )
    for topic, message_class in TOPICS.items():
        peer.node.create_publisher(message_class, topic, BEST_EFFORT, event_callbacks=events)
    if drivers_are_first:
        assert change(peer, Transition.TRANSITION_CONFIGURE)
        assert change(peer, Transition.TRANSITION_ACTIVATE)
    LiveSensors(peer, BEST_EFFORT)
    latents = peer.hear(PointCloud2, 'fusion/latent')
    peer.wait_for(lambda: len(latents) > 10, 'latents')
    assert warnings == []
    assert 'ERROR' not in peer.process.log
    assert 'WARN' not in peer.process.log


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='needs /proc: run on Linux')
@pytest.mark.parametrize('seed', range(6))
def test_it_ends_well_on_a_signal_at_any_moment(seed, untrained_model, tmp_path):
    chance = random.Random(seed)
    with (
        reserved_domain() as domain,
        NodeProcess(domain, tmp_path, {'model': untrained_model}) as process,
        BusyClock() as clock,
    ):
        process.wait_for(lambda: handles_signals(process), 'handlers of signals')
        moment = clock.seconds() + chance.uniform(0, 3)
        process.wait_for(lambda: clock.seconds() >= moment, 'the moment')
        assert process.stop(chance.choice(SIGNALS)) == 0
        for word in ('Traceback', 'ERROR', 'context is invalid'):
            assert word not in process.log


def handles_signals(process):
    """Return whether Python has started and the package has taken over its signals."""
    caught = Path(f'/proc/{process.pid}/status').read_text().partition('SigCgt:')[2].split()[0]
    return int(caught, 16) >> (signal.SIGTERM - 1) & 1

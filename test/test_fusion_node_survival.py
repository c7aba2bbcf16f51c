# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What ordinary orders of events do to the fusion node's process: nothing, whenever they come."""

from __future__ import annotations

from pathlib import Path
import random
import signal
import subprocess
import time

import pytest

rclpy = pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import Image, LaserScan, PointCloud2  # noqa: E402

from support.node_processes import (  # noqa: E402
    NodeProcess,
    Peer,
    save_untrained_model,
    SimulatedSensors,
)

try:
    from rclpy.event_handler import PublisherEventCallbacks
except ModuleNotFoundError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks

DOMAIN = 76
RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
TOPICS = {'scan': LaserScan, 'camera/image_raw': Image, 'depth/points': PointCloud2}


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return save_untrained_model(tmp_path_factory.mktemp('model'))


@pytest.fixture
def node(model, tmp_path):
    process = NodeProcess(DOMAIN, tmp_path, {'model': model})
    yield process
    assert process.stop() == 0
    assert 'Traceback' not in process.log
    assert 'InvalidHandle' not in process.log
    assert 'one event was lost' not in process.log


@pytest.fixture
def peer(node):
    peer = Peer(DOMAIN, node)
    yield peer
    peer.close()


def test_it_lives_when_publishers_of_another_reliability_come_and_go(peer):
    sensors = SimulatedSensors(peer, RELIABLE)
    latents = peer.hear(PointCloud2, '/fusion/latent')
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
    sensors.destroy()


def test_it_lives_when_drivers_of_several_publishers_start_after_it(peer):
    peer.wait_for(
        lambda: len(peer.node.get_subscriptions_info_by_topic('/scan')) == 1, 'subscription'
    )
    drivers = [
        peer.node.create_publisher(message_class, topic, BEST_EFFORT)
        for topic, message_class in TOPICS.items() for _ in range(4)
    ]
    sensors = SimulatedSensors(peer)
    latents = peer.hear(PointCloud2, '/fusion/latent')
    peer.wait_for(lambda: len(latents) > 5, 'latents')
    sensors.destroy()
    for driver in drivers:
        peer.node.destroy_publisher(driver)


def test_it_lives_through_activations_while_messages_flow(peer):
    sensors = SimulatedSensors(peer)
    latents = peer.hear(PointCloud2, '/fusion/latent')
    peer.wait_for(lambda: latents, 'latent')
    timer = peer.node.create_timer(0.005, lambda: sensors.publish('lidar'))
    for cycle in range(25):
        for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
            response = peer.call(
                ChangeState, '/fusion/change_state', transition=Transition(id=transition)
            )
            assert response.success, f'cycle {cycle}'
    del latents[:]
    peer.wait_for(lambda: latents, 'latent after the cycles')
    peer.node.destroy_timer(timer)
    sensors.destroy()


@pytest.mark.parametrize('drivers_are_first', [True, False])
def test_no_best_effort_driver_meets_an_incompatible_subscription(
    drivers_are_first, model, tmp_path
):
    warnings = []
    events = PublisherEventCallbacks(incompatible_qos=warnings.append)
    process = NodeProcess(DOMAIN + 2, tmp_path, {
        'model': model, 'autostart': not drivers_are_first,
    })
    peer = Peer(DOMAIN + 2, process)
    try:
        if not drivers_are_first:
            peer.wait_for(
                lambda: len(peer.node.get_subscriptions_info_by_topic('/scan')) == 1,
                'subscription'
            )
        drivers = [
            peer.node.create_publisher(
                message_class, topic, BEST_EFFORT, event_callbacks=events
            )
            for topic, message_class in TOPICS.items()
        ]
        if drivers_are_first:
            for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
                assert peer.call(
                    ChangeState, '/fusion/change_state', transition=Transition(id=transition)
                ).success
        sensors = SimulatedSensors(peer, BEST_EFFORT)
        latents = peer.hear(PointCloud2, '/fusion/latent')
        peer.wait_for(lambda: len(latents) > 10, 'latents')
        sensors.destroy()
        assert len(drivers) == len(TOPICS)
    finally:
        peer.close()
    assert process.stop() == 0
    assert warnings == []
    assert 'ERROR' not in process.log
    assert 'WARN' not in process.log


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='needs /proc: run on Linux')
@pytest.mark.parametrize('seed', range(6))
def test_it_ends_well_on_a_signal_at_any_moment(seed, model, tmp_path):
    chance = random.Random(seed)
    process = NodeProcess(DOMAIN + 1, tmp_path, {'model': model})
    try:
        wait_until_signals_are_handled(process)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0, 3))
        assert process.stop(chance.choice([signal.SIGINT, signal.SIGTERM])) == 0
    finally:
        process.kill()
    for word in ('Traceback', 'ERROR', 'context is invalid'):
        assert word not in process.log


def wait_until_signals_are_handled(process):
    """Wait until Python has started and the package has taken over its signals."""
    status = Path(f'/proc/{process.pid}/status')
    while True:
        process.check()
        caught = status.read_text().partition('SigCgt:')[2].split()[0]
        if int(caught, 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.001)

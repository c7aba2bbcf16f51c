# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Recordings, simulated time and clocks that differ."""

from __future__ import annotations

import time

import pytest

rclpy = pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from rclpy.qos import qos_profile_sensor_data  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import PointCloud2  # noqa: E402

from support.node_processes import (  # noqa: E402
    message,
    NodeProcess,
    Peer,
    PERIODS,
    save_untrained_model,
    SimulatedSensors,
    SPECS,
    stamp_of,
    TYPES,
)

DOMAIN = 73
YEAR_NS = 365 * 24 * 3600 * 10**9


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a node and a peer; they end with the test."""
    started = []

    def start(domain, **parameters):
        process = NodeProcess(domain, tmp_path, {
            'model': save_untrained_model(tmp_path), **parameters,
        })
        peer = Peer(domain, process)
        started.append((process, peer))
        return peer

    yield start
    for process, peer in started:
        peer.close()
        assert process.stop() == 0
        assert 'Traceback' not in process.log


def status_with(statuses, *words):
    """Return whether an error was heard that holds all the words."""
    return any(
        status.level == DiagnosticStatus.ERROR and all(word in status.message for word in words)
        for array in statuses for status in array.status
    )


def test_a_recording_without_clock_is_named_within_two_seconds_with_the_fix(start):
    peer = start(DOMAIN)
    statuses = peer.hear(DiagnosticArray, '/diagnostics')
    peer.wait_for(lambda: status_with(statuses) or statuses)
    sensors = SimulatedSensors(peer)
    sensors.shift_ns = -YEAR_NS
    peer.wait_for(sensors.publishers['lidar'].get_subscription_count, 'subscription')
    begin = time.monotonic()
    for name in SPECS:
        peer.wait_for(lambda name=name: any(
            f'fusion: {name}' == status.name and status.level == DiagnosticStatus.ERROR
            and '31536000.' in status.message and 'ros2 bag play --clock' in status.message
            and 'use_sim_time:=true' in status.message
            for array in statuses for status in array.status
        ), f'diagnostics of {name}; heard {statuses[-1:]}', 10.0)
    assert time.monotonic() - begin < 2.5  # of which up to 0.5 s are discovery


class Recording:
    """The sensors and /clock, in simulated time."""

    STEP_NS = 5_000_000

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.now_ns = 1_000 * 10**9
        self.silent: set[str] = set()
        self._clock = peer.node.create_publisher(Clock, '/clock', 10)
        self._publishers = {
            name: peer.node.create_publisher(
                TYPES[spec.kind], spec.topic, qos_profile_sensor_data)
            for name, spec in SPECS.items()
        }
        self._due = dict.fromkeys(SPECS, 0)
        self._timer = peer.node.create_timer(self.STEP_NS * 1e-9, self._step)

    def jump_to(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self._due = dict.fromkeys(SPECS, 0)

    def pause(self) -> None:
        self._timer.cancel()

    def _step(self) -> None:
        self.now_ns += self.STEP_NS
        clock = Clock()
        clock.clock.sec, clock.clock.nanosec = divmod(self.now_ns, 10**9)
        self._clock.publish(clock)
        for name in self._publishers:
            if self.now_ns >= self._due[name] and name not in self.silent:
                self._due[name] = self.now_ns + int(PERIODS[name] * 1e9)
                self.publish(name)

    def publish(self, name: str) -> None:
        self._publishers[name].publish(message(name, self.now_ns))


def test_simulated_time_runs_loops_and_stands_still(start):
    peer = start(DOMAIN + 1, use_sim_time=True)
    statuses = peer.hear(DiagnosticArray, '/diagnostics')
    latents = peer.hear(PointCloud2, 'fusion/latent')
    peer.wait_for(lambda: status_with(statuses, 'no /clock', '--clock'), 'warning', 15.0)

    recording = Recording(peer)
    peer.wait_for(lambda: len(latents) > 5, 'latents')
    assert 1_000 <= stamp_of(latents[-1]) * 1e-9 <= 1_100

    recording.jump_to(500 * 10**9)
    peer.wait_for(lambda: stamp_of(latents[-1]) < 600 * 10**9, 'latents after the loop')
    after = [stamp for stamp in map(stamp_of, latents) if stamp < 600 * 10**9]
    assert after == sorted(set(after))
    assert 'jumped by -' in peer.process.log

    recording.silent.update(SPECS)
    peer.pass_time(0.15)
    last_ns = recording.now_ns
    recording.publish('lidar')
    peer.wait_for(lambda: stamp_of(latents[-1]) == last_ns, 'latent of a lone scan', 5.0)

    recording.pause()
    peer.wait_for(lambda: any(
        'stands still' in status.message for array in statuses for status in array.status
    ), 'warning', 10.0)
    before = len(statuses)
    peer.wait_for(lambda: len(statuses) > before + 1, 'diagnostics while time stands still', 5.0)


def test_a_sensor_slower_than_the_limits_is_told_what_to_set(start):
    peer = start(DOMAIN + 2, max_wait=0.02, timeout=0.05)
    statuses = peer.hear(DiagnosticArray, '/diagnostics')
    SimulatedSensors(peer)
    for name, limit in (('camera', 'max_wait'), ('lidar', 'max_wait'), ('lidar', 'timeout')):
        peer.wait_for(lambda name=name, limit=limit: any(
            status.name == f'fusion: {name}' and f'set {limit} to' in status.message
            and status.level == DiagnosticStatus.WARN
            for array in statuses for status in array.status
        ), f'warning of {name} about {limit}', 10.0)

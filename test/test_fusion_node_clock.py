# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The fusion node with recordings, simulated time and clocks that differ."""

from __future__ import annotations

import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from sensor_msgs.msg import PointCloud2  # noqa: E402

from m2vae_ros.fusion.latent_message import latent_from_message  # noqa: E402
from m2vae_ros.fusion.options import SynchronizerOptions  # noqa: E402
from support.live_sensors import LiveSensors, NAMES, Recording  # noqa: E402
from support.node_processes import stamp_of  # noqa: E402
from support.waiting import BusyClock  # noqa: E402

YEAR_NS = 365 * 24 * 3600 * 10**9
ERROR, WARN = DiagnosticStatus.ERROR, DiagnosticStatus.WARN


def heard(statuses, level, *words, name=''):
    """Return whether a status with this level, name and all the words was heard."""
    return any(
        status.level == level and status.name.endswith(name)
        and all(word in status.message for word in words)
        for array in statuses for status in array.status
    )


def test_a_recording_without_clock_is_named_within_two_seconds_with_the_fix(start_node):
    peer = start_node()
    statuses = peer.hear(DiagnosticArray, '/diagnostics')
    sensors = LiveSensors(peer)
    sensors.shift_ns = -YEAR_NS
    with BusyClock() as clock:
        peer.wait_for(sensors.publishers['lidar'].get_subscription_count, 'subscription')
        subscribed = clock.seconds()
        for name in NAMES:
            peer.wait_for(lambda name=name: heard(
                statuses, ERROR, '31536000.', 'ros2 bag play --clock', 'use_sim_time:=true',
                name=f'fusion: {name}',
            ), lambda name=name: f'diagnostics of {name}; heard {statuses[-1:]}')
        assert clock.seconds() - subscribed < 2.5  # of which up to 0.5 s are discovery


def test_simulated_time_runs_loops_and_stands_still(start_node):
    peer = start_node(use_sim_time=True)
    statuses = peer.hear(DiagnosticArray, '/diagnostics')
    latents = peer.hear(PointCloud2, 'fusion/latent', 100)
    peer.wait_for(lambda: heard(statuses, WARN, 'waiting for /clock', '--clock'), 'warning')
    assert 'ERROR' not in peer.process.log

    recording = Recording(peer)
    recording.advance_until(lambda: len(latents) > 5, 'latents')
    assert 1_000 <= stamp_of(latents[-1]) * 1e-9 <= 1_100

    recording.jump_to(500)
    recording.advance_until(lambda: stamp_of(latents[-1]) < 600 * 10**9, 'latents of the loop')
    recording.advance(0.5)
    after = [stamp for stamp in map(stamp_of, latents) if stamp < 600 * 10**9]
    assert after == sorted(set(after))
    assert 'jumped by -' in peer.process.log

    recording.silent.update(NAMES)
    recording.advance(0.15)
    last_ns = recording.now_ns
    recording.publish('lidar')
    recording.advance(SynchronizerOptions().max_wait)
    peer.wait_for(lambda: stamp_of(latents[-1]) == last_ns, 'latent of a lone scan')

    peer.wait_for(lambda: heard(statuses, WARN, 'stands still'), 'warning')
    before = len(statuses)
    peer.wait_for(lambda: len(statuses) > before + 1, 'diagnostics while time stands still')


def test_latents_have_no_gap_when_sensors_fall_silent_and_come_back(start_node):
    peer = start_node(use_sim_time=True, backlog=100)
    latents = peer.hear(PointCloud2, 'fusion/latent', 100)
    recording = Recording(peer)
    recording.advance_until(lambda: latents, 'latent')
    for silent in ((), ('camera', 'lidar'), ()):
        recording.silent = set(silent)
        since_ns = recording.now_ns
        recording.advance(3 * SynchronizerOptions().max_wait)
        # Time stands still meanwhile, so what is promised by now must have been emitted.
        peer.wait_for(
            lambda since_ns=since_ns: stamp_of(latents[-1]) > since_ns, 'latent in 3 max_wait')
        recording.advance(1.0)
    end_ns = recording.now_ns
    recording.advance_until(lambda: stamp_of(latents[-1]) > end_ns, 'latents to the end')
    stamps = np.array([stamp_of(latent) for latent in latents])
    assert np.diff(stamps).min() > 0
    assert np.diff(stamps).max() < 0.4e9
    subsets = [latent_from_message(latent).subset(NAMES) for latent in latents]
    assert {NAMES, ('depth',)} <= set(subsets)
    assert subsets[-1] == NAMES


def test_the_diagnostics_say_what_to_set_for_a_sensor_slower_than_the_limits(start_node):
    peer = start_node(max_wait=0.02, timeout=0.05)
    statuses = peer.hear(DiagnosticArray, '/diagnostics')
    LiveSensors(peer)
    peer.wait_for(
        lambda: heard(statuses, WARN, 'set timeout to', name='fusion: lidar'),
        lambda: f'warning of the lidar about timeout; heard {statuses[-1:]}',
    )


def test_a_late_sensor_is_named_with_the_wait_that_fuses_it_and_the_others_go_on(start_node):
    peer = start_node()
    statuses = peer.hear(DiagnosticArray, '/diagnostics')
    latents = peer.hear(PointCloud2, 'fusion/latent', 100)
    sensors = LiveSensors(peer)
    sensors.shifts_ns['depth'] = -400_000_000
    peer.wait_for(
        lambda: heard(statuses, WARN, 'after its stamp', 'set max_wait to', name='fusion: depth'),
        lambda: f'what to set for the depth; heard {statuses[-1:]}')
    peer.wait_for(
        lambda: heard(statuses, WARN, 'seldom fused together', name='fusion: fusion'),
        lambda: f'what to set for all; heard {statuses[-1:]}')
    assert not heard(statuses, WARN, '.offset to')
    assert not heard(statuses, ERROR, 'clock')
    subsets = [latent_from_message(latent).subset(NAMES) for latent in latents]
    assert subsets.count(('camera', 'lidar')) > 0.5 * len(subsets)


def test_a_sensor_whose_clock_is_ahead_is_named_with_its_offset_and_the_others_go_on(start_node):
    peer = start_node()
    statuses = peer.hear(DiagnosticArray, '/diagnostics')
    latents = peer.hear(PointCloud2, 'fusion/latent', 100)
    sensors = LiveSensors(peer)
    sensors.shifts_ns['lidar'] = 190_000_000
    peer.wait_for(
        lambda: heard(statuses, WARN, 'ahead of the clock', 'lidar.offset to 0.1',
                      name='fusion: lidar'),
        lambda: f'the offset of the lidar; heard {statuses[-1:]}')
    for name in ('camera', 'depth'):
        assert not heard(statuses, WARN, 'offset', name=f'fusion: {name}')
    subsets = [latent_from_message(latent).subset(NAMES) for latent in latents]
    assert sum({'camera', 'depth'} <= set(subset) for subset in subsets) > 0.5 * len(subsets)

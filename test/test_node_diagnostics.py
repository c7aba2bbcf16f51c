# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The diagnostics name what is wrong and what to do, and are silent while all is well."""

from __future__ import annotations

from dataclasses import replace
import time
from types import SimpleNamespace

import pytest

rclpy = pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402

from m2vae_ros.node.arrivals import Arrivals, Results  # noqa: E402
from m2vae_ros.node.diagnostics import (  # noqa: E402
    fusion_status,
    FusionReport,
    raise_to_worst,
    sensor_status,
    SensorReport,
)
from m2vae_ros.node.monitor import Monitor  # noqa: E402
from m2vae_ros.node.parameters import FusionParameters  # noqa: E402
from m2vae_ros.node.subscriptions import Offer  # noqa: E402

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
IMAGE = 'sensor_msgs/msg/Image'
DRIVER = Offer(node='/driver', message_type=IMAGE, reliable=False)
WELL = SensorReport(
    name='camera', topic='/camera/image_raw', message_type=IMAGE, reliable=False, heard=[DRIVER],
    live=True, received=100, period=0.033, silence=0.01,
)
FUSING = FusionReport(state='active', rate=10.0, latency_ms=(3.0, 5.0))
SECOND = 10**9


def judge(**changes):
    return sensor_status('fusion', replace(WELL, **changes), timeout=0.5)


def test_nothing_is_said_while_all_is_well():
    assert (judge().level, judge().message) == (OK, 'live, 30.3 Hz')
    status = fusion_status('fusion', FUSING)
    assert (status.level, status.message) == (OK, 'fusing at 10.0 Hz')


@pytest.mark.parametrize(('changes', 'level', 'words'), [
    ({'unanswered': 2.0}, ERROR, ['/camera/image_raw', '/driver (best effort)', '2.0 s',
                                  'FASTRTPS_DEFAULT_PROFILES_FILE']),
    ({'heard': []}, WARN, ['no publisher on /camera/image_raw', 'camera.topic']),
    ({'heard': [], 'unheard': [DRIVER], 'reliable': True}, ERROR, ['camera.reliability to auto']),
    ({'heard': [], 'unheard': [replace(DRIVER, message_type='std_msgs/msg/String')]}, ERROR,
     ['/driver', 'publishes std_msgs/msg/String, expected is sensor_msgs/msg/Image']),
    ({'clock_difference': 3600.0}, ERROR, ['3600.0 s behind', '--clock', 'use_sim_time:=true']),
    ({'clock_difference': -5.0}, ERROR, ['5.0 s ahead of']),
    ({'newly_rejected': 2, 'rejected': {'step': 7}}, WARN, ['2 messages rejected', 'step 7']),
    ({'newly_rejected': 1, 'rejected': {'image_size': 1, 'step': 3},
      'reasons': {'image_size': 'too large', 'step': 'too short'}}, WARN,
     ['(in all: image_size 1, step 3); too short; too large']),
    ({'all_rejected': 3, 'rejected': {'step': 3}, 'reasons': {'step': 'too short'}}, ERROR,
     ['all messages are rejected, 3 in a row (in all: step 3); too short']),
    ({'heard': [], 'received': 0, 'live': False}, WARN, ['set camera.enabled to false']),
    ({'period': 1.0}, WARN, ['exceeds timeout (0.5 s)', 'set timeout to 2.50']),
    ({'timing': ['arrives 0.15 s after its stamp']}, WARN, ['arrives 0.15 s']),
    ({'newly_undecoded': 4, 'longest_decoding': 0.25}, WARN,
     ['4 messages', 'up to 0.250 s', 'smaller']),
])
def test_each_trouble_is_named_with_its_remedy(changes, level, words):
    status = judge(**changes)
    assert status.level == level
    for word in words:
        assert word in status.message


def test_messages_that_are_rejected_have_a_rate_too():
    status = judge(live=False, all_rejected=9, newly_rejected=9, rejected={'step': 9})
    assert {value.key: value.value for value in status.values}['rate (Hz)'] == '30.30'
    still = judge(live=False, all_rejected=9, rejected={'step': 9}, silence=5.0)
    assert {value.key: value.value for value in still.values}['rate (Hz)'] == '0.00'


def test_the_worst_trouble_stands_first():
    status = judge(newly_rejected=1, rejected={'step': 1}, unanswered=3.0)
    assert status.level == ERROR
    assert status.message.index('nothing arrives') < status.message.index('rejected')


def test_a_silence_below_two_seconds_is_none():
    assert judge(unanswered=1.9).level == OK


@pytest.mark.parametrize(('changes', 'state'), [
    ({}, 'live'), ({'live': False}, 'silent'), ({'live': False, 'received': 0}, 'never heard'),
])
def test_a_sensor_is_live_silent_or_never_heard(changes, state):
    assert replace(WELL, **changes).state == state


@pytest.mark.parametrize(('changes', 'level', 'words'), [
    ({'state': 'inactive'}, WARN, ['the node is inactive']),
    ({'rate': 0.0}, WARN, ['nothing to fuse']),
    ({'newly_dropped': 3, 'dropped': 9}, WARN, ['3 sets dropped']),
    ({'newly_failed': 1, 'last_failure': 'RuntimeError: out of memory'}, ERROR, ['out of memory']),
    ({'newly_untrained': 4, 'missing': ('lidar', 'depth')}, ERROR,
     ['untrained subset', 'missing are lidar, depth']),
    ({'problems': [(ERROR, 'no /clock')]}, ERROR, ['no /clock']),
])
def test_each_trouble_of_the_fusion_is_named(changes, level, words):
    status = fusion_status('fusion', replace(FUSING, **changes))
    assert status.level == level
    for word in words:
        assert word in status.message


def test_a_period_is_the_median_interval_and_needs_some_messages():
    arrivals = Arrivals()
    for i, time_ns in enumerate([0, 100, 200, 900, 1000]):
        assert (arrivals.period() is None) == (i < 4)
        arrivals.note(time_ns * 10**6, 0)
    assert arrivals.period() == pytest.approx(0.1)


def test_a_clock_that_jumps_back_makes_no_negative_period():
    arrivals = Arrivals()
    for time_ns in (900, 1000, 1100, 100, 200, 300, 400):
        arrivals.note(time_ns * 10**6, 0)
    assert arrivals.period() == pytest.approx(0.1)


def test_silence_counts_from_the_publisher_or_the_last_message_whichever_is_later():
    arrivals = Arrivals()
    assert arrivals.unanswered(5 * SECOND) == 0
    arrivals.note_publishers(True, 5 * SECOND)
    assert arrivals.unanswered(8 * SECOND) == pytest.approx(3)
    arrivals.note(0, 9 * SECOND)
    assert arrivals.unanswered(10 * SECOND) == pytest.approx(1)
    assert arrivals.silence(11 * SECOND) == pytest.approx(2)
    arrivals.note_publishers(False, 11 * SECOND)
    assert arrivals.unanswered(20 * SECOND) == 0


def test_nobody_is_silent_while_simulation_time_has_not_begun_or_after_it_jumped_back():
    arrivals = Arrivals()
    arrivals.note_publishers(True, 0)
    assert arrivals.unanswered(1_000 * SECOND) == 0
    arrivals.note_publishers(True, 1_000 * SECOND)
    arrivals.note(1_001 * SECOND, 1_001 * SECOND)
    arrivals.restart(500 * SECOND)
    assert arrivals.silence(501 * SECOND) == pytest.approx(1)
    assert arrivals.unanswered(503 * SECOND) == pytest.approx(3)


def test_results_are_counted_by_subset_and_second():
    results = Results()
    assert results.latency() is None
    assert results.rate(1 * SECOND) == 0
    for latency in range(1, 101):
        results.note(('camera', 'lidar'), latency * 10**6)
    assert results.rate(3 * SECOND) == pytest.approx(50)
    assert results.latency() == pytest.approx((50.5, 99.01))
    assert results.subsets == {('camera', 'lidar'): 100}


def test_the_fusion_has_the_level_of_its_worst_sensor_and_names_it():
    sensors = [
        sensor_status('fusion', replace(WELL, name=name, **changes), timeout=0.5)
        for name, changes in (
            ('camera', {}), ('lidar', {'heard': []}), ('depth', {'unanswered': 3.0}),
        )
    ]
    statuses = [fusion_status('fusion', FUSING), *sensors]
    raise_to_worst(statuses[:2])
    assert (statuses[0].level, statuses[0].message) == (OK, 'fusing at 10.0 Hz')
    raise_to_worst(statuses[:3])
    assert (statuses[0].level, statuses[0].message) == (WARN, 'fusing at 10.0 Hz; see lidar')
    raise_to_worst(statuses)
    assert statuses[0].level == ERROR
    assert statuses[0].message.endswith('see depth')


@pytest.mark.parametrize('changes', [
    {'heard': []},
    {'heard': [], 'unheard': [replace(DRIVER, message_type='std_msgs/msg/String')]},
])
def test_a_young_subscription_is_given_time_to_find_its_publishers(changes):
    assert judge(settled=False, **changes).level == OK
    assert judge(**changes).level > OK


def test_a_sensor_has_its_topic_as_hardware_id():
    assert judge().hardware_id == '/camera/image_raw'


def test_a_missing_clock_is_an_error_only_when_a_player_has_had_time_to_start(monkeypatch):
    times = {'steady': 100.0, 'clock_ns': 0}
    clock = SimpleNamespace(
        ros_time_is_active=True, now=lambda: SimpleNamespace(nanoseconds=times['clock_ns'])
    )
    monkeypatch.setattr(time, 'monotonic', lambda: times['steady'])
    monitor = Monitor('fusion', clock)

    def status(seconds):
        times['steady'] += seconds
        (found,) = monitor.statuses('active', '', '', FusionParameters(), None, None)
        return found

    for seconds in (0.0, 5.0, 4.9):
        assert status(seconds).level == WARN
        assert 'waiting for /clock' in status(0.0).message
    assert status(0.2).level == ERROR
    assert 'no /clock arrives' in status(100.0).message
    times['clock_ns'] = 10**9
    assert '/clock' not in status(1.0).message
    times['clock_ns'] = 0  # the clock is gone, as when use_sim_time was set anew
    assert 'waiting for /clock' in status(1.0).message

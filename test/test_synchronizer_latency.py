# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Sensors that are late, ahead or out of phase: max_wait keeps its word, none starves others."""

from __future__ import annotations

from collections import Counter
from itertools import product
import random

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from m2vae_ros.fusion.synchronizer import Synchronizer

MS = 1_000_000
SLOP, MAX_WAIT = 50 * MS, 120 * MS
START = 1_000_000_000 * MS
ROBOT = {'camera': 1000 / 30, 'lidar': 100, 'depth': 1000 / 12}  # periods, ms


def sent(periods, *, seconds=20, lags=None, phases=None, noise=None):
    """Return (arrival, sensor, stamp), ns, of sensors that run on; all times in ms."""
    lags, phases = lags or {}, phases or {}
    found = []
    for index, (name, period) in enumerate(periods.items()):
        phase = phases.get(name, 3 * index)
        for count in range(int((1000 * seconds - phase) / period)):
            stamp = phase + count * period + (noise() if noise else 0)
            arrival = phase + count * period + max(lags.get(name, 0), 0)
            ahead = -min(lags.get(name, 0), 0)
            found.append((START + round(arrival * MS), name, START + round((stamp + ahead) * MS)))
    return sorted(found)


def fused(messages, names, **options):
    """Return the sets of a synchronizer that is polled at each deadline, as sensor -> stamp."""
    synchronizer = Synchronizer(names, **options)
    sets = []
    for arrival, name, stamp in messages:
        while (due := synchronizer.next_deadline_ns) is not None and due < arrival:
            sets += synchronizer.poll(due)
        sets += synchronizer.add(name, stamp, stamp, arrival)
    return [dict(one.items) for one in sets]


def can_be_completed(messages, names, name):
    """Return the stamps of a sensor that have partners in slop which arrive in max_wait."""
    found = set()
    by_name = {other: [(stamp, arrival) for arrival, sensor, stamp in messages if sensor == other]
               for other in names}
    for stamp, arrival in by_name[name]:
        near = [
            [(s, a) for s, a in by_name[other]
             if abs(s - stamp) <= SLOP and abs(a - arrival) <= MAX_WAIT]
            for other in names if other != name
        ]
        for partners in product(*near):
            stamps, arrivals = zip((stamp, arrival), *partners, strict=True)
            if max(stamps) - min(stamps) <= SLOP and max(arrivals) - min(arrivals) <= MAX_WAIT:
                found.add(stamp)
                break
    return found


def possible_and_complete(seed):
    """Return stamps of the slowest of random sensors: that can be fused with all, that were."""
    rng = random.Random(seed)
    names = [f'sensor{index}' for index in range(rng.randint(2, 4))]
    periods = {name: rng.uniform(17, 110) for name in names}
    jitter = rng.choice([0, 1, 3])
    messages = sent(
        periods, seconds=6, noise=lambda: rng.gauss(0, jitter),
        lags={name: rng.uniform(0, 110) for name in names},
        phases={name: rng.uniform(0, periods[name]) for name in names})
    slowest = max(names, key=periods.__getitem__)
    possible = {
        stamp for stamp in can_be_completed(messages, names, slowest)
        if START + 1000 * MS < stamp < START + 5500 * MS
    }
    complete = {one[slowest] for one in fused(messages, names) if len(one) == len(names)}
    return possible, complete & possible


@given(seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_8_what_arrives_within_max_wait_of_its_partners_is_fused_with_them(seed):
    possible, complete = possible_and_complete(seed)
    assert len(complete) >= 0.75 * len(possible) - 1


def test_8_on_average_hardly_any_is_lost():
    drawn = [possible_and_complete(seed) for seed in range(50)]
    assert sum(len(complete) for _, complete in drawn) >= (
        0.99 * sum(len(possible) for possible, _ in drawn))


@pytest.mark.parametrize('lag', [60, 80, 100, 115])
@pytest.mark.parametrize('phases', [
    {'lidar': 13, 'depth': 7}, {'lidar': 0, 'depth': 0}, {'camera': 10, 'lidar': 35, 'depth': 5}])
def test_a_sensor_that_is_late_by_less_than_max_wait_is_fused(lag, phases):
    messages = sent({'camera': 1000 / 30, 'lidar': 100, 'depth': 100},
                    lags={'depth': lag}, phases=phases)
    sets = fused(messages, ('camera', 'lidar', 'depth'))
    assert sum(len(one) == 3 for one in sets) >= 197


@pytest.mark.parametrize('lag', [-190, -170, -150, -100, -60, 150, 200, 500, 3000])
@pytest.mark.parametrize('name', ROBOT)
def test_a_sensor_whose_clock_is_off_does_not_cost_the_others_their_place(name, lag):
    sets = fused(sent(ROBOT, lags={name: lag}), tuple(ROBOT))
    others = set(ROBOT) - {name}
    together = sum(others <= set(one) for one in sets)
    assert together >= 0.78 * 20_000 / max(ROBOT.values())


@pytest.mark.parametrize('lag', [-190, 170, 400])
def test_the_others_do_not_wait_for_one_that_cannot_meet_them(lag):
    synchronizer = Synchronizer(tuple(ROBOT))
    waited = []
    for arrival, name, stamp in sent(ROBOT, lags={'lidar': lag}):
        while (due := synchronizer.next_deadline_ns) is not None and due < arrival:
            for one in synchronizer.poll(due):
                waited.append(due - max(one.items.values()))
        for one in synchronizer.add(name, stamp, stamp, arrival):
            waited.append(arrival - max(one.items.values()))
    waited.sort()
    assert waited[round(0.9 * len(waited))] <= 5 * MS


def test_a_late_sensor_is_waited_for_again_when_it_is_in_time():
    late = sent(ROBOT, lags={'lidar': 400}, seconds=5)
    in_time = [(arrival + 5000 * MS, name, stamp + 5000 * MS)
               for arrival, name, stamp in sent(ROBOT, lags={'lidar': 30}, seconds=5)]
    sets = fused(sorted(late + in_time), tuple(ROBOT))
    after = [one for one in sets if max(one.values()) > START + 5500 * MS]
    assert Counter(map(len, after))[3] >= 40


def test_sensors_that_never_meet_go_on_at_their_rate():
    """Three sensors of 10 Hz at 0, 33 and 66 ms: no three stamps lie within slop, two do."""
    messages = sent({'camera': 100, 'lidar': 100, 'depth': 100},
                    phases={'camera': 0, 'lidar': 33, 'depth': 66})
    sets = fused(messages, ('camera', 'lidar', 'depth'))
    assert sum(len(one) == 2 for one in sets) >= 190
    assert sum(map(len, sets)) >= 0.95 * len(messages)

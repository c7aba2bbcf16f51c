# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Stamps that step back while the clock goes on: the output pauses no longer than promised."""

from __future__ import annotations

from itertools import pairwise
import random

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from m2vae_ros.fusion.synchronizer import Synchronizer

MS = 1_000_000
MAX_WAIT = 120 * MS
START = 1_000_000 * MS
PERIODS = {'camera': 33 * MS, 'lidar': 100 * MS, 'depth': 83 * MS}


def arrivals(rng, sensor, *, begin=0, end=5000, latency=(0, 0), turn=None, step=0):
    """Return (arrival, sensor, stamp); what is sent after `turn` is stamped earlier by `step`."""
    found = []
    sent = START + begin * MS + rng.randrange(PERIODS[sensor])
    while sent < START + end * MS:
        stamp = sent - step * MS if turn is not None and sent > START + turn * MS else sent
        found.append((sent + rng.randint(*latency), sensor, stamp))
        sent += PERIODS[sensor]
    return found


def emissions(synchronizer, messages):
    """Feed messages, polling at every deadline; return when sets were emitted."""
    times = []
    for arrival, sensor, stamp in sorted(messages):
        while (due := synchronizer.next_deadline_ns) is not None and due <= arrival:
            times += [due] * len(synchronizer.poll(due))
        times += [arrival] * len(synchronizer.add(sensor, stamp, None, arrival))
    return times


def longest_gap(times):
    return max(b - a for a, b in pairwise(times) if a > START + 500 * MS)


@pytest.mark.parametrize('step', [
    100, 200, 300, 400, 500, 600, 700, 800, 900, 950, 1000, 1050, 1200, 2000, 5000,
])
@given(
    seed=st.integers(0, 2**32), count=st.integers(1, 3), turn=st.integers(2000, 2300),
    slowest=st.sampled_from([0, 5 * MS, 15 * MS]),
)
@settings(max_examples=20, deadline=None)
def test_the_output_goes_on_when_all_stamps_step_back(step, seed, count, turn, slowest):
    rng = random.Random(seed)
    names = rng.sample(sorted(PERIODS), count)
    synchronizer = Synchronizer(names)
    times = emissions(synchronizer, [
        message for name in names
        for message in arrivals(rng, name, latency=(0, slowest), turn=turn, step=step)
    ])
    assert longest_gap(times) <= 3 * MAX_WAIT
    if not 100 < step < 600:  # between, the stamps may have made up for it in time
        assert synchronizer.statistics.clock_jumps == (step > 100)


@pytest.mark.parametrize('latency', [250, 300, 400, 480])
def test_a_sensor_of_great_latency_makes_no_jump_when_a_faster_one_dies(latency):
    rng = random.Random(0)
    synchronizer = Synchronizer(('camera', 'lidar'))
    times = emissions(synchronizer, [
        *arrivals(rng, 'camera', end=2000),
        *arrivals(rng, 'lidar', latency=(latency * MS, latency * MS)),
    ])
    assert synchronizer.statistics.clock_jumps == 0
    assert times[-1] > START + 5000 * MS


def test_a_sensor_of_which_nothing_was_ever_accepted_delays_no_jump():
    rng = random.Random(0)
    synchronizer = Synchronizer(('camera', 'lidar', 'depth'))
    times = emissions(synchronizer, [
        *arrivals(rng, 'camera', turn=2000, step=800), *arrivals(rng, 'lidar', turn=0, step=5000),
        *arrivals(rng, 'depth', turn=2000, step=800),
    ])
    assert synchronizer.statistics.accepted['lidar'] == 0
    assert longest_gap(times) <= 3 * MAX_WAIT

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The synchronizer's promises (docs/architecture.md), on random drives in simulated time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain, pairwise
import random

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from m2vae_ros.fusion.statistics import (
    ANCIENT_STAMP,
    BAD_STAMPS,
    CLOCK_JUMP,
    FUTURE_STAMP,
    LATE,
    OVERFLOW,
    UNMATCHED,
    ZERO_STAMP,
)
from m2vae_ros.fusion.synchronizer import FusedSet, Synchronizer

MS = 1_000_000
SLOP, MAX_WAIT, TIMEOUT = 50 * MS, 120 * MS, 500 * MS
START = 1_000_000 * MS
NAMES = ('camera', 'lidar', 'depth', 'radar')


@dataclass(frozen=True)
class Item:
    """A measurement of a simulated sensor."""

    sensor: str
    stamp_ns: int
    arrival_ns: int


@dataclass
class Run:
    """What a synchronizer did with a drive."""

    synchronizer: Synchronizer
    sets: list[tuple[int, FusedSet]] = field(default_factory=list)  # when it was emitted, the set
    accepted: list[Item] = field(default_factory=list)

    def used(self):
        return [item for _, fused in self.sets for item in fused.items.values()]

    def emission_times(self, after=0):
        return [now for now, _ in self.sets if now > after]


def drive(items, synchronizer):
    """Feed items in order of arrival, and poll exactly at each deadline."""
    run = Run(synchronizer)

    def poll_until(limit):
        while (due := synchronizer.next_deadline_ns) is not None and due < limit:
            run.sets += [(due, fused) for fused in synchronizer.poll(due)]
            later = synchronizer.next_deadline_ns
            assert later is None or later > due, 'a poll must move the deadline on'

    for item in sorted(items, key=lambda item: item.arrival_ns):
        poll_until(item.arrival_ns)
        before = sum(synchronizer.statistics.accepted.values())
        emitted = synchronizer.add(item.sensor, item.stamp_ns, item, item.arrival_ns)
        if sum(synchronizer.statistics.accepted.values()) > before:
            run.accepted.append(item)
        run.sets += [(item.arrival_ns, fused) for fused in emitted]
    poll_until(float('inf'))
    return run


def stream(rng, sensor, period, seconds, *, jitter=2 * MS, latency=8 * MS, loss=0.0, silent=()):
    """Return the items of a sensor; `silent` has (from, to) in seconds."""
    items = []
    stamp = START + rng.randrange(max(1, period))
    while stamp < START + seconds * 1000 * MS:
        noisy = stamp + round(rng.gauss(0, jitter)) if jitter else stamp
        arrival = stamp + round(latency * (1 + rng.random()))
        elapsed = (stamp - START) / (1000 * MS)
        if rng.random() >= loss and not any(a <= elapsed < b for a, b in silent):
            items.append(Item(sensor, noisy, arrival))
        stamp += period
    return items


def longest_gap(times):
    return max(b - a for a, b in pairwise(times))


@st.composite
def drives(draw, *, smallest=1):
    """Return sensors and items: random rates, delays and losses; sensors die and come back."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    names = NAMES[:draw(st.integers(smallest, 4))]
    items = []
    for name in names:
        death = rng.uniform(0, 4)
        items += stream(
            rng, name, rng.randrange(2 * MS, 300 * MS), 4, jitter=rng.choice([0, 3, 30]) * MS,
            latency=rng.choice([1, 20, 90]) * MS, loss=rng.choice([0, 0.1, 0.5]),
            silent=[(death, death + rng.uniform(0, 3))] if rng.random() < 0.5 else (),
        )
    return names, items


def healthy(seed, names=NAMES[:3], seconds=6):
    rng = random.Random(seed)
    periods = {'camera': 33 * MS, 'lidar': 100 * MS, 'depth': 83 * MS, 'radar': 50 * MS}
    return [item for name in names
            for item in stream(rng, name, periods[name], seconds)]


@given(seed=st.integers(0, 2**32), count=st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_1_healthy_sensors_are_fused_in_complete_sets(seed, count):
    names = NAMES[:count]
    items = healthy(seed, names)
    run = drive(items, Synchronizer(names))
    slowest = 'lidar' if 'lidar' in names else 'camera'
    sent = [item for item in items if item.sensor == slowest]
    complete = [fused for _, fused in run.sets if len(fused.items) == count]
    # The first come alone, and the last may have had no partner when everything ended.
    assert len(complete) >= 0.98 * (len(sent) - 2)


@given(drives())
@settings(max_examples=60, deadline=None)
def test_1_a_complete_set_is_emitted_at_once(drive_of):
    names, items = drive_of
    synchronizer = Synchronizer(names)
    for item in sorted(items, key=lambda item: item.arrival_ns):
        synchronizer.add(item.sensor, item.stamp_ns, item, item.arrival_ns)
        waiting = [
            [waiting.stamp_ns for waiting in synchronizer._by_name[name].queue]
            for name in synchronizer.live(item.arrival_ns)
        ]
        if waiting and all(waiting):
            assert not any(
                all(any(low <= stamp <= low + SLOP for stamp in stamps) for stamps in waiting)
                for low in chain(*waiting)
            ), 'a set over all live sensors waits'


@given(drives())
@settings(max_examples=100, deadline=None)
def test_2_nothing_waits_longer_than_max_wait(drive_of):
    names, items = drive_of
    run = drive(items, Synchronizer(names))
    for now, fused in run.sets:
        for item in fused.items.values():
            assert now - item.arrival_ns <= MAX_WAIT
    assert run.synchronizer.next_deadline_ns is None
    used = Counter(item.sensor for item in run.used())
    dropped = run.synchronizer.statistics.dropped
    for name in names:
        lost = sum(dropped[name].get(reason, 0) for reason in (UNMATCHED, OVERFLOW, CLOCK_JUMP))
        assert used[name] + lost == sum(item.sensor == name for item in run.accepted)


def test_2_an_older_measurement_that_came_later_is_emitted_before_the_one_that_is_due():
    synchronizer = Synchronizer(('camera', 'lidar'))
    synchronizer.add('lidar', START - 300 * MS, 'first', START - 300 * MS)
    synchronizer.add('camera', START + 60 * MS, 'image', START + 61 * MS)
    synchronizer.add('lidar', START, 'scan', START + 100 * MS)
    emitted = synchronizer.poll(START + 181 * MS)
    assert [dict(fused.items) for fused in emitted] == [{'lidar': 'scan'}, {'camera': 'image'}]


@given(drives())
@settings(max_examples=100, deadline=None)
def test_3_every_accepted_measurement_is_followed_by_a_set(drive_of):
    names, items = drive_of
    run = drive(items, Synchronizer(names))
    emission_times = run.emission_times()
    for item in run.accepted:
        assert any(0 <= now - item.arrival_ns <= 3 * MAX_WAIT for now in emission_times)


@given(seed=st.integers(0, 2**32), dead=st.sampled_from(NAMES[:3]))
@settings(max_examples=40, deadline=None)
def test_4_a_dead_sensor_is_waited_for_no_longer_than_timeout(seed, dead):
    rng = random.Random(seed)
    names = NAMES[:3]
    periods = {'camera': 33 * MS, 'lidar': 100 * MS, 'depth': 83 * MS}
    items = [item for name in names for item in stream(
        rng, name, periods[name], 6, silent=[(2, 4)] if name == dead else ())]
    run = drive(items, Synchronizer(names))
    last = max(i.arrival_ns for i in items if i.sensor == dead and i.arrival_ns < START + 3e9)
    back = min(i.arrival_ns for i in items if i.sensor == dead and i.arrival_ns > START + 3e9)
    others = {name for name in names if name != dead}
    settled = [(now, fused) for now, fused in run.sets if last + TIMEOUT + MAX_WAIT < now < back]
    assert settled
    for now, fused in settled:
        assert set(fused.items) == others
        assert now == max(item.arrival_ns for item in fused.items.values())
    complete = [now for now, fused in run.sets if now >= back and len(fused.items) == 3]
    assert complete[0] - back <= 2 * MAX_WAIT
    assert longest_gap(run.emission_times(after=START + 200 * MS)) <= 3 * MAX_WAIT


def test_4_what_waits_for_a_dead_sensor_is_emitted_when_that_is_no_longer_live():
    synchronizer = Synchronizer(('camera', 'lidar'), max_wait=2.0, timeout=0.3)
    synchronizer.add('lidar', START, 'scan', START)
    synchronizer.poll(START)
    assert synchronizer.add('camera', START + 250 * MS, 'image', START + 250 * MS) == []
    assert synchronizer.next_deadline_ns == START + 300 * MS
    (emitted,) = synchronizer.poll(START + 300 * MS)
    assert dict(emitted.items) == {'camera': 'image'}


@given(drives())
@settings(max_examples=100, deadline=None)
def test_5_stamps_strictly_increase_and_are_the_newest_of_their_set(drive_of):
    names, items = drive_of
    run = drive(items, Synchronizer(names))
    assert run.synchronizer.statistics.clock_jumps == 0
    set_stamps = [fused.stamp_ns for _, fused in run.sets]
    assert all(a < b for a, b in pairwise(set_stamps))
    for _, fused in run.sets:
        stamps = [item.stamp_ns for item in fused.items.values()]
        assert fused.stamp_ns == max(stamps)
        assert max(stamps) - min(stamps) <= SLOP
        assert list(fused.items) == [name for name in names if name in fused.items]


def test_5_a_recording_that_starts_again_empties_the_queues_and_is_counted():
    synchronizer = Synchronizer(('camera', 'lidar'))
    for item in sorted(healthy(0, ('camera', 'lidar')), key=lambda item: item.arrival_ns):
        synchronizer.add(item.sensor, item.stamp_ns, item, item.arrival_ns)
    synchronizer.add('camera', START + 6080 * MS, 'last', START + 6080 * MS)
    run = drive(healthy(0, ('camera', 'lidar')), synchronizer)
    statistics = synchronizer.statistics
    assert statistics.clock_jumps == 1
    assert statistics.dropped['camera'][CLOCK_JUMP] >= 1
    assert len([fused for _, fused in run.sets if len(fused.items) == 2]) > 50


def test_5_stamps_that_go_back_alone_are_followed_within_3_max_wait():
    synchronizer = Synchronizer(('camera',))
    now = START
    for _ in range(20):
        now += 100 * MS
        assert synchronizer.add('camera', now, 'item', now)
    late, now = 0, now + 100 * MS
    while not synchronizer.add('camera', now - 3000 * MS, 'older', now):
        late += 1
        now += 100 * MS
    assert MAX_WAIT < (late + 1) * 100 * MS <= 3 * MAX_WAIT
    assert synchronizer.statistics.clock_jumps == 1
    assert synchronizer.statistics.dropped['camera'] == {LATE: late}


def test_5_a_clock_that_is_set_back_a_little_is_no_jump():
    synchronizer = Synchronizer(('camera', 'lidar'))
    synchronizer.add('lidar', START, 'scan', START)
    synchronizer.add('camera', START + 60 * MS, 'image', START + 60 * MS)
    assert synchronizer.add('lidar', START + 61 * MS, 'scan', START + 55 * MS)
    assert synchronizer.statistics.clock_jumps == 0


@given(drives())
@settings(max_examples=60, deadline=None)
def test_6_each_measurement_is_used_once_and_every_loss_is_counted(drive_of):
    names, items = drive_of
    run = drive(items, Synchronizer(names))
    used = Counter(map(id, run.used()))
    assert all(count == 1 for count in used.values())
    statistics = run.synchronizer.statistics
    assert sum(statistics.sets.values()) == len(run.sets)
    for name in names:
        sent = sum(item.sensor == name for item in items)
        emitted = sum(item.sensor == name for item in run.used())
        assert sent == emitted + sum(statistics.dropped[name].values())


def test_6_a_full_queue_drops_its_oldest_while_sets_are_emitted_and_never_stops_the_output():
    synchronizer = Synchronizer(('imu', 'lidar'), queue_size=3)
    rng = random.Random(0)
    fast = stream(rng, 'imu', 2 * MS, 3, jitter=0)
    slow = stream(rng, 'lidar', 50 * MS, 3, silent=[(1.5, 3)])
    run = drive([*fast, *slow], synchronizer)
    assert synchronizer.statistics.dropped['imu'][OVERFLOW] > 100
    assert longest_gap(run.emission_times()) <= 3 * MAX_WAIT


def test_7_wrong_stamps_are_rejected_and_counted():
    synchronizer = Synchronizer(('camera',))
    for stamp in (0, -5, START - 10_001 * MS, START + 201 * MS):
        assert synchronizer.add('camera', stamp, 'item', START) == []
    assert synchronizer.statistics.dropped['camera'] == {
        ZERO_STAMP: 2, ANCIENT_STAMP: 1, FUTURE_STAMP: 1}
    assert synchronizer.statistics.accepted == {'camera': 0}
    assert set(synchronizer.statistics.dropped['camera']) == set(BAD_STAMPS)
    assert synchronizer.live(START) == ()


@pytest.mark.parametrize('difference', [-3600_000 * MS, 5000 * MS])
def test_7_a_clock_difference_is_reported_after_timeout_and_until_the_clocks_agree(difference):
    synchronizer = Synchronizer(('camera',))
    now = START * 10
    for _ in range(4):
        synchronizer.add('camera', now + difference, 'item', now)
        assert synchronizer.clock_difference_ns('camera', now) is None
        now += 150 * MS
    assert synchronizer.clock_difference_ns('camera', now) == difference
    synchronizer.add('camera', now, 'item', now)
    assert synchronizer.clock_difference_ns('camera', now) is None


def test_sensors_with_equal_stamps_are_fused_from_their_second_message_on():
    synchronizer = Synchronizer(('camera', 'depth'))
    sets = []
    for stamp in range(START, START + 1000 * MS, 100 * MS):
        for name in ('camera', 'depth'):
            sets += synchronizer.add(name, stamp, name, stamp)
    assert [tuple(fused.items) for fused in sets] == [('camera',), *[('camera', 'depth')] * 9]


def test_offsets_correct_the_stamps():
    synchronizer = Synchronizer(('camera', 'lidar'), offsets={'lidar': 0.08})
    synchronizer.add('camera', START - 200 * MS, 'first', START - 200 * MS)
    synchronizer.add('lidar', START - 100 * MS, 'first', START - 190 * MS)
    synchronizer.add('camera', START, 'image', START)
    (emitted,) = synchronizer.add('lidar', START + 90 * MS, 'scan', START + 5 * MS)
    assert emitted.stamp_ns == START + 10 * MS
    assert list(emitted.items) == ['camera', 'lidar']


@pytest.mark.parametrize(('options', 'reason'), [
    ({'slop': -0.1}, 'slop -0.1'), ({'max_wait': float('nan')}, 'max_wait nan'),
    ({'queue_size': 0}, 'queue_size 0'), ({'patience': 1}, 'patience'),
    ({'offsets': {'sonar': 1.0}}, 'sonar'),
])
def test_wrong_options_are_rejected_with_the_reason(options, reason):
    with pytest.raises(ValueError, match=reason):
        Synchronizer(('camera',), **options)


def test_wrong_sensors_are_rejected():
    with pytest.raises(ValueError, match='each once'):
        Synchronizer(())
    with pytest.raises(ValueError, match='sonar'):
        Synchronizer(('camera',)).add('sonar', START, None, START)

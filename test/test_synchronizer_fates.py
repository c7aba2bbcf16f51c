# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
What becomes of every single measurement, checked by an observer that keeps its own account.

The observer holds items by weak references only. An item that the synchronizer no longer holds is
gone, so the observer sees from outside what waits, what is emitted and what is dropped, and when.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain, pairwise, product
import random
import weakref

from hypothesis import given, settings
from hypothesis import strategies as st

from m2vae_ros.fusion.options import SynchronizerOptions
from m2vae_ros.fusion.synchronizer import Synchronizer

MS = 1_000_000
SLOP, MAX_WAIT, TIMEOUT = 50 * MS, 120 * MS, 500 * MS
START = 1_000_000 * MS
QUEUE_SIZE = SynchronizerOptions().queue_size
NAMES = ('camera', 'lidar', 'depth', 'radar')
DROPPED_FROM_QUEUE = ('unmatched', 'overflow')


class Item:
    """A measurement that knows when it arrived."""

    def __init__(self, sensor, stamp_ns, arrival_ns):
        self.sensor, self.stamp_ns, self.arrival_ns = sensor, stamp_ns, arrival_ns


class Observer:
    """Feeds a synchronizer, polls it exactly at each deadline, and checks every step."""

    def __init__(self, names, timeout_ns=TIMEOUT):
        self.names, self.timeout_ns = names, timeout_ns
        self.synchronizer = Synchronizer(names, timeout=timeout_ns / 1e9)
        self.waiting = []  # weak references
        self.heard_ns, self.newest_ns = {}, {}
        self.dropped = dict.fromkeys(names, 0)
        self.overflows = Counter()
        self.emissions = []  # (when, set)
        self.last_stamp_ns = -1
        self.owed_ns = []  # arrivals that no set has followed yet, though promise 3 owes one

    def live(self, now_ns):
        return tuple(
            name for name in self.names
            if name in self.heard_ns and now_ns - self.heard_ns[name] < self.timeout_ns
        )

    def feed(self, arrivals):
        for arrival_ns, sensor, stamp_ns in sorted(arrivals):
            self.poll_before(arrival_ns)
            self.heard_ns[sensor] = arrival_ns
            item = Item(sensor, stamp_ns, arrival_ns)
            before = self.items()
            if stamp_ns > self.last_stamp_ns:
                self.newest_ns[sensor] = max(stamp_ns, self.newest_ns.get(sensor, 0))
                self.owed_ns.append(arrival_ns)
                before.append(item)
            sets = self.synchronizer.add(sensor, stamp_ns, item, arrival_ns)
            del item
            if self.synchronizer.statistics.clock_jumps:
                return  # all was late for timeout: reported, and the promises begin anew
            self.check(sets, before, arrival_ns)
        self.poll_before(float('inf'))
        assert self.synchronizer.next_deadline_ns is None
        assert not self.waiting
        assert not self.owed_ns, 'promise 3'

    def poll_before(self, limit_ns):
        while (due_ns := self.synchronizer.next_deadline_ns) is not None and due_ns < limit_ns:
            before = self.items()
            self.check(self.synchronizer.poll(due_ns), before, due_ns)

    def items(self):
        return [item for ref in self.waiting if (item := ref())]

    def check(self, sets, before, now_ns):
        queued = Counter(item.sensor for item in before)
        for fused in sets:
            self.emissions.append((now_ns, fused))
            self.check_that_it_has_all_matches(fused, before)
            for item in fused.items.values():
                before.remove(item)
            self.last_stamp_ns = fused.stamp_ns
        gone = {id(item): (item.sensor, item.stamp_ns) for item in before}
        self.waiting = [weakref.ref(item) for item in before]
        del before[:]
        self.waiting = [ref for ref in self.waiting if ref()]
        for item in self.items():
            del gone[id(item)]
            assert now_ns - item.arrival_ns < MAX_WAIT, 'promise 2: waits too long'
        overflows = self.new_overflows()
        for sensor, stamp_ns in sorted(gone.values()):
            if overflows[sensor]:
                overflows[sensor] -= 1
                assert queued[sensor] > QUEUE_SIZE, 'promise 2: dropped from a queue with room'
            else:
                self.check_that_it_may_be_dropped(sensor, stamp_ns, now_ns)
        self.check_counts(gone)
        assert self.synchronizer.live(now_ns) == self.live(now_ns), 'promise 4'
        self.check_that_nothing_complete_waits(now_ns)
        if self.emissions and self.emissions[-1][0] == now_ns:
            self.owed_ns = []
        assert all(now_ns - arrival_ns < 3 * MAX_WAIT for arrival_ns in self.owed_ns), 'promise 3'

    def check_that_it_has_all_matches(self, fused, waiting):
        stamps = [item.stamp_ns for item in fused.items.values()]
        assert fused.stamp_ns == max(stamps) > self.last_stamp_ns, 'promise 5'
        assert max(stamps) - min(stamps) <= SLOP
        left_out = [
            item for item in waiting
            if item.sensor not in fused.items and item.stamp_ns > self.last_stamp_ns
            and max(stamps) - SLOP <= item.stamp_ns <= min(stamps) + SLOP
        ]
        if left_out:
            oldest = min(left_out, key=lambda item: item.stamp_ns)
            assert oldest.stamp_ns > fused.stamp_ns, 'promise 2: a match was left out and lost'
            assert any(
                other.sensor in fused.items and other not in fused.items.values()
                and abs(other.stamp_ns - oldest.stamp_ns) <= SLOP for other in waiting
            ), 'promise 2: a match was left out that nothing of the set can replace'

    def new_overflows(self):
        """Return sensor -> measurements that a full queue has dropped since the last call."""
        dropped = self.synchronizer.statistics.dropped
        before, self.overflows = self.overflows, Counter({
            name: dropped[name].get('overflow', 0) for name in self.names
        })
        return self.overflows - before

    def check_that_it_may_be_dropped(self, sensor, stamp_ns, now_ns):
        assert self.emissions, 'promise 2: dropped before any set'
        assert now_ns - self.emissions[-1][0] <= 2 * MAX_WAIT, 'promise 2: dropped in a silence'
        just_emitted = [fused.items for when_ns, fused in self.emissions if when_ns == now_ns]
        others = {*self.live(now_ns), *chain(*just_emitted)} - {sensor}
        assert any(
            self.newest_ns.get(name, 0) >= stamp_ns for name in others
        ), 'promise 2: no other sensor has moved on'

    def check_counts(self, gone):
        dropped = self.synchronizer.statistics.dropped
        for name in self.names:
            self.dropped[name] += sum(sensor == name for sensor, _ in gone.values())
            counted = sum(dropped[name].get(reason, 0) for reason in DROPPED_FROM_QUEUE)
            assert counted == self.dropped[name], 'promise 6'

    def check_that_nothing_complete_waits(self, now_ns):
        stamps_of_live = [
            [item.stamp_ns for item in self.items() if item.sensor == name]
            for name in self.live(now_ns)
        ]
        if stamps_of_live:
            assert all(max(c) - min(c) > SLOP for c in product(*stamps_of_live)), 'promise 1'


def stream(rng, sensor, period, *, seconds=3.0, jitter=0, latency=(0, 0), loss=0.0, silent=(9, 9)):
    """Return (arrival, sensor, stamp) of a sensor's messages."""
    arrivals = []
    for index in range(int(seconds * 1e9 / period)):
        stamp = START + int((index + rng.random() * 0.1) * period + rng.gauss(0, 1) * jitter)
        arrival = stamp + rng.randint(*latency)
        silenced = silent[0] <= (stamp - START) / 1e9 < silent[1]
        if not silenced and rng.random() >= loss:
            arrivals.append((arrival, sensor, stamp))
    return arrivals


@st.composite
def drives(draw):
    """Return sensors and arrivals: any rate, delay and loss; sensors die and come back."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    names = NAMES[:draw(st.integers(1, 4))]
    arrivals = []
    for name in names:
        death = rng.uniform(0, 5)
        slowest = rng.choice([0, 5, 40, 150]) * MS
        arrivals += stream(
            rng, name, rng.randrange(15 * MS, 250 * MS), jitter=rng.choice([0, 3, 20]) * MS,
            latency=(slowest // 2, slowest), loss=rng.choice([0, 0, 0.2]),
            silent=(death, death + rng.uniform(0, 3)),
        )
    return names, arrivals


@given(drive=drives(), timeout=st.sampled_from([80 * MS, TIMEOUT]))
@settings(max_examples=60, deadline=None)
def test_every_measurement_is_emitted_or_dropped_as_promised(drive, timeout):
    names, arrivals = drive
    Observer(names, timeout).feed(arrivals)


@given(drives())
@settings(max_examples=40, deadline=None)
def test_what_is_emitted_does_not_depend_on_how_often_it_is_polled(drive):
    names, arrivals = drive
    polled, unpolled = Synchronizer(names), Synchronizer(names)
    sets_polled, sets_unpolled = [], []
    for arrival, sensor, stamp in sorted(arrivals):
        while (due := polled.next_deadline_ns) is not None and due < arrival:
            sets_polled += polled.poll(due)
        sets_polled += polled.add(sensor, stamp, (sensor, stamp), arrival)
        sets_unpolled += unpolled.add(sensor, stamp, (sensor, stamp), arrival)
    sets_polled += polled.poll(START * 2)
    sets_unpolled += unpolled.poll(START * 2)
    assert [dict(fused.items) for fused in sets_unpolled] == [
        dict(fused.items) for fused in sets_polled
    ]
    assert unpolled.statistics == polled.statistics


@given(seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_a_sensor_that_always_comes_later_than_the_others_is_still_waited_for(seed):
    rng = random.Random(seed)
    arrivals = [
        *stream(rng, 'camera', 33 * MS, seconds=10, latency=(5 * MS, 10 * MS)),
        *stream(rng, 'lidar', 100 * MS, seconds=10, latency=(90 * MS, 110 * MS)),
        *stream(rng, 'depth', 83 * MS, seconds=10, latency=(5 * MS, 30 * MS)),
    ]
    synchronizer = Synchronizer(NAMES[:3], max_wait=0.25)
    for arrival, sensor, stamp in sorted(arrivals):
        synchronizer.add(sensor, stamp, None, arrival)
    assert synchronizer.statistics.sets[NAMES[:3]] >= 0.98 * (100 - 4)


def test_it_is_reported_by_how_much_a_stream_is_always_late():
    synchronizer = Synchronizer(('camera', 'lidar'))
    for now in range(START, START + 900 * MS, 50 * MS):
        synchronizer.add('camera', now, None, now)
        synchronizer.add('lidar', now - 5000 * MS, None, now)
    assert synchronizer.clock_difference_ns('lidar', now) == -5000 * MS
    assert synchronizer.clock_difference_ns('camera', now) is None


def test_a_single_stray_message_is_no_clock_difference():
    synchronizer = Synchronizer(('camera',), offsets={'camera': 2.0})
    synchronizer.add('camera', START - 60_000 * MS, None, START)
    assert synchronizer.clock_difference_ns('camera', START + 5000 * MS) is None
    synchronizer.add('camera', START - 55_000 * MS, None, START + 5000 * MS)
    assert synchronizer.clock_difference_ns('camera', START + 5000 * MS) == -60_000 * MS


@given(
    seed=st.integers(0, 2**32), timeout=st.sampled_from([0.0, 0.03, 0.1]),
    latest=st.integers(0, 300),
)
@settings(max_examples=30, deadline=None)
def test_messages_out_of_order_are_no_clock_jump_however_short_the_timeout(seed, timeout, latest):
    rng = random.Random(seed)
    arrivals = [
        (stamp + rng.randrange(latest * MS + 1), stamp)
        for stamp in range(START, START + 3000 * MS, 20 * MS)
    ]
    synchronizer = Synchronizer(('camera',), timeout=timeout)
    sets = []
    for arrival, stamp in sorted(arrivals):
        for _ in range(2):  # a message that comes twice is late as well
            sets += synchronizer.add('camera', stamp, None, arrival)
    assert synchronizer.statistics.clock_jumps == 0
    assert all(a.stamp_ns < b.stamp_ns for a, b in pairwise(sets))

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A recording meets the synchroniser at the times at which a timer would live."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from m2vae_ros.fusion.playback import play
from m2vae_ros.fusion.synchronizer import Synchronizer

MS = 1_000_000
START = 1_000_000 * MS


class Receiver:
    """A synchronizer whose messages are their stamps; keeps when it was polled."""

    def __init__(self, *sensors, **options):
        self.synchronizer = Synchronizer(sensors, **options)
        self.polled = []

    @property
    def next_deadline_ns(self):
        return self.synchronizer.next_deadline_ns

    def receive(self, sensor, message, now_ns):
        return self.synchronizer.add(sensor, message, message, now_ns)

    def poll(self, now_ns):
        self.polled.append(now_ns)
        return self.synchronizer.poll(now_ns)


def test_what_waits_leaves_at_its_deadline_and_not_at_the_next_message():
    receiver = Receiver('a', 'b', max_wait=0.1)
    arrivals = [(sensor, START + at * MS, START + at * MS)
                for sensor, at in (('a', 0), ('b', 10), ('a', 900))]
    assert [set(one.items) for one in play(receiver, arrivals)] == [{'a'}, {'b'}, {'a'}]
    assert receiver.polled == [START + 110 * MS]


def test_nothing_is_left_behind_at_the_end():
    receiver = Receiver('a', 'b', max_wait=0.1)
    sets = list(play(receiver, [('a', START, START)]))
    assert [one.items for one in sets] == [{'a': START}]
    assert receiver.next_deadline_ns is None


def test_a_clock_that_jumps_back_goes_on():
    receiver = Receiver('a')
    once = [('a', START + at * MS, START + at * MS) for at in range(0, 1000, 100)]
    assert len(list(play(receiver, once + once))) == 20


@given(st.lists(st.tuples(st.sampled_from('abc'), st.integers(0, 300)), max_size=40))
def test_sets_are_those_of_a_timer_that_fires_every_millisecond(steps):
    now, arrivals = START, []
    for sensor, wait in steps:
        now += wait * MS
        arrivals.append((sensor, now, now))
    sets = list(play(Receiver('a', 'b', 'c'), arrivals))
    live = Receiver('a', 'b', 'c')
    expected = []
    left = list(arrivals)
    for at in range(START, now + 1000 * MS, MS):
        expected += live.poll(at)
        while left and left[0][1] == at:
            expected += live.receive(left[0][0], left[0][2], at)
            left.pop(0)
    assert [one.items for one in sets] == [one.items for one in expected]

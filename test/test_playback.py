# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A recording is polled when the node's timer would fire, so its sets are those of the node."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from m2vae_ros.fusion.playback import play
from m2vae_ros.fusion.synchronizer import Synchronizer

MS = 1_000_000
START = 1_000_000 * MS


class Receiver:
    """A synchronizer whose messages are their stamps; remembers when it was polled."""

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


def test_what_waits_is_emitted_at_its_deadline_and_not_at_the_next_message():
    receiver = Receiver('a', 'b', max_wait=0.1)
    arrivals = [(sensor, START + elapsed * MS, START + elapsed * MS)
                for sensor, elapsed in (('a', 0), ('b', 10), ('a', 900))]
    assert [set(fused.items) for fused in play(receiver, arrivals)] == [{'a'}, {'b'}, {'a'}]
    assert receiver.polled == [START + 110 * MS]


def test_what_still_waits_at_the_end_is_emitted():
    receiver = Receiver('a', 'b', max_wait=0.1)
    sets = list(play(receiver, [('a', START, START)]))
    assert [fused.items for fused in sets] == [{'a': START}]
    assert receiver.next_deadline_ns is None


def test_after_a_clock_jump_sets_are_emitted_again():
    receiver = Receiver('a')
    drive = [('a', now, now) for now in range(START, START + 1000 * MS, 100 * MS)]
    assert len(list(play(receiver, drive + drive))) == 20


@given(st.lists(st.tuples(st.sampled_from('abc'), st.integers(0, 300)), max_size=40))
def test_sets_are_those_of_a_timer_that_fires_every_millisecond(steps):
    now, arrivals = START, []
    for sensor, wait in steps:
        now += wait * MS
        arrivals.append((sensor, now, now))
    sets = list(play(Receiver('a', 'b', 'c'), arrivals))
    live = Receiver('a', 'b', 'c')
    expected = []
    to_come = list(arrivals)
    for tick in range(START, now + 1000 * MS, MS):
        expected += live.poll(tick)
        while to_come and to_come[0][1] == tick:
            sensor, _, message = to_come.pop(0)
            expected += live.receive(sensor, message, tick)
    assert [fused.items for fused in sets] == [fused.items for fused in expected]

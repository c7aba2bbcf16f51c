# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What takes long to decode changes no set, and holds up none for longer than ``max_wait``."""

from __future__ import annotations

import queue
import threading
from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from m2vae_ros.fusion.live.reception import DECODED_LATE, NOT_DECODED, Reception
from m2vae_ros.fusion.pipeline import Pipeline
from m2vae_ros.fusion.playback import play
from m2vae_ros.fusion.synchronizer import Synchronizer
from m2vae_ros.sensors.kinds import takes_long
from m2vae_ros.sensors.messages import InvalidMessage
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.specs import Measurement
from m2vae_ros.vae.model import Architecture, M2VAE

MS = 1_000_000
START = 1_000_000 * MS
NAMES = ('camera', 'lidar', 'depth')
MAX_WAIT = 120 * MS


class Slowly(Pipeline):
    """A pipeline whose camera decodes when it is told to, and with what result."""

    def __init__(self):
        super().__init__(M2VAE(SENSORS, Architecture(2, 4, 4)), device='cpu')
        self.callbacks = threading.current_thread()
        self.begin()

    def begin(self, offsets=None):
        """Begin anew, with queues that are empty."""
        self.synchronizer = Synchronizer(NAMES, offsets=offsets)
        self._invalid['camera'].clear()
        self._withdrawn['camera'] = 0
        self.in_hand = queue.Queue()
        self.results = queue.Queue()
        self.decoded = threading.Semaphore(0)
        self.failures = []
        self.has_taken = False
        return Reception(self, self.decoded.release, self.failures.append)

    def decode(self, sensor, message):
        stamp = message.header.stamp
        measurement = Measurement(
            np.zeros(1), np.ones(1, bool), np.ones(1, bool), stamp.sec * 10**9 + stamp.nanosec,
            '',
        )
        if threading.current_thread() is self.callbacks:
            return measurement
        self.in_hand.put(message)
        result = self.results.get()
        if result is not None:
            raise result
        return measurement

    def take(self):
        """Wait until a message of the camera is in hand."""
        self.has_taken = bool(self.in_hand.get())

    def finish(self, result=None):
        """Let the camera's message in hand be decoded, or fail."""
        if not self.has_taken:
            self.take()
        self.has_taken = False
        self.results.put(result)
        self.decoded.acquire()


PIPELINE = Slowly()


@pytest.fixture
def reception():
    made = PIPELINE.begin()
    yield made
    end(made)


def end(reception):
    reception.stop(0)
    for _ in range(10):
        PIPELINE.results.put(None)
    assert reception.stop(60)


def message(sensor, now):
    stamp = SimpleNamespace(sec=now // 10**9, nanosec=now % 10**9)
    header = SimpleNamespace(stamp=stamp, frame_id='')
    fields = {'format': 'jpeg', 'data': b''} if sensor == 'camera' else {'ranges': []}
    return SimpleNamespace(header=header, **fields)


def make_live(reception):
    """Have camera and lidar be live, with nothing that waits."""
    receive(reception, 'camera', -400)
    PIPELINE.finish()
    receive(reception, 'lidar', -399)
    poll(reception, -200)
    assert reception.next_deadline_ns is None


def receive(reception, sensor, elapsed):
    now = START + elapsed * MS
    return shown(reception.receive(sensor, message(sensor, now), now))


def poll(reception, elapsed):
    return shown(reception.poll(START + elapsed * MS))


def shown(deliveries):
    """Return the stamp of each set, and the stamps of its measurements, in ms since the start."""
    return [describe(delivery.fused_set) for delivery in deliveries]


def describe(fused_set):
    assert all(isinstance(item, Measurement) for item in fused_set.items.values())
    return (fused_set.stamp_ns - START) // MS, {
        name: (item.stamp_ns - START) // MS for name, item in fused_set.items.items()
    }


@settings(max_examples=60)
@given(st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(1, 150), st.integers(0, 119)), max_size=30,
))
def test_the_sets_are_those_of_a_recording_however_long_decoding_takes(steps):
    now, arrivals = START, []
    for sensor, gap, _ in steps:
        now += gap * MS
        arrivals.append((sensor, now, message(sensor, now)))
    PIPELINE.begin()
    expected = [describe(fused_set) for fused_set in play(PIPELINE, arrivals)]

    reception = PIPELINE.begin()
    events = [(now, 0, index) for index, (_, now, _) in enumerate(arrivals)]
    images = [(now, step[2] * MS) for (sensor, now, _), step in zip(arrivals, steps, strict=True)
              if sensor == 'camera']
    following = [*(now for now, _ in images[1:]), now + 1000 * MS]
    for (arrived, takes), before in zip(images, following, strict=False):
        events.append((min(arrived + takes, before - 1), 1, None))
    live = []
    for now, _, index in sorted(events, key=lambda event: event[:2]):
        while (due := reception.next_deadline_ns) is not None and due < now:
            live += shown(reception.poll(due))
        if index is None:
            PIPELINE.finish()
            live += shown(reception.poll(now))
        else:
            sensor, _, sent = arrivals[index]
            live += shown(reception.receive(sensor, sent, now))
    while (due := reception.next_deadline_ns) is not None:
        live += shown(reception.poll(due))
    end(reception)
    assert live == expected


def test_a_set_waits_for_its_image_and_other_messages_do_not(reception):
    make_live(reception)
    assert receive(reception, 'lidar', 0) == []
    assert receive(reception, 'camera', 10) == []  # complete, and not yet decoded
    assert receive(reception, 'lidar', 100) == []
    assert reception.next_deadline_ns == START + 10 * MS + MAX_WAIT
    PIPELINE.finish()
    assert poll(reception, 125) == [(10, {'lidar': 0, 'camera': 10})]
    assert poll(reception, 220) == [(100, {'lidar': 100})]


def test_a_set_goes_without_an_image_that_takes_too_long(reception):
    make_live(reception)
    receive(reception, 'lidar', 0)
    assert receive(reception, 'camera', 10) == []
    assert poll(reception, 129) == []
    assert reception.next_deadline_ns == START + 10 * MS + MAX_WAIT
    assert poll(reception, 130) == [(0, {'lidar': 0})]
    PIPELINE.finish()
    assert poll(reception, 135) == []
    assert reception.undecoded['camera'] == {DECODED_LATE: 1}


def test_a_sensor_that_took_too_long_holds_up_nothing_until_it_is_in_time_again(reception):
    receive(reception, 'camera', 0)
    assert poll(reception, 120) == []
    PIPELINE.finish()
    poll(reception, 130)
    receive(reception, 'camera', 600)
    assert receive(reception, 'lidar', 605) == [(605, {'lidar': 605})]  # complete without it
    PIPELINE.finish()
    assert poll(reception, 650) == []  # too late for that scan
    assert receive(reception, 'lidar', 700) == []
    assert receive(reception, 'camera', 710) == []  # in its place at once
    PIPELINE.finish()
    assert poll(reception, 730) == [(710, {'camera': 710, 'lidar': 700})]


def test_an_image_that_took_more_than_a_second_is_fused_only_where_nothing_else_is_live(reception):
    receive(reception, 'camera', 0)
    assert poll(reception, 120) == []
    PIPELINE.finish()
    poll(reception, 300)
    receive(reception, 'camera', 400)
    PIPELINE.finish()
    assert poll(reception, 1500) == [(400, {'camera': 400})]
    receive(reception, 'camera', 2000)
    receive(reception, 'lidar', 3000)
    PIPELINE.finish()
    poll(reception, 3001)
    assert reception.undecoded['camera'] == {DECODED_LATE: 2}
    assert PIPELINE.synchronizer.statistics.dropped['camera'] == {}


def test_of_images_that_wait_only_the_newest_is_decoded_and_the_others_are_counted(reception):
    receive(reception, 'camera', 0)
    PIPELINE.take()
    for elapsed in (30, 60):
        receive(reception, 'camera', elapsed)
    PIPELINE.finish()
    assert poll(reception, 70) == [(0, {'camera': 0})]
    PIPELINE.finish()
    assert poll(reception, 80) == [(60, {'camera': 60})]
    assert reception.undecoded['camera'] == {NOT_DECODED: 1}
    assert reception.longest_decoding('camera') > 0
    assert reception.longest_decoding('lidar') is None


def test_where_most_images_are_not_decoded_sets_are_made_of_those_that_are(reception):
    make_live(reception)
    live = []
    for elapsed in range(0, 1200, 30):
        receive(reception, 'camera', elapsed)
        if elapsed % 90 == 0:
            PIPELINE.take()
        elif elapsed % 90 == 60:
            live += receive(reception, 'lidar', elapsed + 1)
            PIPELINE.finish()
            live += poll(reception, elapsed + 25)
    assert reception.undecoded['camera'] == {NOT_DECODED: 25}
    assert [len(items) for _, items in live[-8:]] == [2] * 8


def test_an_image_that_turns_out_invalid_leaves_its_set(reception):
    make_live(reception)
    receive(reception, 'lidar', 0)
    assert receive(reception, 'camera', 10) == []
    PIPELINE.finish(InvalidMessage('truncated', 'half of it'))
    assert poll(reception, 20) == [(0, {'lidar': 0})]
    assert PIPELINE.invalid['camera'] == {'truncated': 1}
    assert reception.undecoded['camera'] == {}


def test_a_camera_whose_images_are_all_invalid_holds_up_only_one_set(reception):
    for elapsed in range(0, 2000, 100):
        receive(reception, 'camera', elapsed)
        PIPELINE.finish(InvalidMessage('truncated', 'half of it'))
        poll(reception, elapsed + 1)
    assert PIPELINE.invalid['camera'] == {'truncated': 20}
    accepted = PIPELINE.synchronizer.statistics.accepted['camera']
    assert accepted - PIPELINE.withdrawn['camera'] == 0
    assert receive(reception, 'lidar', 2000) == [(2000, {'lidar': 2000})]


def test_the_stamp_of_a_set_is_of_what_is_in_it_and_corrected():
    reception = PIPELINE.begin({'lidar': 0.02})
    make_live(reception)
    receive(reception, 'lidar', 0)
    assert receive(reception, 'camera', 10) == []
    PIPELINE.finish(InvalidMessage('truncated', 'half of it'))
    assert poll(reception, 20) == [(-20, {'lidar': 0})]
    end(reception)


def test_any_error_of_decoding_reaches_the_caller_and_costs_one_message(reception):
    receive(reception, 'camera', 0)
    error = MemoryError()
    PIPELINE.finish(error)
    assert poll(reception, 10) == []
    assert PIPELINE.failures == [error]
    receive(reception, 'camera', 100)
    PIPELINE.finish()
    assert poll(reception, 110) == [(100, {'camera': 100})]


def test_a_clock_that_steps_back_leaves_nothing_waiting(reception):
    receive(reception, 'camera', 5000)
    assert poll(reception, 0) == []
    assert receive(reception, 'lidar', 10) == [(10, {'lidar': 10})]


def test_a_stopped_reception_forgets_what_is_being_decoded(reception):
    receive(reception, 'camera', 0)
    PIPELINE.take()
    assert not reception.stop(0.01)
    assert poll(reception, 200) == []
    PIPELINE.results.put(None)
    assert reception.stop(60)
    assert not PIPELINE.decoded.acquire(blocking=False)
    other = Reception(PIPELINE, PIPELINE.decoded.release, PIPELINE.failures.append)
    assert receive(other, 'lidar', 210) == []
    assert poll(other, 330) == [(210, {'lidar': 210})]


def test_where_nothing_is_decoded_beside_others_the_result_is_there_at_once():
    PIPELINE.begin()
    reception = Reception(PIPELINE, pytest.fail, pytest.fail, lambda: False)
    assert receive(reception, 'camera', 0) == [(0, {'camera': 0})]


@pytest.mark.parametrize(('fields', 'long'), [
    ({'format': 'png', 'data': b''}, True),
    ({'data': bytes(640 * 480 * 3)}, False),
    ({'data': bytes(1920 * 1080 * 3)}, True),
    ({'ranges': [1.0]}, False),
    ({'data': None}, False),
])
def test_what_takes_long_is_compressed_or_large(fields, long):
    assert takes_long(SimpleNamespace(**fields)) is long

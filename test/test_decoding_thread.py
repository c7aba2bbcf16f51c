# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A thread that decodes: the newest of what waits wins, and nothing but `stop` ends it."""

from __future__ import annotations

import queue
import threading

import pytest

from m2vae_ros.fusion.live.decoding_thread import Decoding, DecodingThread, is_decoding


class Decoder:
    """Decodes when it is told to; says which message is in hand, and which is finished."""

    def __init__(self):
        self.in_hand = queue.Queue()
        self.results = queue.Queue()
        self.finished = threading.Semaphore(0)
        self.thread = DecodingThread('camera', self.decode, self.finished.release)

    def decode(self, message):
        self.in_hand.put(message)
        result = self.results.get()
        if isinstance(result, Exception):
            raise result
        return result


@pytest.fixture
def decoder():
    made = Decoder()
    yield made
    made.thread.stop()
    made.results.put('the end')
    assert made.thread.join(60)


def test_of_what_waits_the_newest_is_decoded_and_the_others_are_given_back(decoder):
    first, second, third = (Decoding(number) for number in range(3))
    assert decoder.thread.put(first) is None
    assert decoder.in_hand.get() == 0
    assert decoder.thread.put(second) is None
    assert decoder.thread.put(third) is second
    for decoding in (first, third):
        assert not decoding.is_done
        decoder.results.put('measurement')
        decoder.finished.acquire()
        assert decoding.is_done
        assert decoding.measurement == 'measurement'
        assert decoding.message is None
    assert decoder.in_hand.get() == 2
    assert decoder.in_hand.empty()
    assert not second.is_done


def test_what_is_raised_is_kept_and_the_next_message_is_decoded(decoder):
    for result in (ValueError('odd'), MemoryError(), 'measurement'):
        decoding = Decoding('message')
        decoder.thread.put(decoding)
        decoder.results.put(result)
        decoder.finished.acquire()
        kept = decoding.measurement if decoding.error is None else decoding.error
        assert kept is result


def test_a_stopped_thread_ends_after_the_message_in_hand_and_says_nothing(decoder):
    decoder.thread.put(Decoding('in hand'))
    decoder.in_hand.get()
    decoder.thread.put(Decoding('waits'))
    decoder.thread.stop()
    assert not decoder.thread.join(0.01)
    assert is_decoding()
    decoder.results.put('measurement')
    assert decoder.thread.join(60)
    assert not is_decoding()
    assert decoder.in_hand.empty()
    assert not decoder.finished.acquire(blocking=False)

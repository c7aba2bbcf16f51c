# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Between callbacks and worker the newest wins, and nothing but the process's end stops it."""

from __future__ import annotations

import threading

from hypothesis import given, strategies

from m2vae_ros.fusion.live.reception import Delivery
from m2vae_ros.node.worker import Mailbox, Worker


def delivery(number):
    return Delivery(fused_set=number, entered_ns=0)


@given(strategies.lists(strategies.lists(strategies.integers(), max_size=3), max_size=10))
def test_what_nobody_took_is_replaced_by_the_newest_and_counted(batches):
    mailbox = Mailbox()
    for batch in batches:
        mailbox.put(delivery(number) for number in batch)
    fresh = next((batch for batch in reversed(batches) if batch), [])
    reader = iter(mailbox)
    assert [next(reader).fused_set for _ in fresh] == fresh
    assert mailbox.dropped == sum(map(len, batches)) - len(fresh)


def test_a_busy_worker_gets_the_newest_next():
    busy, free, done = threading.Event(), threading.Event(), threading.Event()
    worked = []

    def work(delivered):
        busy.set()
        free.wait()
        worked.append(delivered.fused_set)
        if delivered.fused_set == 4:
            done.set()

    worker = Worker(work, failed=lambda error: None)
    worker.start()
    worker.mailbox.put([delivery(1)])
    busy.wait()
    for number in (2, 3, 4):
        worker.mailbox.put([delivery(number)])
    free.set()
    done.wait()
    worker.stop()
    assert worked == [1, 4]
    assert worker.mailbox.dropped == 2


def test_a_set_that_cannot_be_fused_does_not_end_the_worker():
    errors, done = [], threading.Event()

    def work(delivered):
        if delivered.fused_set == 0:
            raise RuntimeError('out of memory')
        done.set()

    worker = Worker(work, errors.append)
    worker.start()
    worker.mailbox.put([delivery(0), delivery(1)])
    done.wait()
    worker.stop()
    assert [str(error) for error in errors] == ['out of memory']


def test_with_room_for_some_the_oldest_beyond_it_is_dropped():
    mailbox = Mailbox(room=3)
    for number in range(5):
        mailbox.put([delivery(number)])
    assert mailbox.dropped == 2
    taken = iter(mailbox)
    assert [next(taken).fused_set for _ in range(3)] == [2, 3, 4]


def test_stopping_ends_the_thread_although_a_set_is_in_hand_and_another_waits():
    busy, free = threading.Event(), threading.Event()

    def work(delivered):
        busy.set()
        free.wait()

    worker = Worker(work, failed=lambda error: None)
    worker.start()
    worker.mailbox.put([delivery(1)])
    busy.wait()
    worker.mailbox.put([delivery(2)])
    stopper = threading.Thread(target=worker.stop, daemon=True)
    stopper.start()
    free.set()
    stopper.join()
    assert 'fusion-worker' not in [thread.name for thread in threading.enumerate()]

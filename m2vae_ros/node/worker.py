# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The thread that infers and publishes, and its mailbox, in which the newest sets win."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
import threading

from m2vae_ros.fusion.live.reception import Delivery


class Mailbox:
    """
    A queue of a few sets; a full one drops its oldest sets and counts them.

    All sets that one callback completes are kept together, even if they are more than the queue
    has room for.

    Parameters
    ----------
    room
        Sets that may wait.

    """

    def __init__(self, room: int = 1) -> None:
        self.dropped = 0
        self._room = room
        self._changed = threading.Condition()
        self._waiting: list[Delivery] = []
        self._closed = False

    def put(self, deliveries: Iterable[Delivery]) -> None:
        """Queue sets, in the order of their stamps; drop and count what there is no room for."""
        fresh = list(deliveries)
        if not fresh:
            return
        with self._changed:
            self._waiting += fresh
            excess = max(0, len(self._waiting) - max(self._room, len(fresh)))
            self.dropped += excess
            del self._waiting[:excess]
            self._changed.notify()

    def close(self) -> None:
        """End the iteration of the reader, and discard what is queued."""
        with self._changed:
            self._waiting = []
            self._closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Delivery]:
        """Yield deliveries, waiting for each, until the mailbox is closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                delivery = self._waiting.pop(0)
            yield delivery


class Worker:
    """
    Work through a mailbox in a thread of its own.

    Parameters
    ----------
    work
        Called with each delivery.
    failed
        Called with what ``work`` raised; the thread goes on with the next delivery.
    room
        Deliveries that may wait.

    """

    def __init__(
        self,
        work: Callable[[Delivery], None],
        failed: Callable[[Exception], None],
        room: int = 1,
    ) -> None:
        self.mailbox = Mailbox(room)
        self._work = work
        self._failed = failed
        self._thread = threading.Thread(target=self._run, name='fusion-worker', daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the delivery in hand, if any, and end the thread."""
        self.mailbox.close()
        self._thread.join()

    def _run(self) -> None:
        for delivery in self.mailbox:
            try:
                self._work(delivery)
            except Exception as error:  # one bad set must not end the fusion of all others
                self._failed(error)

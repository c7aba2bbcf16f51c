# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Hand fused sets from the callbacks' thread to the worker's: the newest wins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
import threading
from typing import Any


@dataclass(frozen=True, eq=False)
class Delivery:
    """
    A fused set on its way to the worker.

    Parameters
    ----------
    fused_set
        What the synchroniser put together.
    entered_ns
        ``time.perf_counter_ns()`` at entry of the callback that completed it.

    """

    fused_set: Any
    entered_ns: int


class Mailbox:
    """
    Room for what one callback completed.

    A callback hardly ever completes more than one set. When it does, all of them wait here
    together; whatever is still waiting when the next callback delivers is dropped and counted.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._changed = threading.Condition()
        self._waiting: list[Delivery] = []
        self._closed = False

    def put(self, deliveries: Iterable[Delivery]) -> None:
        """Deliver, in the order of stamps; drop and count what was not yet taken."""
        fresh = list(deliveries)
        if not fresh:
            return
        with self._changed:
            self.dropped += len(self._waiting)
            self._waiting = fresh
            self._changed.notify()

    def close(self) -> None:
        """Let the reader end; what still waits is forgotten."""
        with self._changed:
            self._waiting = []
            self._closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Delivery]:
        """Wait for one delivery after another, until the mailbox is closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                delivery = self._waiting.pop(0)
            yield delivery

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
A recording through the pipeline as on the live node: the time of receipt is the clock.

On the node a timer polls the pipeline at its next deadline. Here the same is done between two
messages, with the deadline as the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from m2vae_ros.fusion.synchronizer import FusedSet

Arrival = tuple[str, int, Any]  # sensor, time of receipt in nanoseconds, message


class Receiver(Protocol):
    """What takes messages and emits fused sets, as `Pipeline` does."""

    @property
    def next_deadline_ns(self) -> int | None:
        """When `poll` is next due, on the clock of ``now_ns``; None while nothing waits."""

    def receive(self, sensor: str, message: Any, now_ns: int) -> list[FusedSet]:
        """Take a message; return the sets that are emitted because of it."""

    def poll(self, now_ns: int) -> list[FusedSet]:
        """Return the sets whose time is up."""


def play(receiver: Receiver, arrivals: Iterable[Arrival]) -> Iterator[FusedSet]:
    """
    Yield the sets of a recording, those that still wait after its last message included.

    Parameters
    ----------
    receiver
        Takes the messages; it is polled at every deadline before the next message.
    arrivals
        Messages, in the order of their receipt.

    """
    for sensor, now_ns, message in arrivals:
        yield from _poll_before(receiver, now_ns)
        yield from receiver.receive(sensor, message, now_ns)
    yield from _poll_before(receiver, None)


def _poll_before(receiver: Receiver, end_ns: int | None) -> Iterator[FusedSet]:
    """Poll at every deadline before ``end_ns``, or until nothing waits; yield the sets."""
    polled_ns = None
    while True:
        deadline_ns = receiver.next_deadline_ns
        if deadline_ns is None or (end_ns is not None and deadline_ns >= end_ns):
            return
        if polled_ns is not None and deadline_ns <= polled_ns:  # it did not move on: poll once
            return
        polled_ns = deadline_ns
        yield from receiver.poll(deadline_ns)

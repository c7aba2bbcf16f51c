# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
A recording on the road of the live node: the time of its messages' receipt is the clock.

Live, a timer fires when something has waited long enough. Here the same happens exactly at its
time, between two messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from m2vae_ros.fusion.synchronizer import FusedSet

Arrival = tuple[str, int, Any]  # sensor, when it was received in nanoseconds, message


class Receiver(Protocol):
    """Whoever takes messages and gives fused sets, as `Pipeline` does."""

    @property
    def next_deadline_ns(self) -> int | None:
        """When `poll` is next due, on the clock of `now_ns`; None if nothing waits."""

    def receive(self, sensor: str, message: Any, now_ns: int) -> list[FusedSet]:
        """Take a message; return the sets that leave because of it."""

    def poll(self, now_ns: int) -> list[FusedSet]:
        """Return the sets whose time is up."""


def play(receiver: Receiver, arrivals: Iterable[Arrival]) -> Iterator[FusedSet]:
    """
    Give the sets that leave while messages arrive, and those that wait when the last one has.

    Parameters
    ----------
    receiver
        Gets the messages; is polled at every deadline that comes before the next of them.
    arrivals
        In the order of their receipt.

    """
    for sensor, now_ns, message in arrivals:
        yield from _due(receiver, now_ns)
        yield from receiver.receive(sensor, message, now_ns)
    yield from _due(receiver, None)


def _due(receiver: Receiver, until_ns: int | None) -> Iterator[FusedSet]:
    """Give the sets whose time is up before some time; None = ever."""
    polled = None
    while True:
        deadline = receiver.next_deadline_ns
        if deadline is None or (until_ns is not None and deadline >= until_ns):
            return
        if polled is not None and deadline <= polled:  # a deadline in the past: poll but once
            return
        polled = deadline
        yield from receiver.poll(deadline)

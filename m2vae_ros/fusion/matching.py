# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Which waiting measurements belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(eq=False, slots=True)
class Waiting:
    """
    A measurement that waits for its partners.

    Parameters
    ----------
    stamp_ns
        Corrected stamp.
    since_ns
        When it was added.
    item
        The measurement.

    """

    stamp_ns: int
    since_ns: int
    item: Any


def closest(queue: Sequence[Waiting], stamp_ns: int, slop_ns: int) -> Waiting | None:
    """Return the measurement closest to a stamp, the earlier of two, None beyond ``slop_ns``."""
    best = None
    least = slop_ns + 1
    for waiting in queue:
        distance = abs(waiting.stamp_ns - stamp_ns)
        if distance < least:
            best, least = waiting, distance
    return best


def partners(
    queues: Sequence[Sequence[Waiting]],
    place: int,
    pivot: Waiting,
    slop_ns: int,
    live: Sequence[bool],
) -> list[Waiting | None]:
    """
    Return per queue what leaves together with ``pivot``, which waits at ``queues[place]``.

    All stamps lie within ``slop_ns`` of each other. As many live sensors as possible are in it,
    then as many sensors as possible; among such choices the stamps closest to the pivot's count.

    Parameters
    ----------
    queues
        What waits, per sensor.
    place, pivot
        The measurement that is in the set.
    slop_ns
        How far stamps of one set may lie apart.
    live
        Per sensor, whether it is preferred to the others.

    """
    chosen = [closest(queue, pivot.stamp_ns, slop_ns) for queue in queues]
    chosen[place] = pivot
    stamps = [waiting.stamp_ns for waiting in chosen if waiting is not None]
    if max(stamps) - min(stamps) <= slop_ns:
        return chosen
    return max(
        (
            _within(queues, place, pivot, low, low + slop_ns)
            for low in {
                waiting.stamp_ns for queue in queues for waiting in queue
                if pivot.stamp_ns - slop_ns <= waiting.stamp_ns <= pivot.stamp_ns
            }
        ),
        key=lambda choice: _worth(choice, pivot.stamp_ns, live),
    )


def _within(
    queues: Sequence[Sequence[Waiting]], place: int, pivot: Waiting, low_ns: int, high_ns: int
) -> list[Waiting | None]:
    chosen: list[Waiting | None] = [
        min(
            (waiting for waiting in queue if low_ns <= waiting.stamp_ns <= high_ns),
            key=lambda waiting: abs(waiting.stamp_ns - pivot.stamp_ns),
            default=None,
        )
        for queue in queues
    ]
    chosen[place] = pivot
    return chosen


def _worth(
    choice: Sequence[Waiting | None], stamp_ns: int, live: Sequence[bool]
) -> tuple[int, int, int, int]:
    members = [waiting.stamp_ns for waiting in choice if waiting is not None]
    return (
        sum(alive and waiting is not None for waiting, alive in zip(choice, live, strict=True)),
        len(members),
        -sum(abs(member - stamp_ns) for member in members),
        -min(members),
    )


def newest_stamp(items: Sequence[Waiting | None]) -> int:
    """Return the newest stamp of those that are there, nanoseconds."""
    return max(waiting.stamp_ns for waiting in items if waiting is not None)

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
        Corrected stamp, nanoseconds.
    since_ns
        When it was added, nanoseconds.
    item
        The measurement.

    """

    stamp_ns: int
    since_ns: int
    item: Any


def closest(queue: Sequence[Waiting], stamp_ns: int, slop_ns: int) -> Waiting | None:
    """
    Return the measurement whose stamp is closest to ``stamp_ns``, within ``slop_ns``.

    Of two that are equally close, it is the first in the queue; None if all are farther.
    """
    best = None
    best_distance = slop_ns + 1
    for waiting in queue:
        distance = abs(waiting.stamp_ns - stamp_ns)
        if distance < best_distance:
            best, best_distance = waiting, distance
    return best


def match(
    queues: Sequence[Sequence[Waiting]],
    index: int,
    pivot: Waiting,
    slop_ns: int,
    live: Sequence[bool],
) -> list[Waiting | None]:
    """
    Return the set around ``pivot``: per sensor the measurement in it, or None.

    All stamps lie within ``slop_ns`` of each other. The set has as many live sensors as possible,
    then as many sensors as possible, then the stamps closest to the pivot's.

    Parameters
    ----------
    queues
        What waits, per sensor.
    index
        The sensor of the pivot.
    pivot
        The measurement that the set must have.
    slop_ns
        How far the stamps of one set may lie apart, nanoseconds.
    live
        Per sensor, whether it is live.

    """
    members = [closest(queue, pivot.stamp_ns, slop_ns) for queue in queues]
    members[index] = pivot
    stamps = [member.stamp_ns for member in members if member is not None]
    if max(stamps) - min(stamps) <= slop_ns:
        return members
    window_starts = {
        waiting.stamp_ns for queue in queues for waiting in queue
        if pivot.stamp_ns - slop_ns <= waiting.stamp_ns <= pivot.stamp_ns
    }
    return max(
        (_members_within(queues, index, pivot, start, start + slop_ns) for start in window_starts),
        key=lambda members: _score(members, pivot.stamp_ns, live),
    )


def _members_within(
    queues: Sequence[Sequence[Waiting]], index: int, pivot: Waiting, start_ns: int, end_ns: int
) -> list[Waiting | None]:
    """Return the set around the pivot whose stamps lie from ``start_ns`` to ``end_ns``."""
    members: list[Waiting | None] = [
        min(
            (waiting for waiting in queue if start_ns <= waiting.stamp_ns <= end_ns),
            key=lambda waiting: abs(waiting.stamp_ns - pivot.stamp_ns),
            default=None,
        )
        for queue in queues
    ]
    members[index] = pivot
    return members


def _score(
    members: Sequence[Waiting | None], stamp_ns: int, live: Sequence[bool]
) -> tuple[int, int, int, int]:
    """Return what makes a set around a stamp the better one, the first entry counting most."""
    stamps = [member.stamp_ns for member in members if member is not None]
    return (
        sum(is_live and member is not None for member, is_live in zip(members, live, strict=True)),
        len(stamps),
        -sum(abs(stamp - stamp_ns) for stamp in stamps),
        -min(stamps),
    )


def newest_stamp(members: Sequence[Waiting | None]) -> int:
    """Return the newest stamp of a set, nanoseconds."""
    return max(member.stamp_ns for member in members if member is not None)

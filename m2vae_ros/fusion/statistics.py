# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a synchronizer has counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Why a measurement never left: it was refused on arrival ...
ZERO_STAMP, FUTURE_STAMP, ANCIENT_STAMP = 'zero_stamp', 'future_stamp', 'ancient_stamp'
LATE = 'late'  # a set as new or newer had left already
#: ... or was accepted and then dropped.
UNMATCHED = 'unmatched'  # a sensor that it lacks had spoken past it
OVERFLOW = 'overflow'  # more than queue_size of its sensor waited
CLOCK_JUMP = 'clock_jump'  # the clock went back while it waited

BAD_STAMPS = (ZERO_STAMP, FUTURE_STAMP, ANCIENT_STAMP)


@dataclass(frozen=True)
class Statistics:
    """
    Counts since the synchronizer was made.

    Parameters
    ----------
    accepted
        Sensor -> measurements that were taken in.
    dropped
        Sensor -> reason -> measurements that did not leave in a set.
    sets
        Sensors of a set -> how many such sets have left.
    clock_jumps
        How often the clock of the stamps or of ``now_ns`` went back.

    """

    accepted: Mapping[str, int]
    dropped: Mapping[str, Mapping[str, int]]
    sets: Mapping[tuple[str, ...], int]
    clock_jumps: int

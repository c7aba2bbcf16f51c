# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a synchronizer counts, and the reasons by which it counts what it drops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Why a measurement was in no set: it was rejected on arrival ...
ZERO_STAMP, FUTURE_STAMP, ANCIENT_STAMP = 'zero_stamp', 'future_stamp', 'ancient_stamp'
LATE = 'late'  # a set as new or newer had been emitted
#: ... or was accepted and dropped later.
UNMATCHED = 'unmatched'  # a newer set was emitted, or a sensor that it lacks had moved on
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
        Sensor -> measurements that were accepted.
    dropped
        Sensor -> reason -> measurements that were rejected on arrival or dropped later.
    sets
        Sensors of a set -> sets of exactly these that were emitted.
    clock_jumps
        How often the clock of the stamps or of ``now_ns`` went back.

    """

    accepted: Mapping[str, int]
    dropped: Mapping[str, Mapping[str, int]]
    sets: Mapping[tuple[str, ...], int]
    clock_jumps: int

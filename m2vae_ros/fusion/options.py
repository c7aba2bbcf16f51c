# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The options of the synchronizer; their defaults are defined here only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isfinite

#: Seconds; a clock that was never set begins in 1970.
LARGEST_OFFSET = 2**32 - 1


@dataclass(frozen=True)
class SynchronizerOptions:
    """
    How long the synchronizer waits, and which stamps it accepts; times in seconds.

    Parameters
    ----------
    slop
        How far the stamps of one set may lie apart.
    max_wait
        How long a measurement waits for the other sensors; above the differences of their delays
        plus ``slop``.
    timeout
        How long a silent sensor is still live, and so waited for.
    queue_size
        Measurements of one sensor that may wait.
    max_age, max_future
        How far a stamp may lie behind or ahead of the clock.

    Raises
    ------
    ValueError
        If a value is negative or not finite, or ``queue_size`` is no integer from 1 up.

    """

    slop: float = 0.05
    max_wait: float = 0.12
    timeout: float = 0.5
    queue_size: int = 10
    max_age: float = 10.0
    max_future: float = 0.2

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isfinite(value) or value < 0:
                raise ValueError(f'{name} {value!r}: must be a finite number, 0 or more')
        if self.queue_size < 1 or self.queue_size != int(self.queue_size):
            raise ValueError(f'queue_size {self.queue_size!r}: must be an integer, 1 or more')

    @classmethod
    def from_dict(cls, options: Mapping[str, float]) -> SynchronizerOptions:
        """Return the options with these values; raise ValueError for a name that is none."""
        known = {option.name for option in fields(cls)}
        unknown = sorted(set(options) - known)
        if unknown:
            raise ValueError(f'unknown options {unknown}: a synchronizer has {sorted(known)}')
        return cls(**options)  # type: ignore[arg-type]

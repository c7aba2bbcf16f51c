# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Which samples of a recording are for training, validation and test.

Samples close in time look alike, so a random choice would test a model on what it has learned. A
recording is cut into rounds of three contiguous blocks of time, one each for training, validation
and test. Samples too near to a block of another part are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_MIN_SAMPLES = 3  # of a recording, one for each part


@dataclass(frozen=True)
class SplitOptions:
    """
    How recordings are split.

    Parameters
    ----------
    validation_share
        Share of the samples for validation.
    test_share
        Share of the samples for test.
    block_seconds
        Length of a block of test samples; longer recordings have several, evenly spaced.
    gap_seconds
        Least time between samples of two parts; shorter in short recordings.

    """

    validation_share: float = 0.1
    test_share: float = 0.1
    block_seconds: float = 10.0
    gap_seconds: float = 1.0

    def __post_init__(self) -> None:
        for name in ('validation_share', 'test_share'):
            if not 0 < getattr(self, name) < 0.5:
                raise ValueError(f'{name} {getattr(self, name)}: must be between 0 and 0.5')
        if not self.block_seconds > 0 or not self.gap_seconds >= 0:
            raise ValueError(
                f'block_seconds {self.block_seconds}, gap_seconds {self.gap_seconds}: must be '
                f'positive, and 0 or more'
            )


class SplitRows(NamedTuple):
    """Row numbers of a recording's samples, each part in order of time."""

    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split_by_time(stamps: NDArray[np.int64], options: SplitOptions) -> SplitRows:
    """
    Split a recording by contiguous blocks of time.

    Parameters
    ----------
    stamps
        Stamps of its samples, nanoseconds, in any order. They are sorted first, so what a looping
        recording shows twice comes into the same part.
    options
        Shares, lengths and gap. The gap is at most a quarter of the shortest block.

    Raises
    ------
    ValueError
        If there are fewer samples than parts.

    """
    count = len(stamps)
    if count < _MIN_SAMPLES:
        raise ValueError(
            f'{count} fused sets: training, validation and test need at least one each; record '
            f'more'
        )
    order = np.argsort(stamps, kind='stable')
    stamps = stamps[order]
    seconds = float(stamps[-1] - stamps[0]) * 1e-9
    shares = np.array([0.0, options.validation_share, options.test_share])
    shares[0] = 1 - shares.sum()
    rounds = max(1, min(count // _MIN_SAMPLES, round(seconds * shares[2] / options.block_seconds)))
    parts: list[list[NDArray[np.int64]]] = [[], [], []]
    for rows in np.array_split(np.arange(count), rounds):
        held_out = np.maximum(1, (shares[1:] * len(rows)).astype(int))
        ends = len(rows) - held_out.sum(), len(rows) - held_out[1]
        for part, block in zip(parts, np.split(rows, ends), strict=True):
            part.append(block)
    training, validation, test = (np.concatenate(part) for part in parts)
    gap = min(options.gap_seconds, 0.25 * seconds / rounds * float(shares[1:].min()))
    near_test = _near(stamps, validation, test, gap)
    validation = _without_near(validation, near_test)
    near = _near(stamps, training, np.sort(np.concatenate([validation, test])), gap)
    return SplitRows(order[_without_near(training, near)], order[validation], order[test])


def _near(
    stamps: NDArray[np.int64], rows: NDArray[np.int64], others: NDArray[np.int64], gap: float
) -> NDArray[np.bool_]:
    """
    Return which rows lie less than the gap (seconds) from the nearest of the others.

    Stamps are ascending, and so are the rows of the others.
    """
    other_stamps = stamps[others]
    after = np.searchsorted(other_stamps, stamps[rows])
    later = other_stamps[np.minimum(after, len(other_stamps) - 1)] - stamps[rows]
    earlier = stamps[rows] - other_stamps[np.maximum(after - 1, 0)]
    nearest: NDArray[np.int64] = np.minimum(np.abs(later), np.abs(earlier))
    return nearest < round(gap * 1e9)


def _without_near(rows: NDArray[np.int64], near: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the rows that are not near; all rows if none would remain."""
    return rows if near.all() else rows[~near]

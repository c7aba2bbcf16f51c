# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Which samples of a recording to learn from, to choose by and to report on.

Neighbours in time look alike, so a random choice would let a model be tested on what it has
learned. A recording is cut into rounds, each of them a block to learn from, one to choose by and
one to report on; what lies too near to another block's samples is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LEAST = 3  # samples a recording needs, one for each part


@dataclass(frozen=True)
class SplitOptions:
    """
    How recordings are split.

    Parameters
    ----------
    validation_share, test_share
        Of the samples, to choose by and to report on.
    block_seconds
        Length of a block to report on; longer recordings have several, spread over them.
    gap_seconds
        Samples of two parts are at least so far apart in time; less in short recordings.

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


class Split(NamedTuple):
    """Rows of a recording's samples, in order of time."""

    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split(stamps: NDArray[np.int64], options: SplitOptions) -> Split:
    """
    Split a recording by contiguous blocks of time.

    Parameters
    ----------
    stamps
        Of its samples, nanoseconds. They are taken by time: what was recorded twice, by a clock
        that went back, stays together.
    options
        Shares, lengths and gap. The gap is at most a quarter of the shortest block.

    Raises
    ------
    ValueError
        If there are fewer samples than parts.

    """
    count = len(stamps)
    if count < _LEAST:
        raise ValueError(
            f'{count} fused sets: training, validation and test need one each at least; record '
            f'more'
        )
    order = np.argsort(stamps, kind='stable')
    stamps = stamps[order]
    seconds = float(stamps[-1] - stamps[0]) * 1e-9
    shares = np.array([0.0, options.validation_share, options.test_share])
    shares[0] = 1 - shares.sum()
    rounds = max(1, min(count // _LEAST, round(seconds * shares[2] / options.block_seconds)))
    parts: list[list[NDArray[np.int64]]] = [[], [], []]
    for rows in np.array_split(np.arange(count), rounds):
        held_out = np.maximum(1, (shares[1:] * len(rows)).astype(int))
        ends = len(rows) - held_out.sum(), len(rows) - held_out[1]
        for part, block in zip(parts, np.split(rows, ends), strict=True):
            part.append(block)
    training, validation, test = (np.concatenate(part) for part in parts)
    gap = min(options.gap_seconds, 0.25 * seconds / rounds * float(shares[1:].min()))
    near_test = _near(stamps, validation, test, gap)
    validation = _thinned(validation, near_test)
    near = _near(stamps, training, np.sort(np.concatenate([validation, test])), gap)
    return Split(order[_thinned(training, near)], order[validation], order[test])


def _near(
    stamps: NDArray[np.int64], rows: NDArray[np.int64], others: NDArray[np.int64], gap: float
) -> NDArray[np.bool_]:
    """Return which rows lie less than the gap (seconds) from the nearest of the others."""
    there = stamps[others]
    after = np.searchsorted(there, stamps[rows])
    later = there[np.minimum(after, len(there) - 1)] - stamps[rows]
    earlier = stamps[rows] - there[np.maximum(after - 1, 0)]
    nearest: NDArray[np.int64] = np.minimum(np.abs(later), np.abs(earlier))
    return nearest < round(gap * 1e9)


def _thinned(rows: NDArray[np.int64], near: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the rows that are not near, or all where none would be left."""
    return rows if near.all() else rows[~near]

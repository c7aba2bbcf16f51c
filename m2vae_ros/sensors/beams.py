# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Which beams of a scan fall in which cell of a field of view.

Cell i of n spans ``low + i * width`` up to, not including, ``low + (i + 1) * width``; the last one
of a part of the circle includes its end. All beams that fall in a cell are its own. Where beams
are wider apart than cells, a cell that none falls in has the one beam that covers its middle: a
beam is as wide as beams are apart. A cell that no beam covers lies outside of the scan.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

ScanGeometry = tuple[float, float, int]  # angle_min and angle_max in rad, number of beams
_MAX_ANGLE_CHANGE = 0.035  # rad, of the limits of scans of one scanner
_MAX_BEAM_RATIO = 1.2  # of the numbers of beams of scans of one scanner
_TURN = 2 * np.pi
# Angles are float32 in a message: a beam this close below a border lies on it, in spacings.
_BORDER = 1e-3
_HALF_BEAM_ERROR = 1e-4  # spacings; rounding must not leave a gap between two beams
_FULL_TURN = 1e-3  # rad by which a full turn may be written short


@dataclass(frozen=True)
class Fan:
    """
    The beams of a scan, counter-clockwise where the increment is positive; radians.

    Parameters
    ----------
    angle_min
        Direction of the first beam.
    increment
        From beam to beam; not 0.
    size
        How many there are.

    """

    angle_min: float
    increment: float
    size: int


@dataclass(frozen=True, eq=False)
class Beams:
    """
    The beams of each cell.

    Parameters
    ----------
    covered
        Whether a cell has beams, ``(cells,)``.
    indices
        Those of the covered cells, cell after cell.
    starts
        Where in the indices those of each covered cell start.

    """

    covered: NDArray[np.bool_]
    indices: NDArray[np.intp]
    starts: NDArray[np.intp]

    def least(self, of_beams: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the least value among each covered cell's beams."""
        values = of_beams[self.indices]
        return values if self._is_single else np.minimum.reduceat(values, self.starts)

    def has_any(self, of_beams: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return whether any of each covered cell's beams has a property."""
        values = of_beams[self.indices]
        return values if self._is_single else np.logical_or.reduceat(values, self.starts)

    @property
    def _is_single(self) -> bool:
        """Whether each covered cell has a single beam; or there are no cells to reduce."""
        return self.indices.size == self.starts.size


@lru_cache(maxsize=64)
def beams_of(low: float, high: float, cells: int, fan: Fan) -> Beams:
    """
    Return the beams of each cell.

    Cached, since a driver's geometry rarely changes from scan to scan.

    Parameters
    ----------
    low, high
        Limits of the cells' field of view, radians, at most a turn apart.
    cells
        How many cells divide it.
    fan
        The beams.

    """
    cell_of_beam = _cells_of_beams(low, high, cells, fan)
    inside = np.flatnonzero(cell_of_beam < cells)
    inside = inside[np.argsort(cell_of_beam[inside], kind='stable')]
    is_hit = np.zeros(cells, np.bool_)
    is_hit[cell_of_beam[inside]] = True

    nearest, covers = _nearest_beams(low, high, cells, fan)
    lent = np.flatnonzero(~is_hit & covers)  # each of these cells has its nearest beam

    cell = np.concatenate([cell_of_beam[inside], lent])
    indices = np.concatenate([inside, nearest[lent]])
    order = np.argsort(cell, kind='stable')
    covered = is_hit | covers
    starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    beams = Beams(covered, indices[order], starts)
    for array in (beams.covered, beams.indices, beams.starts):
        array.flags.writeable = False
    return beams


def may_be_one_scanner(a: ScanGeometry, b: ScanGeometry) -> bool:
    """Return whether two geometries may be of one scanner; some vary their beams a little."""
    angle_change = max(abs(a[0] - b[0]), abs(a[1] - b[1]))
    fewer, more = sorted((a[2], b[2]))
    return angle_change <= _MAX_ANGLE_CHANGE and more <= _MAX_BEAM_RATIO * fewer


def _cells_of_beams(low: float, high: float, cells: int, fan: Fan) -> NDArray[np.intp]:
    """Return the cell that each beam falls in, ``(beams,)``; ``cells`` where in none."""
    width = (high - low) / cells
    border = _BORDER * min(abs(fan.increment), width)
    angles = fan.angle_min + np.arange(fan.size) * fan.increment
    from_low = np.mod(angles - low + border, _TURN)
    cell = np.floor(from_low / width).astype(np.intp)
    is_turn = high - low > _TURN - _FULL_TURN
    is_last = (cell >= cells) & (is_turn | (from_low <= high - low + 2 * border))
    return np.where(is_last, cells - 1, np.minimum(cell, cells))


def _nearest_beams(
    low: float, high: float, cells: int, fan: Fan
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return for the middle of each cell the nearest beam, and whether that covers it."""
    middles = low + (np.arange(cells) + 0.5) * (high - low) / cells
    spacing = abs(fan.increment)
    beams_per_turn = _TURN / spacing
    position = np.mod((middles - fan.angle_min) * np.sign(fan.increment), _TURN) / spacing
    # The nearest beam may lie on the other side of the seam.
    positions = position[:, None] + np.array([-beams_per_turn, 0, beams_per_turn])  # in beams
    candidate = np.clip(np.rint(positions), 0, fan.size - 1)
    distance = np.abs(positions - candidate)
    best = distance.argmin(axis=1)
    rows = np.arange(cells)
    return candidate[rows, best].astype(np.intp), distance[rows, best] <= 0.5 + _HALF_BEAM_ERROR

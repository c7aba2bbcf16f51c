# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The rings of a spinning lidar, found in its clouds.

A ring is what one laser sees during a turn: its points have the same elevation. Which points
belong to a ring is said by a field of the cloud, by its rows or columns, or by the elevations
themselves, which then lie in narrow bands. What is said is tried: rings whose points lie at many
elevations, as in a cloud that was moved to another frame, are none for a range image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import NDArray

RING_FIELDS = ('ring', 'channel', 'line', 'laser_id')
_MAX_POINTS = 200_000  # that are looked at
_FEWEST, _MOST = 4, 256  # rings of a lidar
_MIN_POINTS = 20  # of a ring; from fewer its elevation cannot be told
_MIN_IN_OWN_ROW = 0.9  # share of the points that must be in the row of their own ring
_SAME_ROW = 0.2  # median distances between rings, by which two are apart that share a row
_BINS = (4096, 2048, 1024, 512, 256)  # of elevations, in which bands are looked for
_MIN_IN_BIN = 4  # points, on average; with fewer, chance makes bands
_VALLEY = 0.05  # mean counts of the bins with points, below which a bin is between two bands
_MIN_BAND = 0.1  # median counts of the bands, below which a band is none
_MAX_STRAY = 0.05  # share of the points that may lie between the bands
_MAX_BAND_WIDTH = 0.85  # distances to the next band; with wider ones elevations are continuous
_SECTORS = 72  # of a full circle
_MIN_SECTORS = 0.5  # share of the sectors with points in which a band must have some


@dataclass(frozen=True, eq=False)
class Rings:
    """
    The rings of a lidar.

    Parameters
    ----------
    elevations
        Of each, radians, from the top down.
    shares
        Share of the points that each has, ``(rings,)``.
    source
        What told them, for a remark.

    """

    elevations: NDArray[np.float64]
    shares: NDArray[np.float64]
    source: str

    @property
    def limits(self) -> tuple[float, float]:
        """Where the lowest ring's row ends and the highest one's begins, radians."""
        above, below = self.elevations[:2], self.elevations[-2:]
        return (
            max(-pi / 2, float(below[1] - (below[0] - below[1]) / 2)),
            min(pi / 2, float(above[0] + (above[0] - above[1]) / 2)),
        )


def find_rings(
    azimuth: NDArray[np.float64], elevation: NDArray[np.float64],
    labels: Mapping[str, NDArray[np.integer]],
) -> Rings | None:
    """
    Return the rings of clouds; None if the points do not lie on rings.

    Parameters
    ----------
    azimuth, elevation
        Of each point, radians.
    labels
        What may tell the rings -> the number that it gives to each point.

    """
    if elevation.size > _MAX_POINTS:
        chosen = np.random.default_rng(0).integers(0, elevation.size, _MAX_POINTS)
        azimuth, elevation = azimuth[chosen], elevation[chosen]
        labels = {source: label[chosen] for source, label in labels.items()}
    for source, label in labels.items():
        rings = _labelled_rings(elevation, label, source)
        if rings is not None:
            return rings
    for bins in [bins for bins in _BINS if elevation.size >= _MIN_IN_BIN * bins]:
        bands = _bands(azimuth, elevation, bins)
        if bands is not None:
            inside = bands >= 0
            return _labelled_rings(elevation[inside], bands[inside], 'their elevations')
    return None


def _labelled_rings(
    elevation: NDArray[np.float64], label: NDArray[np.integer], source: str
) -> Rings | None:
    """Return the rings that labels tell; None if their points are not at their own elevation."""
    order = np.lexsort((elevation, label))
    label, elevation = label[order], elevation[order]
    starts = np.flatnonzero(np.diff(label, prepend=label[:1] - 1))
    counts = np.diff(np.append(starts, label.size))
    if not _FEWEST <= (counts >= _MIN_POINTS).sum() <= _MOST:
        return None
    medians = elevation[starts + counts // 2]
    rows = _rows(medians[counts >= _MIN_POINTS])
    if len(rows) < _FEWEST:
        return None
    own_row = np.repeat(_nearest(rows, medians), counts)
    if (_nearest(rows, elevation) == own_row).mean() < _MIN_IN_OWN_ROW:
        return None
    counts = np.bincount(own_row, minlength=len(rows))
    return Rings(rows, counts / counts.sum(), source)


def _rows(elevations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the elevations from the top down, the mean of such as are too close for two rows."""
    elevations = np.sort(elevations)[::-1]
    gaps = elevations[:-1] - elevations[1:]
    begins = gaps > _SAME_ROW * np.median(gaps)
    starts = np.flatnonzero(np.concatenate([[True], begins]))
    sums = np.add.reduceat(elevations, starts)
    means: NDArray[np.float64] = sums / np.diff(np.append(starts, len(elevations)))
    return means


def _nearest(rows: NDArray[np.float64], elevations: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the row, of descending ones, that is nearest to each elevation."""
    return np.searchsorted(-(rows[1:] + rows[:-1]) / 2, -elevations, side='right')


def _bands(
    azimuth: NDArray[np.float64], elevation: NDArray[np.float64], bins: int
) -> NDArray[np.intp] | None:
    """Return which band of elevations each point is in, -1 for none; None without bands."""
    counts, edges = np.histogram(elevation, bins)
    is_band = counts > _VALLEY * counts[counts > 0].mean()
    steps = np.diff(np.concatenate([[0], is_band, [0]]).astype(np.int8))
    firsts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    sizes = np.add.reduceat(np.append(counts, 0), np.stack([firsts, ends], axis=1).ravel())[::2]
    is_large = sizes > _MIN_BAND * np.median(sizes)
    firsts, ends, sizes = firsts[is_large], ends[is_large], sizes[is_large]
    if not _FEWEST <= len(sizes) <= _MOST or sizes.sum() < (1 - _MAX_STRAY) * elevation.size:
        return None
    gaps = np.diff((firsts + ends) / 2)
    distance = np.minimum(np.append(gaps, gaps[-1]), np.append(gaps[0], gaps))
    if np.mean((ends - firsts) <= _MAX_BAND_WIDTH * distance) < 1 - _MAX_STRAY:
        return None
    band_of_bin = np.full(bins, -1)
    for band, (first, end) in enumerate(zip(firsts, ends, strict=True)):
        band_of_bin[first:end] = band
    bands = band_of_bin[np.clip(np.searchsorted(edges, elevation, 'right') - 1, 0, bins - 1)]
    sector = ((azimuth + pi) / (2 * pi) * _SECTORS).astype(np.intp) % _SECTORS
    seen = np.zeros((len(sizes) + 1, _SECTORS), np.bool_)  # the last row is of no band
    seen[bands, sector] = True
    shares = seen[:-1].sum(axis=1) / seen.any(axis=0).sum()
    return bands if np.median(shares) >= _MIN_SECTORS else None

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Which shape and geometry fit what a sensor measured.

Arrays are small on purpose: a model learns from little data and runs on a robot. Their cells keep
the sensor's proportions. Limits come from the data and leave room for what was not recorded.
"""

from __future__ import annotations

from math import ceil, floor, log, log10, pi, tau

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.specs import GeometryValue

Geometry = dict[str, GeometryValue]

CELLS = 4096  # about as many pixels, or cells of a range image of all around, are proposed
_MOST_BEARINGS = 360
_STEP = 8  # sizes are multiples of it
_ROW_COUNTS = (64, 48, 40, 32, 24, 20, 16, 12, 8, 6, 4)
_AREA_WEIGHT = 0.1  # of missing the number of cells, against missing the proportions
_NEAT = np.array([1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10])
_STRAY_AZIMUTH = 0.2  # percent of points at either end that are no sign of the limits
_STRAY_ELEVATION = 1.0  # percent; the corners of a depth camera's view stick out
_STRAY_RANGE = 0.1  # percent
_HEADROOM = 1.1  # times the farthest range that was measured
_CLOSER = 0.5  # times the nearest
_SECTORS = 72  # of a turn
_EMPTY_SECTOR = 0.02  # of the points that a sector has on average
_SEEN_SECTORS = 0.95  # of all make a whole circle
_EMPTY_ROW = 0.2  # of the cells that the rows have filled at the median
_ONE_SIDE = 0.995  # of the points in front of the sensor show which axis looks forward


def image_shape(height: int, width: int) -> tuple[int, int, int]:
    """Return colours, rows and columns for images of this size, never larger than they are."""
    if height * width <= CELLS:
        return 3, height, width
    candidates = [
        (rows, columns)
        for rows in range(_STEP, min(height, CELLS) + 1, _STEP)
        for columns in range(_STEP, min(width, CELLS) + 1, _STEP)
        if rows * columns <= 2 * CELLS
    ] or [(min(height, _STEP), min(width, CELLS // _STEP))]

    def misfit(size: tuple[int, int]) -> float:
        rows, columns = size
        return (
            abs(log(columns / rows * height / width))
            + _AREA_WEIGHT * abs(log(rows * columns / CELLS))
        )

    return 3, *min(candidates, key=misfit)


def scan_geometry(
    angle_min: float, increment: float, beams: int, range_limits: tuple[float, float],
    measured: NDArray[np.float32],
) -> tuple[tuple[int], Geometry]:
    """
    Return shape and geometry of a scan.

    Parameters
    ----------
    angle_min, increment, beams, range_limits
        What the driver declares; rad, m.
    measured
        Ranges of what returned, metres; where nothing did, the declared limits count.

    """
    spacing = abs(increment)
    if spacing * beams >= tau - 1.5 * spacing:
        first, last = -pi, pi
    else:  # a beam looks at the middle of its cell
        first = min(angle_min, angle_min + increment * (beams - 1)) - spacing / 2
        last = first + spacing * beams
    declared_min, declared_max = range_limits
    nearest, farthest = measured_limits(measured) if measured.size else range_limits
    return (min(beams, _MOST_BEARINGS),), {
        'angle_min': _rounded(first), 'angle_max': _rounded(last),
        'range_min': _plain(declared_min) if declared_min > 0 else nearest,
        'range_max': min(_plain(declared_max), farthest),
    }


def cloud_geometry(
    points: NDArray[np.float32], frame_id: str, organised: tuple[int, int] | None
) -> tuple[tuple[int, int], Geometry]:
    """
    Return shape and geometry of a range image of clouds.

    Parameters
    ----------
    points
        Those of several clouds, ``(points, 3)``, metres.
    frame_id
        By REP-103, names of frames with optical axes end in ``_optical``.
    organised
        Rows and columns of the clouds, if they have rows.

    """
    axes = _axes(points, frame_id)
    x, y, z = points.T.astype(np.float64)
    forward, left, up = (z, -x, -y) if axes == 'optical' else (x, y, z)
    across = np.hypot(forward, left)
    azimuth_min, azimuth_max = _azimuth_limits(np.arctan2(left, forward))
    elevation = np.arctan2(up, across)
    low, high = np.percentile(elevation, [_STRAY_ELEVATION, 100 - _STRAY_ELEVATION])
    margin = 0.01 * (high - low) + 1e-3
    low, high = max(-pi / 2, low - margin), min(pi / 2, high + margin)
    range_min, range_max = measured_limits(np.hypot(across, up))
    geometry: Geometry = {
        'azimuth_min': _rounded(azimuth_min), 'azimuth_max': _rounded(azimuth_max),
        'elevation_min': _rounded(low), 'elevation_max': _rounded(high),
        'range_min': range_min, 'range_max': range_max, 'axes': axes,
    }
    aspect = (azimuth_max - azimuth_min) / (high - low)
    cells = CELLS / 2
    if azimuth_max - azimuth_min > pi:  # for all around, more cells, twice as wide as high
        cells, aspect = CELLS, aspect / 2
    rows, columns = (cells / aspect) ** 0.5, (cells * aspect) ** 0.5
    if organised is not None:
        rows, columns = min(rows, organised[0]), min(columns, organised[1])
    return (_row_count(elevation, low, high, rows), _multiple(columns)), geometry


def measured_limits(ranges: NDArray[np.floating]) -> tuple[float, float]:
    """Return neat range limits around what was measured, metres."""
    near, far = np.percentile(ranges, [_STRAY_RANGE, 100 - _STRAY_RANGE])
    return _neat(_CLOSER * near, up=False), _neat(_HEADROOM * far, up=True)


def _axes(points: NDArray[np.float32], frame_id: str) -> str:
    """Return whether a cloud's z looks forward, as a camera's, or up, as a body's."""
    if 'optical' in frame_id:
        return 'optical'
    forward, _, depth = (points > 0).mean(axis=0)
    return 'optical' if depth > _ONE_SIDE and forward < _ONE_SIDE else 'body'


def _azimuth_limits(azimuth: NDArray[np.float64]) -> tuple[float, float]:
    """Return the limits between which points lie; -pi and pi where they lie all around."""
    counts, _ = np.histogram(azimuth, _SECTORS, (-pi, pi))
    seen = counts > _EMPTY_SECTOR * azimuth.size / _SECTORS
    if seen.mean() >= _SEEN_SECTORS:
        return -pi, pi
    cut = _middle_of_longest_gap(seen) * tau / _SECTORS - pi
    low, high = np.percentile(
        np.mod(azimuth - cut, tau), [_STRAY_AZIMUTH, 100 - _STRAY_AZIMUTH]
    )
    margin = 0.01 * (high - low) + 1e-3
    low, high = cut + low - margin, cut + high + margin
    turn = tau if low + high > tau else 0.0  # the middle of the view lies within -pi..pi
    return low - turn, min(high, low + tau) - turn


def _middle_of_longest_gap(seen: NDArray[np.bool_]) -> float:
    """Return where in a circle of sectors the longest run of those not seen has its middle."""
    n = seen.size
    starts = np.flatnonzero(seen)
    lengths = np.diff(np.append(starts, starts[0] + n)) - 1
    longest = lengths.argmax()
    return float((starts[longest] + 1 + lengths[longest] / 2) % n)


def _row_count(
    elevation: NDArray[np.float64], low: float, high: float, wanted: float
) -> int:
    """Return how many rows have points in all of them: no more than a lidar has rings."""
    inside = elevation[(elevation > low) & (elevation < high)]
    for rows in _ROW_COUNTS:
        if rows <= wanted * 1.05:
            counts, _ = np.histogram(inside, rows, (low, high))
            if counts[1:-1].min() > _EMPTY_ROW * np.median(counts):
                return rows
    return min(_ROW_COUNTS[-1], max(1, floor(wanted)))


def _multiple(size: float) -> int:
    return max(_STEP, round(size / _STEP) * _STEP) if size >= _STEP else max(1, floor(size))


def _neat(value: float, *, up: bool) -> float:
    """Return a number that people write, not below (or not above) this one."""
    value = max(float(value), 1e-3)
    scale = 10.0 ** floor(log10(value))
    steps = _NEAT * scale
    chosen = steps[steps >= value * (1 - 1e-6)][0] if up else steps[steps <= value][-1]
    return _plain(float(chosen))


def _plain(value: float) -> float:
    """Return a float32's number as it was meant: 0.1, not 0.10000000149."""
    return float(f'{value:.6g}')


def _rounded(angle: float) -> float:
    """Return an angle to a tenth of a milliradian, a half turn exactly as people write it."""
    if abs(abs(angle) - pi) < 1e-6:
        return 3.14159265 if angle > 0 else -3.14159265
    return ceil(angle * 1e4 - 0.5) / 1e4

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Shape and geometry that fit what a sensor measured.

Arrays are small on purpose: a model learns from little data and runs on a robot. Their cells keep
the sensor's proportions. Limits come from the data, with a margin for what was not recorded.
"""

from __future__ import annotations

from math import ceil, floor, log, log10, pi, tau

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.specs import GeometryValue

Geometry = dict[str, GeometryValue]

CELLS = 4096  # about as many pixels are proposed, or cells of a range image of a full circle
_MAX_BEARINGS = 360
_SIZE_MULTIPLE = 8  # of it are the sides of images, and the columns of range images
_ROW_COUNTS = (64, 48, 40, 32, 24, 20, 16, 12, 8, 6, 4)
_AREA_WEIGHT = 0.1  # weight of a wrong number of cells; that of wrong proportions is 1
_ROUND_MANTISSAS = np.array([1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10])
_AZIMUTH_OUTLIERS = 0.2  # percent of the points at either end that do not count
_ELEVATION_OUTLIERS = 1.0  # percent; more, as the corners of a depth camera's view stick out
_RANGE_OUTLIERS = 0.1  # percent
_RANGE_MAX_FACTOR = 1.1  # range_max over the farthest measured range
_RANGE_MIN_FACTOR = 0.5  # range_min over the nearest
_SECTORS = 72  # of a full circle
_MIN_SECTOR_FILL = 0.02  # share of the mean number of points, below which a sector is empty
_FULL_CIRCLE_SHARE = 0.95  # of the sectors, with points, make a full circle
_MIN_ROW_FILL = 0.2  # share of the median number of points, below which a row is empty
_FORWARD_SHARE = 0.995  # of the points in front of an axis show that it looks forward


def image_shape(height: int, width: int) -> tuple[int, int, int]:
    """Return colours, rows and columns for images of this size; they are never enlarged."""
    if height * width <= CELLS:
        return 3, height, width
    candidates = [
        (rows, columns)
        for rows in range(_SIZE_MULTIPLE, min(height, CELLS) + 1, _SIZE_MULTIPLE)
        for columns in range(_SIZE_MULTIPLE, min(width, CELLS) + 1, _SIZE_MULTIPLE)
        if rows * columns <= 2 * CELLS
    ] or [(min(height, _SIZE_MULTIPLE), min(width, CELLS // _SIZE_MULTIPLE))]

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
        As the driver declares them; rad, m.
    measured
        Ranges of the returns, metres. Without any, the declared limits are taken.

    """
    spacing = abs(increment)
    if spacing * beams >= tau - 1.5 * spacing:
        first, last = -pi, pi
    else:  # a beam is in the middle of its cell
        first = min(angle_min, angle_min + increment * (beams - 1)) - spacing / 2
        last = first + spacing * beams
        turns = round((first + last) / 2 / tau)  # so that the middle of the view is in -pi..pi
        first, last = first - turns * tau, last - turns * tau
    declared_min, declared_max = range_limits
    nearest, farthest = measured_limits(measured) if measured.size else range_limits
    return (min(beams, _MAX_BEARINGS),), {
        'angle_min': _rounded_angle(first), 'angle_max': _rounded_angle(last),
        'range_min': _without_float32_noise(declared_min) if declared_min > 0 else nearest,
        'range_max': min(_without_float32_noise(declared_max), farthest),
    }


def cloud_geometry(
    points: NDArray[np.float32], frame_id: str, organised: tuple[int, int] | None
) -> tuple[tuple[int, int], Geometry]:
    """
    Return shape and geometry of a range image for clouds.

    Parameters
    ----------
    points
        Points of several clouds, ``(points, 3)``, metres.
    frame_id
        Frame of the clouds; by REP-103, ``optical`` in it says which axes they have.
    organised
        Rows and columns of organised clouds; None = not organised.

    """
    axes = _axes(points, frame_id)
    x, y, z = points.T.astype(np.float64)
    forward, left, up = (z, -x, -y) if axes == 'optical' else (x, y, z)
    across = np.hypot(forward, left)
    azimuth_min, azimuth_max = _azimuth_limits(np.arctan2(left, forward))
    elevation = np.arctan2(up, across)
    low, high = np.percentile(elevation, [_ELEVATION_OUTLIERS, 100 - _ELEVATION_OUTLIERS])
    margin = 0.01 * (high - low) + 1e-3
    low, high = max(-pi / 2, low - margin), min(pi / 2, high + margin)
    range_min, range_max = measured_limits(np.hypot(across, up))
    geometry: Geometry = {
        'azimuth_min': _rounded_angle(azimuth_min), 'azimuth_max': _rounded_angle(azimuth_max),
        'elevation_min': _rounded_angle(low), 'elevation_max': _rounded_angle(high),
        'range_min': range_min, 'range_max': range_max, 'axes': axes,
    }
    aspect = (azimuth_max - azimuth_min) / (high - low)
    cells = CELLS / 2
    if azimuth_max - azimuth_min > pi:  # a full circle gets more cells, twice as wide as high
        cells, aspect = CELLS, aspect / 2
    rows, columns = (cells / aspect) ** 0.5, (cells * aspect) ** 0.5
    if organised is not None:
        rows, columns = min(rows, organised[0]), min(columns, organised[1])
    return (_row_count(elevation, low, high, rows), _size_multiple(columns)), geometry


def measured_limits(ranges: NDArray[np.floating]) -> tuple[float, float]:
    """Return range limits around the measured ranges, as round numbers of metres."""
    near, far = np.percentile(ranges, [_RANGE_OUTLIERS, 100 - _RANGE_OUTLIERS])
    return (
        _round_number(_RANGE_MIN_FACTOR * near, up=False),
        _round_number(_RANGE_MAX_FACTOR * far, up=True),
    )


def _axes(points: NDArray[np.float32], frame_id: str) -> str:
    """Return 'optical' if a cloud's z axis looks forward, 'body' if it looks up."""
    if 'optical' in frame_id:
        return 'optical'
    forward, _, depth = (points > 0).mean(axis=0)
    return 'optical' if depth > _FORWARD_SHARE and forward < _FORWARD_SHARE else 'body'


def _azimuth_limits(azimuth: NDArray[np.float64]) -> tuple[float, float]:
    """Return the limits of azimuth between which points lie; -pi and pi for a full circle."""
    counts, _ = np.histogram(azimuth, _SECTORS, (-pi, pi))
    seen = counts > _MIN_SECTOR_FILL * azimuth.size / _SECTORS
    if seen.mean() >= _FULL_CIRCLE_SHARE:
        return -pi, pi
    cut = _middle_of_longest_gap(seen) * tau / _SECTORS - pi
    low, high = np.percentile(
        np.mod(azimuth - cut, tau), [_AZIMUTH_OUTLIERS, 100 - _AZIMUTH_OUTLIERS]
    )
    margin = 0.01 * (high - low) + 1e-3
    low, high = cut + low - margin, cut + high + margin
    turn = tau if low + high > tau else 0.0  # so that the middle of the view is in -pi..pi
    return low - turn, min(high, low + tau) - turn


def _middle_of_longest_gap(seen: NDArray[np.bool_]) -> float:
    """Return the middle of the longest run of sectors without points, in sectors from -pi."""
    n = seen.size
    starts = np.flatnonzero(seen)
    lengths = np.diff(np.append(starts, starts[0] + n)) - 1
    longest = lengths.argmax()
    return float((starts[longest] + 1 + lengths[longest] / 2) % n)


def _row_count(
    elevation: NDArray[np.float64], low: float, high: float, limit: float
) -> int:
    """Return the largest number of rows without empty ones: no more than a lidar has rings."""
    inside = elevation[(elevation > low) & (elevation < high)]
    for rows in _ROW_COUNTS:
        if rows <= limit * 1.05:
            counts, _ = np.histogram(inside, rows, (low, high))
            if counts[1:-1].min() > _MIN_ROW_FILL * np.median(counts):
                return rows
    return min(_ROW_COUNTS[-1], max(1, floor(limit)))


def _size_multiple(size: float) -> int:
    """Return the nearest multiple of `_SIZE_MULTIPLE`; below that, the size rounded down."""
    if size < _SIZE_MULTIPLE:
        return max(1, floor(size))
    return max(_SIZE_MULTIPLE, round(size / _SIZE_MULTIPLE) * _SIZE_MULTIPLE)


def _round_number(value: float, *, up: bool) -> float:
    """Return the nearest round number that is not below (`up`) or not above this one."""
    value = max(float(value), 1e-3)
    scale = 10.0 ** floor(log10(value))
    steps = _ROUND_MANTISSAS * scale
    chosen = steps[steps >= value * (1 - 1e-6)][0] if up else steps[steps <= value][-1]
    return _without_float32_noise(float(chosen))


def _without_float32_noise(value: float) -> float:
    """Return the number that a float32 stands for: 0.1, not 0.10000000149."""
    return float(f'{value:.6g}')


def _rounded_angle(angle: float) -> float:
    """Return an angle rounded to 0.0001 rad; pi and -pi to eight decimals."""
    if abs(abs(angle) - pi) < 1e-6:
        return 3.14159265 if angle > 0 else -3.14159265
    return ceil(angle * 1e4 - 0.5) / 1e4

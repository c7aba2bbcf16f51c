# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The shape and geometry of a range image that fit clouds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import floor, pi, tau
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.bags.proposed_axes import axes_of
from m2vae_ros.bags.proposed_geometry import (
    CELLS,
    format_measured,
    Geometry,
    Layout,
    measured_limits,
    rounded_angle,
    SIZE_MULTIPLE,
    UnusableTopic,
)
from m2vae_ros.sensors.cloud_data import are_points, coordinates_of
from m2vae_ros.sensors.messages import InvalidMessage

_MAX_POINTS = 50_000  # that are looked at of a cloud
_ROW_COUNTS = (64, 48, 40, 32, 24, 20, 16, 12, 8, 6, 4)
_AZIMUTH_OUTLIERS = 0.2  # percent of the points at either end that do not count
_ELEVATION_OUTLIERS = 1.0  # percent; more, as the corners of a depth camera's view stick out
_SECTORS = 72  # of a full circle
_MIN_SECTOR_FILL = 0.02  # share of the mean number of points, below which a sector is empty
_FULL_CIRCLE_SHARE = 0.95  # of the sectors, with points, make a full circle
_MIN_ROW_FILL = 0.2  # share of the median number of points, below which a row is empty


def propose_cloud(messages: Sequence[Any], frame_id: str) -> Layout:
    """Return shape, geometry and remarks for the clouds of a topic."""
    clouds = []
    failure = None
    for message in messages:
        try:
            clouds.append(_points_of(message))
        except InvalidMessage as error:
            failure = error
    if failure and not clouds:
        raise failure
    points = np.concatenate([_sample_points(cloud) for cloud in clouds])
    if not len(points):
        raise UnusableTopic('its clouds have no finite point')
    sizes = Counter((int(message.height), int(message.width)) for message in messages)
    (height, width), _count = sizes.most_common(1)[0]
    axes, remarks = axes_of(points, frame_id)
    shape, geometry = cloud_geometry(points, axes, (height, width) if height > 1 else None)
    fewest, most = min(map(len, clouds)), max(map(len, clouds))
    layout = f'{height} rows of {width}' if height > 1 else 'without rows'
    distances = np.linalg.norm(points, axis=1)
    return shape, geometry, [
        f'{fewest} to {most} points, {layout}, with '
        f'{", ".join(field.name for field in messages[0].fields)}; {format_measured(distances)}',
        *remarks,
    ]


def _points_of(message: Any) -> NDArray[np.float32]:
    """Return those of a cloud's points that count, in its own axes, ``(points, 3)``."""
    points, x, y, z = coordinates_of(message)
    coordinates = points[:, [x, y, z]]
    return coordinates[are_points(coordinates)]


def _sample_points(cloud: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a cloud's points, or a random sample of them if there are many."""
    if len(cloud) <= _MAX_POINTS:
        return cloud
    return cloud[np.random.default_rng(0).integers(0, len(cloud), _MAX_POINTS)]


def cloud_geometry(
    points: NDArray[np.float32], axes: str, organised: tuple[int, int] | None
) -> tuple[tuple[int, int], Geometry]:
    """
    Return shape and geometry of a range image for clouds.

    Parameters
    ----------
    points
        Points of several clouds, ``(points, 3)``, metres.
    axes
        ``body`` or ``optical``.
    organised
        Rows and columns of organised clouds; None = not organised.

    """
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
        'azimuth_min': rounded_angle(azimuth_min), 'azimuth_max': rounded_angle(azimuth_max),
        'elevation_min': rounded_angle(low), 'elevation_max': rounded_angle(high),
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
    """Return the nearest multiple of `SIZE_MULTIPLE`; below that, the size rounded down."""
    if size < SIZE_MULTIPLE:
        return max(1, floor(size))
    return max(SIZE_MULTIPLE, round(size / SIZE_MULTIPLE) * SIZE_MULTIPLE)

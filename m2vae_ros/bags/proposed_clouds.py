# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The shape and geometry of a range image that fit clouds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
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
    rounded_elevation,
    SIZE_MULTIPLE,
    UnusableTopic,
)
from m2vae_ros.bags.proposed_rings import find_rings, RING_FIELDS, Rings
from m2vae_ros.sensors.cloud_data import are_points, coordinates_of, field_of
from m2vae_ros.sensors.messages import InvalidMessage

_FIELD = 'their field '
_MAX_POINTS = 50_000  # that are looked at of a cloud
# Where a row is a ring, columns in a full circle at the least, and at the most if all around.
_MIN_COLUMNS, _MAX_COLUMNS, _MAX_COLUMNS_OF_A_PART = 128, 256, 512
_ROW_COUNTS = (64, 48, 40, 32, 24, 20, 16, 12, 8, 6, 4)
_AZIMUTH_OUTLIERS = 0.2  # percent of the points at either end that do not count
_ELEVATION_OUTLIERS = 1.0  # percent; more, as the corners of a depth camera's view stick out
_SECTORS = 72  # of a full circle
_MIN_SECTOR_FILL = 0.02  # share of the mean number of points, below which a sector is empty
_FULL_CIRCLE_SHARE = 0.95  # of the sectors, with points, make a full circle
_MIN_ROW_FILL = 0.2  # share of the median number of points, below which a row is empty


@dataclass(frozen=True, eq=False)
class _Points:
    """Points of clouds in their own axes, ``(points, 3)``, and what may tell their rings."""

    coordinates: NDArray[np.float32]
    labels: dict[str, NDArray[np.int64]]

    @classmethod
    def of(cls, message: Any) -> _Points:
        """Return those of a cloud's points that count."""
        points, x, y, z = coordinates_of(message)
        coordinates = points[:, [x, y, z]]
        counted = np.flatnonzero(are_points(coordinates))
        labels = {}
        for name in RING_FIELDS:
            try:
                numbers = field_of(message, name)
            except InvalidMessage:  # points are what matters, and they can be read
                continue
            if numbers is not None and np.isfinite(numbers).all():
                labels[f'{_FIELD}{name}'] = numbers[counted].astype(np.int64)
        if message.height > 1:
            labels['the rows of the clouds'] = counted // message.width
            labels['the columns of the clouds'] = counted % message.width
        return cls(coordinates[counted], labels)

    def sample(self) -> _Points:
        """Return these points, or a random sample of them if there are many."""
        if len(self.coordinates) <= _MAX_POINTS:
            return self
        chosen = np.random.default_rng(0).integers(0, len(self.coordinates), _MAX_POINTS)
        labels = {source: label[chosen] for source, label in self.labels.items()}
        return _Points(self.coordinates[chosen], labels)

    @classmethod
    def joined(cls, clouds: Sequence[_Points]) -> _Points:
        """Return the points of all clouds, with the labels that all of them have."""
        shared = [
            source for source in clouds[0].labels
            if all(source in cloud.labels for cloud in clouds)
        ]
        return cls(
            np.concatenate([cloud.coordinates for cloud in clouds]),
            {source: np.concatenate([cloud.labels[source] for cloud in clouds])
             for source in shared},
        )


def propose_cloud(messages: Sequence[Any], frame_id: str) -> Layout:
    """Return shape, geometry and remarks for the clouds of a topic."""
    clouds = []
    failure = None
    for message in messages:
        try:
            clouds.append(_Points.of(message))
        except InvalidMessage as error:
            failure = error
    if failure and not clouds:
        raise failure
    points = _Points.joined([cloud.sample() for cloud in clouds])
    if not len(points.coordinates):
        raise UnusableTopic('its clouds have no finite point')
    sizes = Counter((int(message.height), int(message.width)) for message in messages)
    (height, width), _count = sizes.most_common(1)[0]
    axes, remarks = axes_of(points.coordinates, frame_id)
    counts = [len(cloud.coordinates) for cloud in clouds]
    view = _View.of(points, axes)
    rings = None
    if axes == 'body':
        rings = find_rings(view.azimuth, view.elevation, points.labels)
    if rings is None:
        shape, limits = _even_rows(view, (height, width) if height > 1 else None)
        remarks = [*_unused_rings(points, axes), *remarks]
    else:
        points_per_ring = float(np.median(counts) * np.median(rings.shares))
        shape, limits = _ring_rows(view, rings, points_per_ring)
        remarks = [f'{len(rings.elevations)} rings by {rings.source}: a row for each', *remarks]
    range_min, range_max = measured_limits(view.distance)
    geometry: Geometry = {
        'azimuth_min': rounded_angle(view.azimuth_min),
        'azimuth_max': rounded_angle(view.azimuth_max),
        **limits, 'range_min': range_min, 'range_max': range_max, 'axes': axes,
    }
    layout = f'{height} rows of {width}' if height > 1 else 'without rows'
    return shape, geometry, [
        f'{min(counts)} to {max(counts)} points, {layout}, with '
        f'{", ".join(field.name for field in messages[0].fields)}; '
        f'{format_measured(view.distance)}',
        *remarks,
    ]


def _unused_rings(points: _Points, axes: str) -> list[str]:
    """Return a remark if a field of rings tells no rows."""
    fields = [source for source in points.labels if source.startswith(_FIELD)]
    return [
        f'{source} is not used: the points of a ring are not at an elevation of its own, as where '
        f'a cloud was moved to another frame; that of the lidar itself gives a row to each ring'
        for source in fields[:1]
        if axes == 'body' and np.ptp(points.labels[source]) > 0
    ]


@dataclass(frozen=True, eq=False)
class _View:
    """Directions and distances of points, radians and metres, and the limits of azimuth."""

    azimuth: NDArray[np.float64]
    elevation: NDArray[np.float64]
    distance: NDArray[np.float64]
    azimuth_min: float
    azimuth_max: float

    @classmethod
    def of(cls, points: _Points, axes: str) -> _View:
        x, y, z = points.coordinates.T.astype(np.float64)
        forward, left, up = (z, -x, -y) if axes == 'optical' else (x, y, z)
        across = np.hypot(forward, left)
        azimuth = np.arctan2(left, forward)
        return cls(
            azimuth, np.arctan2(up, across), np.hypot(across, up), *_azimuth_limits(azimuth)
        )

    @property
    def width(self) -> float:
        """Horizontal field of view, radians."""
        return self.azimuth_max - self.azimuth_min


def _ring_rows(
    view: _View, rings: Rings, points_per_ring: float
) -> tuple[tuple[int, int], Geometry]:
    """Return shape and limits of elevation of a range image with a row for each ring."""
    low, high = rings.limits
    rows = len(rings.elevations)
    cells, most = (2 * CELLS, _MAX_COLUMNS) if view.width > pi else \
        (CELLS / 2, _MAX_COLUMNS_OF_A_PART)
    turns = view.width / tau
    columns = min(max(cells / rows, _MIN_COLUMNS * turns), most * turns)
    return (rows, _size_multiple(min(columns, points_per_ring))), {
        'elevation_min': rounded_elevation(low), 'elevation_max': rounded_elevation(high),
        'elevations': tuple(map(rounded_elevation, rings.elevations)),
    }


def _even_rows(
    view: _View, organised: tuple[int, int] | None
) -> tuple[tuple[int, int], Geometry]:
    """
    Return shape and limits of elevation of a range image whose rows are equally far apart.

    Parameters
    ----------
    view
        Where the points are.
    organised
        Rows and columns of organised clouds; None = not organised.

    """
    low, high = np.percentile(
        view.elevation, [_ELEVATION_OUTLIERS, 100 - _ELEVATION_OUTLIERS]
    )
    margin = 0.01 * (high - low) + 1e-3
    low, high = max(-pi / 2, low - margin), min(pi / 2, high + margin)
    aspect = view.width / (high - low)
    cells = CELLS / 2
    if view.width > pi:  # a full circle gets more cells, twice as wide as high
        cells, aspect = CELLS, aspect / 2
    rows, columns = (cells / aspect) ** 0.5, (cells * aspect) ** 0.5
    if organised is not None:
        rows, columns = min(rows, organised[0]), min(columns, organised[1])
    return (_row_count(view.elevation, low, high, rows), _size_multiple(columns)), {
        'elevation_min': rounded_elevation(low), 'elevation_max': rounded_elevation(high),
    }


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

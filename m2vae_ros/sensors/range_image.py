# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Points -> the range image of a field of view, and the direction of each of its cells.

This is what makes decoding a cloud fast: a fixed number of vectorised passes over blocks of points
that fit into the processor's cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from m2vae_ros.sensors.geometry import (
    check_azimuth,
    check_dimensions,
    check_keys,
    check_ranges,
    geometry_numbers,
)
from m2vae_ros.sensors.rows import check_rows, ELEVATIONS, row_elevations, rows_of
from m2vae_ros.specs import SensorSpec

_LIMITS = (
    'azimuth_min', 'azimuth_max', 'elevation_min', 'elevation_max', 'range_min', 'range_max'
)
_AXES = ('body', 'optical')
_TURN = 2 * np.pi
_NO_RETURN = np.float32(np.inf)
_INDEX_TYPE = np.int16  # of a row or a column
_MAX_LENGTH = np.iinfo(_INDEX_TYPE).max - 2  # cells in a row or column, without the rim
_BINS = 16384  # of the elevation, where rows are not equally far apart
_BLOCK_SIZE = 65536  # points; a float32 for each is 256 KiB


@dataclass(frozen=True, eq=False)
class View:
    """
    A field of view and its cells, in the form that the projection needs.

    The image gets a rim of one cell, for points outside the field of view, so its first row and
    column have index 1. Both indices are affine in the angles that `_polar` returns. Where rows
    are not equally far apart, narrow bins of the elevation are, and a table has the row of each.
    """

    optical: bool
    rows: int
    columns: int
    bin_of_angle: tuple[float, float]  # factor and offset of the affine function
    row_of_bin: NDArray[np.int16] | None  # None: the bins are the rows
    column_of_angle: tuple[float, float]
    columns_in_turn: float
    seam_in_view: bool  # the jump from pi to -pi, straight behind, is inside the field of view
    full_turn: bool  # no azimuth is outside, to 1 mrad: pi may be written short
    nearest: np.float32
    farthest: np.float32


@dataclass(frozen=True)
class RangeImage:
    """
    What `project` returns; the arrays are (rows, columns).

    Parameters
    ----------
    nearest
        Distance of the nearest point from range_min on, float32, metres; inf where there is none.
    blocked
        Whether a point nearer than range_min is in the cell.
    any_point
        Whether there is any finite point, in the field of view or outside.

    """

    nearest: NDArray[np.float32]
    blocked: NDArray[np.bool_]
    any_point: bool


def validate(spec: SensorSpec) -> None:
    """
    Check that the spec describes a range image.

    Raises
    ------
    ValueError
        If it does not; the text names the sensor, the key, the value and the rule.

    """
    check_dimensions(spec, ('rows', 'columns'))
    if max(spec.shape) > _MAX_LENGTH:
        raise ValueError(
            f'sensor {spec.name}: shape {spec.shape} must have at most {_MAX_LENGTH} rows and '
            f'columns'
        )
    check_keys(spec, (*_LIMITS, 'axes', ELEVATIONS))
    azimuth_min, azimuth_max, _, _, range_min, range_max = geometry_numbers(spec, _LIMITS)
    check_azimuth(spec, 'azimuth', azimuth_min, azimuth_max)
    check_rows(spec)
    check_ranges(spec, range_min, range_max)
    axes = spec.geometry.get('axes')
    if axes not in _AXES:
        raise ValueError(
            f'sensor {spec.name}: geometry axes is {axes!r}, must be one of {", ".join(_AXES)}'
        )


@lru_cache(maxsize=64)
def view_of(spec: SensorSpec) -> View:
    """Return the field of view of a spec, which is validated first."""
    validate(spec)
    azimuth_min, azimuth_max, elevation_min, elevation_max, range_min, range_max = \
        geometry_numbers(spec, _LIMITS)
    rows, columns = spec.shape
    optical = spec.geometry['axes'] == 'optical'
    sign = -1 if optical else 1
    row_of_bin = None
    bins = rows
    if ELEVATIONS in spec.geometry:
        bins = _BINS
        middles = elevation_max - (np.arange(bins) + 0.5) / bins * (elevation_max - elevation_min)
        row_of_bin = np.pad(rows_of(spec, middles) + 1, 1).astype(_INDEX_TYPE)
        row_of_bin[-1] = rows + 1
    bins_per_radian = bins / (elevation_max - elevation_min)
    columns_per_radian = columns / (azimuth_max - azimuth_min)
    return View(
        optical=optical,
        rows=rows,
        columns=columns,
        row_of_bin=row_of_bin,
        bin_of_angle=(
            sign * bins_per_radian, (elevation_max - sign * np.pi / 2) * bins_per_radian + 1
        ),
        column_of_angle=(
            sign * columns_per_radian, (azimuth_max - sign * np.pi) * columns_per_radian + 1
        ),
        columns_in_turn=_TURN * columns_per_radian,
        seam_in_view=azimuth_max > np.pi + 1e-6 or azimuth_min < -np.pi - 1e-6,
        full_turn=azimuth_max - azimuth_min > _TURN - 1e-3,
        # A distance computed from float32 coordinates may be off by a rounding error.
        nearest=np.float32(range_min * (1 - 1e-6)),
        farthest=np.float32(range_max * (1 + 1e-6)),
    )


@lru_cache(maxsize=64)
def directions(spec: SensorSpec) -> NDArray[np.float32]:
    """Return unit vectors to the centres of a spec's cells, in its axes, (rows, columns, 3)."""
    validate(spec)
    azimuth_min, azimuth_max = geometry_numbers(spec, _LIMITS[:2])
    columns = spec.shape[1]
    azimuth, elevation = np.meshgrid(
        azimuth_max - (np.arange(columns) + 0.5) / columns * (azimuth_max - azimuth_min),
        row_elevations(spec),
    )
    forward = np.cos(elevation) * np.cos(azimuth)
    left = np.cos(elevation) * np.sin(azimuth)
    up = np.sin(elevation)
    optical = spec.geometry['axes'] == 'optical'
    axes = (-left, -up, forward) if optical else (forward, left, up)
    vectors = np.stack(axes, axis=-1).astype(np.float32)
    vectors.flags.writeable = False
    return vectors


def project(view: View, points: NDArray[np.float32], x: int, y: int, z: int) -> RangeImage:
    """
    Return the range image of points.

    Parameters
    ----------
    view
        The field of view.
    points
        ``(points, columns)``; not changed.
    x, y, z
        Indices of the columns with the coordinates.

    """
    cells = (view.rows + 2) * (view.columns + 2)
    nearest = np.full(cells, _NO_RETURN)
    blocked = np.zeros(cells, np.bool_)
    any_point = False
    with np.errstate(invalid='ignore'):
        for start in range(0, len(points), _BLOCK_SIZE):
            block = cv2.transpose(points[start:start + _BLOCK_SIZE])  # (columns, points)
            any_point |= _add_block(
                view, block[x:x + 1], block[y:y + 1], block[z:z + 1], nearest, blocked
            )
    shape, inner = (view.rows + 2, view.columns + 2), (slice(1, -1), slice(1, -1))
    return RangeImage(nearest.reshape(shape)[inner], blocked.reshape(shape)[inner], any_point)


def _add_block(
    view: View, x: Any, y: Any, z: Any, nearest: NDArray[np.float32], blocked: NDArray[np.bool_]
) -> bool:
    """
    Add a block of points to the image; return whether any of them is finite.

    x, y and z are (1, points) and are overwritten.
    """
    distance, down, right = _polar(view, x, y, z)
    if distance.min() >= view.nearest > 0 and distance.max() < _NO_RETURN:  # false if any is NaN
        _keep_nearest(nearest, _cells(view, down, right), distance)
        return True
    finite = (distance > 0) & (distance < _NO_RETURN)
    usable = finite & (distance >= view.nearest)
    too_near = finite & ~usable
    blocked[_cells(view, down[too_near], right[too_near])] = True
    _keep_nearest(nearest, _cells(view, down[usable], right[usable]), distance[usable])
    return bool(finite.any())


def _polar(view: View, x: Any, y: Any, z: Any) -> tuple[Any, Any, Any]:
    """
    Return distance and the two angles in which row and column are affine, (points,) each.

    With body axes these are the angle from the zenith, 0..pi, and the angle from straight behind,
    0..2 pi, clockwise seen from above. With optical axes y and x point the other way, so both are
    measured from the opposite end. Either way the seam is straight behind.
    """
    if view.optical:
        across, from_back = cv2.cartToPolar(np.negative(z, out=z), x)
        distance, from_pole = cv2.cartToPolar(y, across)
    else:
        across, from_back = cv2.cartToPolar(np.negative(x, out=x), y)
        distance, from_pole = cv2.cartToPolar(z, across)
    return distance[0], from_pole[0], from_back[0]


def _cells(view: View, from_pole: Any, from_back: Any) -> Any:
    """Return the cell of each direction, as a flat index into the image with its rim."""
    row = _floored(from_pole, *view.bin_of_angle)
    if view.row_of_bin is not None:
        row = np.take(view.row_of_bin, row, mode='clip')
    if view.seam_in_view:
        column = _floored(_unwrapped_columns(view, from_back), 1, 0)
    else:
        column = _floored(from_back, *view.column_of_angle)
    first, last = (1, view.columns) if view.full_turn else (0, view.columns + 1)
    np.clip(row, _INDEX_TYPE(0), _INDEX_TYPE(view.rows + 1), out=row)
    np.clip(column, _INDEX_TYPE(first), _INDEX_TYPE(last), out=column)
    cells = (view.rows + 2) * (view.columns + 2)
    cell: Any = row if cells <= np.iinfo(_INDEX_TYPE).max else row.astype(np.int32)
    cell *= cell.dtype.type(view.columns + 2)
    cell += column
    return cell


def _unwrapped_columns(view: View, from_back: Any) -> NDArray[np.float32]:
    """Return columns, not rounded, of a field of view that continues across the seam."""
    factor, offset = view.column_of_angle
    column = from_back * np.float32(factor) + np.float32(offset)
    turn = np.float32(view.columns_in_turn)
    column[column < 1] += turn
    column[column >= turn + 1] -= turn
    return np.asarray(column)


def _floored(angle: Any, factor: float, offset: float) -> Any:
    """
    Return ``factor * angle + offset`` rounded down, as saturated int16, in one pass.

    OpenCV rounds to the nearest integer, halves to even. So a little less than one half is
    subtracted, which leaves every integer as it is.
    """
    if angle.size == 0:
        return np.empty(0, _INDEX_TYPE)
    return cv2.addWeighted(angle, factor, angle, 0, offset - 0.4999, dtype=cv2.CV_16S).ravel()


def _keep_nearest(nearest: NDArray[np.float32], cell: Any, distance: Any) -> None:
    """
    Lower ``nearest[cell]`` to ``distance`` where that is nearer.

    Distances are compared by their bits, which have the same order and compare faster. Points that
    follow each other in a scan often share a cell. Such runs are reduced first, since a scatter
    that hits one cell repeatedly has to wait for its own last store.
    """
    bits = distance.view(np.int32)
    changes = cell[1:] != cell[:-1]
    if 8 * np.count_nonzero(changes) < cell.size:
        starts = np.flatnonzero(changes)
        starts += 1
        starts = np.concatenate((np.zeros(1, np.intp), starts))
        cell, bits = cell[starts], np.minimum.reduceat(bits, starts)
    np.minimum.at(nearest.view(np.int32), cell.astype(np.intp), bits)

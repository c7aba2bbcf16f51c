# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Points -> a range image of the field of view that a point cloud's spec describes, and back.

The speed of a cloud's decoding is made here: a fixed number of vectorised passes, on blocks of
points that stay in the processor's cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from m2vae_ros.sensors.geometry import (
    check_dimensions,
    check_elevation,
    check_keys,
    check_ranges,
    check_turn,
    geometry_numbers,
)
from m2vae_ros.specs import SensorSpec

_NUMBERS = (
    'azimuth_min', 'azimuth_max', 'elevation_min', 'elevation_max', 'range_min', 'range_max'
)
_AXES = ('body', 'optical')
_TURN = 2 * np.pi
_NOTHING = np.float32(np.inf)
_INDEX = np.int16  # of a row or a column
_MOST_CELLS = np.iinfo(_INDEX).max - 2  # in a row or a column: a rim of one lies on both sides
_BLOCK = 65536  # points; a float32 for each is 256 KiB


@dataclass(frozen=True)
class View:
    """
    A field of view and its cells, as the projection wants it.

    The image has a rim of one cell around it, which takes the points outside the field of view, so
    that row and column 1 are the first. They are affine in the angles that `_polar` measures.
    """

    optical: bool
    rows: int
    columns: int
    row_of_angle: tuple[float, float]  # factor, offset
    column_of_angle: tuple[float, float]
    columns_in_turn: float
    seam_in_view: bool  # azimuths in -pi..pi jump inside the field of view
    full_turn: bool  # no azimuth lies outside, up to how exactly people write pi
    nearest: np.float32
    farthest: np.float32


@dataclass(frozen=True)
class RangeImage:
    """
    What `project` found, per cell.

    Parameters
    ----------
    nearest
        Distance of the nearest point that is not too near, float32; inf where there is none.
    blocked
        Whether a point nearer than range_min lies in the cell.
    any_point
        Whether there was any finite point, inside the field of view or out.

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
        If it does not; names the sensor, the key, the value and what would be right.

    """
    check_dimensions(spec, ('rows', 'columns'))
    if max(spec.shape) > _MOST_CELLS:
        raise ValueError(
            f'sensor {spec.name}: shape {spec.shape} must have at most {_MOST_CELLS} rows and '
            f'columns'
        )
    check_keys(spec, (*_NUMBERS, 'axes'))
    azimuth_min, azimuth_max, elevation_min, elevation_max, range_min, range_max = \
        geometry_numbers(spec, _NUMBERS)
    check_turn(spec, 'azimuth', azimuth_min, azimuth_max)
    check_elevation(spec, elevation_min, elevation_max)
    check_ranges(spec, range_min, range_max)
    axes = spec.geometry.get('axes')
    if axes not in _AXES:
        raise ValueError(
            f'sensor {spec.name}: geometry axes is {axes!r}, must be one of {", ".join(_AXES)}'
        )


@lru_cache(maxsize=64)
def view_of(spec: SensorSpec) -> View:
    """Return the field of view of a spec, which is validated."""
    validate(spec)
    azimuth_min, azimuth_max, elevation_min, elevation_max, range_min, range_max = \
        geometry_numbers(spec, _NUMBERS)
    rows, columns = spec.shape
    optical = spec.geometry['axes'] == 'optical'
    sign = -1 if optical else 1
    rows_per_radian = rows / (elevation_max - elevation_min)
    columns_per_radian = columns / (azimuth_max - azimuth_min)
    return View(
        optical=optical,
        rows=rows,
        columns=columns,
        row_of_angle=(
            sign * rows_per_radian, (elevation_max - sign * np.pi / 2) * rows_per_radian + 1
        ),
        column_of_angle=(
            sign * columns_per_radian, (azimuth_max - sign * np.pi) * columns_per_radian + 1
        ),
        columns_in_turn=_TURN * columns_per_radian,
        seam_in_view=azimuth_max > np.pi + 1e-6 or azimuth_min < -np.pi - 1e-6,
        full_turn=azimuth_max - azimuth_min > _TURN - 1e-3,
        # A distance computed from float32 coordinates may miss the limit by a rounding.
        nearest=np.float32(range_min * (1 - 1e-6)),
        farthest=np.float32(range_max * (1 + 1e-6)),
    )


@lru_cache(maxsize=64)
def directions(spec: SensorSpec) -> NDArray[np.float32]:
    """Return the unit vectors in the spec's axes to its cells' centres, (rows, columns, 3)."""
    validate(spec)
    azimuth_min, azimuth_max, elevation_min, elevation_max, _, _ = \
        geometry_numbers(spec, _NUMBERS)
    rows, columns = spec.shape
    azimuth, elevation = np.meshgrid(
        azimuth_max - (np.arange(columns) + 0.5) / columns * (azimuth_max - azimuth_min),
        elevation_max - (np.arange(rows) + 0.5) / rows * (elevation_max - elevation_min),
    )
    forward = np.cos(elevation) * np.cos(azimuth)
    left = np.cos(elevation) * np.sin(azimuth)
    up = np.sin(elevation)
    optical = spec.geometry['axes'] == 'optical'
    axes = (-left, -up, forward) if optical else (forward, left, up)
    vectors = np.stack(axes, axis=-1).astype(np.float32)
    vectors.flags.writeable = False
    return vectors


def project(view: View, words: NDArray[np.float32], x: int, y: int, z: int) -> RangeImage:
    """
    Return the range image of points.

    Parameters
    ----------
    view
        The field of view.
    words
        ``(points, columns)``; not changed.
    x, y, z
        Which of the columns are the coordinates.

    """
    cells = (view.rows + 2) * (view.columns + 2)
    nearest = np.full(cells, _NOTHING)
    blocked = np.zeros(cells, np.bool_)
    any_point = False
    with np.errstate(invalid='ignore'):
        for start in range(0, len(words), _BLOCK):
            block = cv2.transpose(words[start:start + _BLOCK])  # (columns, points)
            any_point |= _scatter(
                view, block[x:x + 1], block[y:y + 1], block[z:z + 1], nearest, blocked
            )
    shape, inner = (view.rows + 2, view.columns + 2), (slice(1, -1), slice(1, -1))
    return RangeImage(nearest.reshape(shape)[inner], blocked.reshape(shape)[inner], any_point)


def _scatter(
    view: View, x: Any, y: Any, z: Any, nearest: NDArray[np.float32], blocked: NDArray[np.bool_]
) -> bool:
    """Note a block of points, (1, points) each and overwritten; return whether any is finite."""
    distance, down, right = _polar(view, x, y, z)
    if distance.min() >= view.nearest > 0 and distance.max() < _NOTHING:  # false if any is NaN
        _note_nearest(nearest, _cells(view, down, right), distance)
        return True
    finite = (distance > 0) & (distance < _NOTHING)
    usable = finite & (distance >= view.nearest)
    too_near = finite & ~usable
    blocked[_cells(view, down[too_near], right[too_near])] = True
    _note_nearest(nearest, _cells(view, down[usable], right[usable]), distance[usable])
    return bool(finite.any())


def _polar(view: View, x: Any, y: Any, z: Any) -> tuple[Any, Any, Any]:
    """
    Return distance and the angles that rows and columns are affine in, (points,) each.

    Body axes: the angle from the zenith, in 0..pi, and that from straight back, in 0..2 pi,
    growing to the right seen from above. Optical axes: y and x point the other way, so both angles
    are counted from the other end. Either way the seam lies straight behind.
    """
    if view.optical:
        across, from_back = cv2.cartToPolar(np.negative(z, out=z), x)
        distance, from_pole = cv2.cartToPolar(y, across)
    else:
        across, from_back = cv2.cartToPolar(np.negative(x, out=x), y)
        distance, from_pole = cv2.cartToPolar(z, across)
    return distance[0], from_pole[0], from_back[0]


def _cells(view: View, from_pole: Any, from_back: Any) -> Any:
    """Return the flat index, in the image with its rim, of the cell of each direction."""
    row = _whole(from_pole, *view.row_of_angle)
    if view.seam_in_view:
        column = _whole(_past_the_seam(view, from_back), 1, 0)
    else:
        column = _whole(from_back, *view.column_of_angle)
    first, last = (1, view.columns) if view.full_turn else (0, view.columns + 1)
    np.clip(row, _INDEX(0), _INDEX(view.rows + 1), out=row)
    np.clip(column, _INDEX(first), _INDEX(last), out=column)
    cells = (view.rows + 2) * (view.columns + 2)
    cell: Any = row if cells <= np.iinfo(_INDEX).max else row.astype(np.int32)
    cell *= cell.dtype.type(view.columns + 2)
    cell += column
    return cell


def _past_the_seam(view: View, from_back: Any) -> NDArray[np.float32]:
    """Return columns that go on beyond straight behind, where the field of view does."""
    factor, offset = view.column_of_angle
    column = from_back * np.float32(factor) + np.float32(offset)
    turn = np.float32(view.columns_in_turn)
    column[column < 1] += turn
    column[column >= turn + 1] -= turn
    return np.asarray(column)


def _whole(angle: Any, factor: float, offset: float) -> Any:
    """
    Return ``factor * angle + offset`` rounded down, in one pass that saturates.

    It rounds to the nearest, halves to the even: a shade more than one half less lets all that
    lies on a border go to the cell behind it.
    """
    if angle.size == 0:
        return np.empty(0, _INDEX)
    return cv2.addWeighted(angle, factor, angle, 0, offset - 0.4999, dtype=cv2.CV_16S).ravel()


def _note_nearest(nearest: NDArray[np.float32], cell: Any, distance: Any) -> None:
    """
    Lower ``nearest[cell]`` to ``distance`` where that is nearer.

    Distances are compared by their bits, which have the same order and are faster. Neighbours in a
    scan's order often share a cell: such runs are reduced first, for a scatter into the same cell
    again and again waits for its own last store.
    """
    bits = distance.view(np.int32)
    changes = cell[1:] != cell[:-1]
    if 8 * np.count_nonzero(changes) < cell.size:
        starts = np.flatnonzero(changes)
        starts += 1
        starts = np.concatenate((np.zeros(1, np.intp), starts))
        cell, bits = cell[starts], np.minimum.reduceat(bits, starts)
    np.minimum.at(nearest.view(np.int32), cell.astype(np.intp), bits)

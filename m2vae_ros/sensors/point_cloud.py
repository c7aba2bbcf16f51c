# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
PointCloud2 <-> a range image.

Geometry of the spec: ``azimuth_min, azimuth_max, elevation_min, elevation_max`` (rad, in the body
sense: azimuth left positive, elevation up positive), ``range_min, range_max`` (m), and ``axes``,
what the cloud's x, y and z are: ``body`` (x forward, y left, z up) or ``optical`` (z forward,
x right, y down). Row 0 of the range image is the top (elevation_max), column 0 the left
(azimuth_max); a cell's centre lies half a cell in. The value is the Euclidean distance in metres;
of several points in one cell the nearest counts.

What an absent point means is an assumption: a cloud does not say where it looked in vain, so a
cell of the field of view without a point in range counts as valid and not returned. A point nearer
than range_min hides what is behind it: a cell that has only such points is not valid. Points that
are not finite, or exactly at the origin (with which some drivers fill an organised cloud), are no
points.

Angles are OpenCV's, which are exact to about 0.01 degrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from m2vae_ros.sensors.messages import (
    bytes_of,
    check_dimensions,
    check_keys,
    check_ranges,
    check_shape,
    check_turn,
    fields_of,
    geometry_numbers,
    header_of,
    InvalidMessage,
    MessageClasses,
    stamp_and_frame,
)
from m2vae_ros.specs import Measurement, SensorSpec

MESSAGE_TYPE = 'sensor_msgs/msg/PointCloud2'
_NUMBERS = (
    'azimuth_min', 'azimuth_max', 'elevation_min', 'elevation_max', 'range_min', 'range_max'
)
_AXES = ('body', 'optical')
_DATATYPES = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 8: 'f8'}
_FLOAT32 = 7
_NOTHING = np.float32(np.inf)


def validate(spec: SensorSpec) -> None:
    """
    Check that the spec describes a range image.

    Raises
    ------
    ValueError
        If it does not; names the sensor, the key, the value and what would be right.

    """
    check_dimensions(spec, ('rows', 'columns'))
    check_keys(spec, (*_NUMBERS, 'axes'))
    azimuth_min, azimuth_max, elevation_min, elevation_max, range_min, range_max = \
        geometry_numbers(spec, _NUMBERS)
    check_turn(spec, 'azimuth', azimuth_min, azimuth_max)
    right_angle = np.pi / 2 + 1e-6
    if not -right_angle <= elevation_min < elevation_max <= right_angle:
        raise ValueError(
            f'sensor {spec.name}: elevation_min {elevation_min} and elevation_max {elevation_max} '
            f'rad, must be -pi/2 <= elevation_min < elevation_max <= pi/2'
        )
    check_ranges(spec, range_min, range_max)
    if spec.geometry.get('axes') not in _AXES:
        raise ValueError(
            f'sensor {spec.name}: geometry axes is {spec.geometry.get("axes")!r}, must be one of '
            f'{", ".join(_AXES)}'
        )


def decode(spec: SensorSpec, message: Any) -> Measurement:
    """
    Return the cloud's range image.

    Raises
    ------
    InvalidMessage
        ``message_type``, ``empty_cloud``, ``fields``, ``datatype``, ``point_step``, ``row_step``,
        ``data_size``, ``no_valid_point`` (none is finite) or ``outside_view`` (none is where the
        spec looks).

    """
    view = _view(spec)
    stamp_ns, frame_id = stamp_and_frame(message)
    x, y, z = _coordinates(message)
    nearest, blocked, any_point = _project(view, x, y, z)
    if not any_point:
        raise InvalidMessage(
            'no_valid_point', f'none of {x.size} points is finite and away from the origin'
        )
    if not (nearest < _NOTHING).any() and not blocked.any():
        raise InvalidMessage(
            'outside_view',
            f'none of {x.size} points lies in the field of view of sensor {spec.name}: check its '
            f'axes ({spec.geometry["axes"]}), azimuth and elevation limits'
        )
    returned = nearest <= view.farthest
    valid = ~blocked | (nearest < _NOTHING)
    values = np.where(returned, nearest, np.float32(0))
    return Measurement(values, valid, returned, stamp_ns, frame_id)


def encode(spec: SensorSpec, measurement: Measurement, classes: MessageClasses) -> Any:
    """
    Return the organised cloud with one point per cell, NaN where nothing returned.

    Raises
    ------
    ValueError
        If the measurement's shapes are not the spec's.

    """
    check_shape(spec, measurement)
    rows, columns = spec.shape
    ranges = np.where(measurement.returned, measurement.values, np.float32(np.nan))
    points = (directions(spec) * ranges[..., None]).astype('<f4')  # (rows, columns, 3)
    return classes.PointCloud2(
        header=header_of(measurement, classes),
        height=rows,
        width=columns,
        fields=[
            classes.PointField(name=name, offset=4 * i, datatype=_FLOAT32, count=1)
            for i, name in enumerate('xyz')
        ],
        is_bigendian=False,
        point_step=12,
        row_step=12 * columns,
        data=classes.uint8_sequence(points.view(np.uint8)),
        is_dense=bool(measurement.returned.all()),
    )


@lru_cache(maxsize=64)
def directions(spec: SensorSpec) -> NDArray[np.float32]:
    """Return the unit vectors in the spec's axes to its cells' centres, (rows, columns, 3)."""
    validate(spec)
    azimuth_min, azimuth_max, elevation_min, elevation_max, _, _ = \
        geometry_numbers(spec, _NUMBERS)
    rows, columns = spec.shape
    azimuth = azimuth_max - (np.arange(columns) + 0.5) * (azimuth_max - azimuth_min) / columns
    elevation = elevation_max - (np.arange(rows) + 0.5) * (elevation_max - elevation_min) / rows
    azimuth, elevation = np.meshgrid(azimuth, elevation)
    forward = np.cos(elevation) * np.cos(azimuth)
    left = np.cos(elevation) * np.sin(azimuth)
    up = np.sin(elevation)
    axes = (-left, -up, forward) if spec.geometry['axes'] == 'optical' else (forward, left, up)
    vectors = np.stack(axes, axis=-1).astype(np.float32)
    vectors.flags.writeable = False
    return vectors


@dataclass(frozen=True)
class _View:
    """A spec's field of view, as the projection wants it."""

    optical: bool
    rows: int
    columns: int
    azimuth_max: float
    columns_per_radian: float
    elevation_max: float
    rows_per_radian: float
    nearest: np.float32
    farthest: np.float32


@lru_cache(maxsize=64)
def _view(spec: SensorSpec) -> _View:
    validate(spec)
    azimuth_min, azimuth_max, elevation_min, elevation_max, range_min, range_max = \
        geometry_numbers(spec, _NUMBERS)
    rows, columns = spec.shape
    return _View(
        spec.geometry['axes'] == 'optical',
        rows,
        columns,
        azimuth_max,
        columns / (azimuth_max - azimuth_min),
        elevation_max,
        rows / (elevation_max - elevation_min),
        # A distance computed from float32 coordinates may miss the limit by a rounding.
        np.float32(range_min * (1 - 1e-6)),
        np.float32(range_max * (1 + 1e-6)),
    )


def _coordinates(message: Any) -> tuple[NDArray[np.float32], ...]:
    """Return x, y and z of all points, each (points,), from wherever the message keeps them."""
    height, width, fields, is_bigendian, point_step, row_step, data = fields_of(
        message, MESSAGE_TYPE,
        'height', 'width', 'fields', 'is_bigendian', 'point_step', 'row_step', 'data',
    )
    if height * width == 0 or len(data) == 0:
        raise InvalidMessage(
            'empty_cloud', f'{height} x {width} points in {len(data)} bytes: must have a point'
        )
    if row_step < width * point_step or row_step > len(data):
        raise InvalidMessage(
            'row_step',
            f'row_step is {row_step}: must be at least {width} points * point_step {point_step} '
            f'and at most the {len(data)} bytes of data'
        )
    if row_step * height != len(data):
        raise InvalidMessage(
            'data_size',
            f'data has {len(data)} bytes: must be row_step {row_step} * height {height}'
        )
    buffer = bytes_of(data)
    columns = []
    for offset, dtype in _layout(fields, point_step, bool(is_bigendian)):
        strided = np.ndarray(
            (height, width), dtype, buffer, offset, (row_step, point_step)  # type: ignore[arg-type]
        )
        with np.errstate(over='ignore', invalid='ignore'):
            columns.append(strided.astype(np.float32).ravel())
    return tuple(columns)


def _layout(
    fields: Sequence[Any], point_step: int, is_bigendian: bool
) -> list[tuple[int, np.dtype[Any]]]:
    """Return offset and type of x, y and z."""
    by_name = {field.name: field for field in fields}
    missing = [name for name in 'xyz' if name not in by_name]
    if missing:
        raise InvalidMessage(
            'fields', f'no field {", ".join(missing)} among {sorted(by_name)}: must have x, y and z'
        )
    layout = []
    for name in 'xyz':
        field = by_name[name]
        if field.datatype not in _DATATYPES:
            raise InvalidMessage(
                'datatype',
                f'field {name} has datatype {field.datatype}: must be one of {sorted(_DATATYPES)}'
            )
        dtype = np.dtype(('>' if is_bigendian else '<') + _DATATYPES[field.datatype])
        if field.offset + dtype.itemsize > point_step:
            raise InvalidMessage(
                'point_step',
                f'field {name} ends at byte {field.offset + dtype.itemsize}: must end within '
                f'point_step {point_step}'
            )
        layout.append((int(field.offset), dtype))
    return layout


def _project(
    view: _View, x: NDArray[np.float32], y: NDArray[np.float32], z: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], bool]:
    """
    Return per cell the nearest range (inf: none) and whether something too near blocks it.

    Both are (rows, columns); the third is whether there is any finite point at all.
    """
    forward, left, up = (z, -x, -y) if view.optical else (x, y, z)
    # Azimuth counted clockwise from straight back, in 0 .. 2 pi: the seam lies behind.
    across, clockwise = cv2.cartToPolar(-forward, left)
    # Angle from the zenith, in 0 .. pi.
    distance, zenith = cv2.cartToPolar(up, across)
    across, clockwise = across.ravel(), clockwise.ravel()
    distance, zenith = distance.ravel(), zenith.ravel()
    column = _wrapped(clockwise, view)
    row = zenith
    row += np.float32(view.elevation_max - np.pi / 2)
    row *= np.float32(view.rows_per_radian)
    # A rim of one cell around the image takes what lies outside the field of view, and NaN.
    row += np.float32(1)
    column += np.float32(1)
    rim_rows, rim_columns = view.rows + 2, view.columns + 2
    np.fmin(np.fmax(row, np.float32(0), out=row), np.float32(rim_rows - 1), out=row)
    np.fmin(np.fmax(column, np.float32(0), out=column), np.float32(rim_columns - 1), out=column)
    cell = row.astype(np.intp)
    cell *= rim_columns
    cell += column.astype(np.intp)

    blocked = np.zeros(rim_rows * rim_columns, np.bool_)
    lowest = distance.min()
    if not lowest >= view.nearest or lowest == 0:  # NaN compares false
        too_near = (distance < view.nearest) & (distance > 0)
        blocked[cell[too_near]] = True
        usable = (distance >= view.nearest) & (distance > 0)
        distance = np.where(usable, distance, _NOTHING)
    nearest = np.full(rim_rows * rim_columns, _NOTHING)
    np.minimum.at(nearest, cell, distance)
    any_point = bool(blocked.any() or (nearest < _NOTHING).any())
    inner = (slice(1, -1), slice(1, -1))
    return (
        nearest.reshape(rim_rows, rim_columns)[inner],
        blocked.reshape(rim_rows, rim_columns)[inner],
        any_point,
    )


def _wrapped(clockwise: NDArray[np.float32], view: _View) -> NDArray[np.float32]:
    """Return the column, as a real number, of azimuths counted clockwise from straight back."""
    column = clockwise + np.float32(view.azimuth_max - np.pi)
    if view.azimuth_max > np.pi + 1e-6:
        column[column >= np.float32(2 * np.pi)] -= np.float32(2 * np.pi)
    elif view.azimuth_max < np.pi - 1e-6:
        column[column < 0] += np.float32(2 * np.pi)
    column *= np.float32(view.columns_per_radian)
    return column

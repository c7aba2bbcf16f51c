# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
PointCloud2 <-> a range image.

Geometry of the spec: ``azimuth_min, azimuth_max, elevation_min, elevation_max`` (rad; azimuth is
positive to the left and elevation upwards, with either axes), ``range_min, range_max`` (m), and
``axes`` of the cloud: ``body`` (x forward, y left, z up) or ``optical`` (z forward, x right,
y down; REP-103). Row 0 of the range image is the top (elevation_max), column 0 the left
(azimuth_max); a cell's centre lies half a cell in. A value is a Euclidean distance in metres; of
several points in a cell the nearest counts.

A cloud does not say where the sensor looked and saw nothing. By assumption a cell in the field of
view without a point in range is valid and not returned. A point nearer than range_min hides what
is behind it, so a cell that has only such points is not valid. Points that are not finite or
exactly at the origin (some drivers fill organised clouds with these) are ignored.

Angles are computed by OpenCV, to about 0.01 degrees. Coordinates are metres (REP-103), in any
datatype.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.sensors.geometry import geometry_numbers
from m2vae_ros.sensors.messages import (
    bytes_of,
    check_measurement,
    fields_of,
    header_of,
    InvalidMessage,
    MessageClasses,
    stamp_and_frame,
)
from m2vae_ros.sensors.range_image import directions, project, validate, view_of
from m2vae_ros.specs import Measurement, SensorSpec

__all__ = ['MESSAGE_TYPE', 'decode', 'encode', 'points_of', 'validate']

MESSAGE_TYPE = 'sensor_msgs/msg/PointCloud2'
_DATATYPES = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 8: 'f8'}
_FLOAT32 = 7
_NATIVE_FLOAT32 = np.dtype(np.float32)


def decode(spec: SensorSpec, message: Any) -> Measurement:
    """
    Return the cloud's range image.

    Raises
    ------
    InvalidMessage
        ``message_type``, ``field_type``, ``empty_cloud``, ``fields``, ``datatype``,
        ``point_step``, ``row_step``, ``data_size``, ``no_valid_point`` (none is finite) or
        ``outside_view`` (none is in the field of view).

    """
    view = view_of(spec)
    stamp_ns, frame_id = stamp_and_frame(message)
    points, x, y, z = _coordinates(message)
    image = project(view, points, x, y, z)
    if not image.any_point:
        raise InvalidMessage(
            'no_valid_point',
            f'none of {len(points)} points is finite and off the origin: must have one'
        )
    seen = image.nearest < np.inf
    if not (seen.any() or image.blocked.any()):
        raise InvalidMessage(
            'outside_view',
            f'none of {len(points)} points lies in the field of view of sensor {spec.name}: check '
            f'its axes ({spec.geometry["axes"]}), azimuth and elevation limits'
        )
    returned = image.nearest <= view.farthest
    values = np.where(returned, image.nearest, np.float32(0))
    return Measurement(values, seen | ~image.blocked, returned, stamp_ns, frame_id)


def encode(spec: SensorSpec, measurement: Measurement, classes: MessageClasses) -> Any:
    """
    Return the organised cloud with one point per cell, NaN where not returned.

    Returned ranges are clipped to the spec's limits: a decoder's mean may lie a little outside.

    Raises
    ------
    ValueError
        If the measurement's shapes are not the spec's, or a returned range is not finite.

    """
    check_measurement(spec, measurement, measurement.returned)
    rows, columns = spec.shape
    nearest, farthest = geometry_numbers(spec, ('range_min', 'range_max'))
    ranges = np.where(
        measurement.returned, measurement.values.clip(nearest, farthest), np.float32(np.nan)
    )
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


def points_of(message: Any) -> NDArray[np.float32]:
    """
    Return a cloud's points in its own axes, ``(points, 3)``, without those that are ignored.

    Raises
    ------
    InvalidMessage
        By the rules of `decode` up to ``data_size``.

    """
    points, x, y, z = _coordinates(message)
    coordinates = points[:, [x, y, z]]
    is_point = np.isfinite(coordinates).all(axis=1) & coordinates.any(axis=1)
    valid_points: NDArray[np.float32] = coordinates[is_point]
    return valid_points


def _coordinates(message: Any) -> tuple[NDArray[np.float32], int, int, int]:
    """Return an array (points, columns) and which of its columns are x, y and z."""
    height, width, fields, is_bigendian, point_step, row_step, data = fields_of(
        message, MESSAGE_TYPE, height=int, width=int, fields=Sequence, is_bigendian=bool,
        point_step=int, row_step=int, data=object,
    )
    buffer = bytes_of(MESSAGE_TYPE, data)
    size = buffer.size
    if height < 1 or width < 1 or size == 0:
        raise InvalidMessage(
            'empty_cloud', f'{height} x {width} points in {size} bytes: must have at least one'
        )
    layout = _layout(fields, point_step, is_bigendian)
    if not width * point_step <= row_step <= size:
        raise InvalidMessage(
            'row_step',
            f'row_step is {row_step}: must be at least {width} points * point_step {point_step} '
            f'and at most the {size} bytes of data'
        )
    if row_step * height != size:
        raise InvalidMessage(
            'data_size', f'data has {size} bytes: must be row_step {row_step} * height {height}'
        )
    if row_step == width * point_step and point_step % 4 == 0 and all(
        dtype == _NATIVE_FLOAT32 and offset % 4 == 0 for offset, dtype in layout
    ):
        x, y, z = (offset // 4 for offset, _ in layout)
        first, last = min(x, y, z), max(x, y, z)
        floats = buffer.view(np.float32).reshape(-1, point_step // 4)
        # OpenCV transposes four columns faster than three.
        return floats[:, first:max(last + 1, first + 4)], x - first, y - first, z - first
    points = np.empty((height, width, 3), np.float32)
    with np.errstate(over='ignore', invalid='ignore'):
        for column, (offset, dtype) in enumerate(layout):
            points[..., column] = np.ndarray(
                (height, width), dtype, buffer, offset, (row_step, point_step)
            )
    return points.reshape(-1, 3), 0, 1, 2


def _layout(
    fields: Sequence[Any], point_step: int, is_bigendian: bool
) -> list[tuple[int, np.dtype[Any]]]:
    """Return offset and type of x, y and z."""
    by_name = {}
    for field in fields:
        name, offset, datatype = fields_of(
            field, 'sensor_msgs/msg/PointField', name=str, offset=int, datatype=int
        )
        by_name[name] = offset, datatype
    missing = [name for name in 'xyz' if name not in by_name]
    if missing:
        raise InvalidMessage(
            'fields', f'no field {", ".join(missing)}, only {sorted(by_name)}: must have x, y, z'
        )
    layout = []
    for name in 'xyz':
        offset, datatype = by_name[name]
        if datatype not in _DATATYPES:
            raise InvalidMessage(
                'datatype',
                f'field {name} has datatype {datatype}: must be one of {sorted(_DATATYPES)}'
            )
        dtype = np.dtype(('>' if is_bigendian else '<') + _DATATYPES[datatype])
        if not 0 <= offset <= point_step - dtype.itemsize:
            raise InvalidMessage(
                'point_step',
                f'field {name} takes bytes {offset} to {offset + dtype.itemsize}: must end within '
                f'point_step {point_step}'
            )
        layout.append((offset, dtype))
    return layout

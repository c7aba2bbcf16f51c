# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
PointCloud2 <-> a range image.

Geometry of the spec: ``azimuth_min, azimuth_max, elevation_min, elevation_max`` (rad; azimuth is
positive to the left and elevation upwards, with either axes), ``range_min, range_max`` (m), and
``axes`` of the cloud: ``body`` (x forward, y left, z up) or ``optical`` (z forward, x right,
y down; REP-103). With ``elevations`` the rows are the rings of a lidar (see
`m2vae_ros.sensors.rows`). Row 0 of the range image is the top (elevation_max), column 0 the left
(azimuth_max); a cell's centre lies half a cell in. A value is a Euclidean distance in metres; of
several points in a cell the nearest counts.

A cloud does not say where the sensor looked and saw nothing. By assumption a cell in the field of
view without a point in range is valid and not returned. A point nearer than range_min hides what
is behind it, so a cell that has only such points is not valid. Points that are not finite or
exactly at the origin (some drivers fill organised clouds with these) are ignored.

Angles are computed by OpenCV, to about 0.01 degrees. Coordinates are metres (REP-103), in any
datatype; `m2vae_ros.sensors.cloud_data` reads them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from m2vae_ros.sensors.cloud_data import coordinates_of, FLOAT32
from m2vae_ros.sensors.geometry import geometry_numbers
from m2vae_ros.sensors.messages import (
    check_measurement,
    header_of,
    InvalidMessage,
    MessageClasses,
    stamp_and_frame,
)
from m2vae_ros.sensors.range_image import directions, project, validate, view_of
from m2vae_ros.specs import Measurement, SensorSpec

__all__ = ['MESSAGE_TYPE', 'decode', 'encode', 'validate']

MESSAGE_TYPE = 'sensor_msgs/msg/PointCloud2'


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
    points, x, y, z = coordinates_of(message)
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
            classes.PointField(name=name, offset=4 * i, datatype=FLOAT32, count=1)
            for i, name in enumerate('xyz')
        ],
        is_bigendian=False,
        point_step=12,
        row_step=12 * columns,
        data=classes.uint8_sequence(points.view(np.uint8)),
        is_dense=bool(measurement.returned.all()),
    )

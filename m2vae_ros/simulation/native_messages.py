# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The simulated robot's measurements, as the messages that drivers of such sensors publish.

They are built with whatever message classes are given: rclpy's, rosbags', or `PLAIN_CLASSES`.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.sensors.messages import MessageClasses
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.simulation.sensing import SCAN_RANGES

PERIODS = {'camera': 1 / 30, 'lidar': 1 / 10, 'depth': 1 / 12}  # s, between two messages
_CAMERA, _LIDAR, _DEPTH = SENSORS
_FLOAT32 = 7  # sensor_msgs/PointField.FLOAT32

#: Message classes that need no ROS: plain objects with the messages' fields; arrays stay arrays.
PLAIN_CLASSES = MessageClasses(
    *(SimpleNamespace,) * 7,
    uint8_sequence=lambda values: values.reshape(-1),
    float32_sequence=lambda values: values.reshape(-1),
)


class SensorSuite(Protocol):
    """What has the measurements of the three sensors, as `Robot` does."""

    def image(self) -> NDArray[np.uint8]:
        """See `Robot.image`."""

    def ranges(self) -> NDArray[np.float32]:
        """See `Robot.ranges`."""

    def cloud(self) -> NDArray[np.float32]:
        """See `Robot.cloud`."""


def observe(robot: SensorSuite, sensor: str, stamp_ns: int, classes: MessageClasses) -> Any:
    """
    Return the message that the driver of one of the robot's sensors publishes now.

    Parameters
    ----------
    robot
        Measures; a `Robot` or what has the same three sensors.
    sensor
        ``camera`` (Image, rgb8), ``lidar`` (LaserScan) or ``depth`` (PointCloud2, organised).
    stamp_ns
        Stamp of the message's header, nanoseconds.
    classes
        Classes that the message is built with.

    Raises
    ------
    ValueError
        If the robot has no such sensor.

    """
    if sensor == 'camera':
        return _image(robot.image(), _header(_CAMERA.frame_id, stamp_ns, classes), classes)
    if sensor == 'lidar':
        return _scan(robot.ranges(), _header(_LIDAR.frame_id, stamp_ns, classes), classes)
    if sensor == 'depth':
        return _cloud(robot.cloud(), _header(_DEPTH.frame_id, stamp_ns, classes), classes)
    raise ValueError(f'sensor {sensor!r}: the robot has {[spec.name for spec in SENSORS]}')


def _header(frame_id: str, stamp_ns: int, classes: MessageClasses) -> Any:
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return classes.Header(stamp=classes.Time(sec=sec, nanosec=nanosec), frame_id=frame_id)


def _image(image: NDArray[np.uint8], header: Any, classes: MessageClasses) -> Any:
    rows, columns, channels = image.shape
    return classes.Image(
        header=header, height=rows, width=columns, encoding='rgb8', is_bigendian=0,
        step=columns * channels, data=classes.uint8_sequence(image),
    )


def _scan(ranges: NDArray[np.float32], header: Any, classes: MessageClasses) -> Any:
    increment = 2 * math.pi / len(ranges)
    return classes.LaserScan(
        header=header, angle_min=-math.pi, angle_max=math.pi - increment,
        angle_increment=increment, time_increment=0.0, scan_time=PERIODS['lidar'],
        range_min=SCAN_RANGES[0], range_max=SCAN_RANGES[1],
        ranges=classes.float32_sequence(ranges),
        intensities=classes.float32_sequence(np.zeros(0, np.float32)),
    )


def _cloud(points: NDArray[np.float32], header: Any, classes: MessageClasses) -> Any:
    rows, columns, _ = points.shape
    fields = [
        classes.PointField(name=name, offset=4 * i, datatype=_FLOAT32, count=1)
        for i, name in enumerate('xyz')
    ]
    return classes.PointCloud2(
        header=header, height=rows, width=columns, fields=fields, is_bigendian=False,
        point_step=12, row_step=12 * columns,
        data=classes.uint8_sequence(points.astype('<f4', copy=False).view(np.uint8)),
        is_dense=bool(np.isfinite(points).all()),
    )

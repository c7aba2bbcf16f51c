# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
What the kinds of sensors share: the error of a malformed message, and whose classes to build with.

Messages are duck-typed: rclpy's classes and those of rosbags have the same fields.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.specs import Measurement, SensorSpec


class InvalidMessage(ValueError):  # noqa: N818 (a property of the message, not of the program)
    """
    A message that says nothing usable, and why.

    Parameters
    ----------
    rule
        Short stable key of the broken rule; rejected messages are counted by it.
    explanation
        The value found and what would be right.

    """

    def __init__(self, rule: str, explanation: str) -> None:
        super().__init__(f'{rule}: {explanation}')
        self.rule = rule


@dataclass(frozen=True)
class MessageClasses:
    """
    The classes that `encode` builds messages with.

    Every class is called with keyword arguments that name all of its fields; the two callables
    make the sequence type that those classes want in their ``uint8[]`` and ``float32[]`` fields.
    """

    Header: Callable[..., Any]
    Time: Callable[..., Any]
    Image: Callable[..., Any]
    CompressedImage: Callable[..., Any]
    LaserScan: Callable[..., Any]
    PointCloud2: Callable[..., Any]
    PointField: Callable[..., Any]
    uint8_sequence: Callable[[NDArray[np.uint8]], Any]
    float32_sequence: Callable[[NDArray[np.float32]], Any]


def ros_message_classes() -> MessageClasses:
    """
    Return the classes of the ROS 2 installation (sensor_msgs).

    Raises
    ------
    ModuleNotFoundError
        If the message packages are not installed; says how to get them.

    """
    try:
        from builtin_interfaces.msg import Time
        from sensor_msgs.msg import CompressedImage, Image, LaserScan, PointCloud2, PointField
        from std_msgs.msg import Header
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'{error.name} is not installed: source a ROS 2 installation that has sensor_msgs '
            f'(apt install ros-$ROS_DISTRO-sensor-msgs), or pip install ros-sensor-msgs',
            name=error.name,
        ) from error
    return MessageClasses(
        Header, Time, Image, CompressedImage, LaserScan, PointCloud2, PointField,
        uint8_sequence=lambda values: _array('B', values),
        float32_sequence=lambda values: _array('f', values),
    )


def rosbags_message_classes(typestore: Any) -> MessageClasses:
    """Return the classes of a ``rosbags`` type store for ROS 2; they need no ROS installation."""
    types = typestore.types
    return MessageClasses(
        types['std_msgs/msg/Header'],
        types['builtin_interfaces/msg/Time'],
        types['sensor_msgs/msg/Image'],
        types['sensor_msgs/msg/CompressedImage'],
        types['sensor_msgs/msg/LaserScan'],
        types['sensor_msgs/msg/PointCloud2'],
        types['sensor_msgs/msg/PointField'],
        uint8_sequence=lambda values: np.ascontiguousarray(values, np.uint8).ravel(),
        float32_sequence=lambda values: np.ascontiguousarray(values, np.float32).ravel(),
    )


def _array(typecode: str, values: NDArray[Any]) -> array[Any]:
    """Return an ``array.array``: rclpy stores it as it is, an ndarray it copies item by item."""
    sequence = array(typecode)
    sequence.frombytes(np.ascontiguousarray(values, typecode).data.cast('B'))
    return sequence


def fields_of(message: Any, type_name: str, *names: str) -> list[Any]:
    """
    Return the named fields of a message.

    Raises
    ------
    InvalidMessage
        ``message_type``, if it lacks one of them.

    """
    missing = [name for name in names if not hasattr(message, name)]
    if missing:
        raise InvalidMessage(
            'message_type',
            f'{type(message).__name__} has no field {", ".join(missing)}: must be a {type_name}',
        )
    return [getattr(message, name) for name in names]


def stamp_and_frame(message: Any) -> tuple[int, str]:
    """
    Return the stamp of a message's header in nanoseconds, and its frame.

    Any stamp passes, zero included: the synchroniser judges stamps, for it knows the time.

    Raises
    ------
    InvalidMessage
        ``message_type``, if the message has no header.

    """
    (header,) = fields_of(message, 'message with a header', 'header')
    stamp, frame_id = fields_of(header, 'std_msgs/msg/Header', 'stamp', 'frame_id')
    sec, nanosec = fields_of(stamp, 'builtin_interfaces/msg/Time', 'sec', 'nanosec')
    return int(sec) * 1_000_000_000 + int(nanosec), str(frame_id)


def header_of(measurement: Measurement, classes: MessageClasses) -> Any:
    """Return the header that carries a measurement's stamp and frame."""
    sec, nanosec = divmod(measurement.stamp_ns, 1_000_000_000)
    return classes.Header(
        stamp=classes.Time(sec=sec, nanosec=nanosec), frame_id=measurement.frame_id
    )


def bytes_of(data: Any) -> NDArray[np.uint8]:
    """
    Return a message's ``uint8[]`` field as an array, without a copy where it is a buffer.

    Raises
    ------
    InvalidMessage
        ``data_size``, if there is nothing in it.

    """
    if len(data) == 0:
        raise InvalidMessage('data_size', 'data is empty: must hold the measurement')
    if isinstance(data, (list, tuple)):
        data = bytes(data)
    return np.frombuffer(data, np.uint8)


def check_measurement(
    spec: SensorSpec, measurement: Measurement, meant: NDArray[np.bool_]
) -> None:
    """
    Check that a measurement is one of this sensor.

    Parameters
    ----------
    spec
        The sensor.
    measurement
        What is to be encoded.
    meant
        Which of its cells have values that mean something.

    Raises
    ------
    ValueError
        If its values or masks have other shapes than the spec says, or a value that is meant is
        not finite.

    """
    shapes = measurement.values.shape, measurement.valid.shape, measurement.returned.shape
    right = spec.shape, spec.spatial_shape, spec.spatial_shape
    if shapes != right:
        raise ValueError(
            f'sensor {spec.name}: values, valid and returned have shapes {shapes}, must be {right}'
        )
    wrong = np.count_nonzero(~np.isfinite(measurement.values) & meant)
    if wrong:
        raise ValueError(
            f'sensor {spec.name}: {wrong} values are not finite: must be, or be masked'
        )

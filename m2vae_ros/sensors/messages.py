# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
What the kinds of sensors share: checked access to a message's fields, and its error.

Messages are duck-typed: rclpy's classes and those of rosbags have the same fields.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
import reprlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.specs import Measurement, SensorSpec

# Type of a field -> what is accepted for it, and its name in an error.
_FIELD_TYPES: dict[type, tuple[Any, str]] = {
    int: (Integral, 'a whole number'),
    float: (Real, 'a number'),
    bool: ((Integral, np.bool_), 'true or false'),
    str: (str, 'text'),
    Sequence: (Sequence, 'a list'),
}


class InvalidMessage(ValueError):  # noqa: N818 (a property of the message, not of the program)
    """
    A message that cannot be used, and why.

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

    Every class is called with all its fields as keyword arguments. The last two make a sequence
    of the type that these classes need in ``uint8[]`` and ``float32[]`` fields.
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
        If the message packages are not installed; the text says how to install them.

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
    """Return an ``array.array``, which rclpy stores as it is; an ndarray it copies by item."""
    sequence = array(typecode)
    sequence.frombytes(np.ascontiguousarray(values, typecode).data.cast('B'))
    return sequence


def fields_of(message: Any, type_name: str, **types: type) -> list[Any]:
    """
    Return the named fields of a message.

    Parameters
    ----------
    message
        Any object that has these fields.
    type_name
        Type of message that it should be, for the explanation.
    types
        Field -> its type: ``int``, ``float``, ``bool``, ``str``, ``Sequence`` or, unchecked,
        ``object``. NumPy scalars are accepted and returned as Python's.

    Raises
    ------
    InvalidMessage
        ``message_type``, if the message lacks a field; ``field_type``, if one is of another type.

    """
    try:
        values = [getattr(message, name) for name in types]
    except AttributeError:
        missing = [name for name in types if not hasattr(message, name)]
        raise InvalidMessage(
            'message_type',
            f'{type(message).__name__} has no field {", ".join(missing)}: must be a {type_name}',
        ) from None
    return [
        value if wanted is object or type(value) is wanted
        else _converted(type_name, name, value, wanted)
        for (name, wanted), value in zip(types.items(), values, strict=True)
    ]


def _converted(type_name: str, name: str, value: Any, wanted: type) -> Any:
    """Return a value as the wanted type."""
    accepted, description = _FIELD_TYPES[wanted]
    if not isinstance(value, accepted):
        raise _wrong_type(type_name, name, value, description)
    if accepted is wanted:
        return value
    try:
        return wanted(value)
    except OverflowError as error:
        raise _wrong_type(type_name, name, value, description) from error


def _wrong_type(type_name: str, name: str, value: Any, description: str) -> InvalidMessage:
    return InvalidMessage(
        'field_type', f'{name} of a {type_name} is {reprlib.repr(value)}: must be {description}'
    )


def stamp_and_frame(message: Any) -> tuple[int, str]:
    """
    Return the stamp of a message's header in nanoseconds, and its frame.

    Any stamp is accepted, even 0: the synchronizer checks stamps, since it knows the time.

    Raises
    ------
    InvalidMessage
        ``message_type`` or ``field_type``, if the message has no header with both.

    """
    (header,) = fields_of(message, 'message with a header', header=object)
    stamp, frame_id = fields_of(header, 'std_msgs/msg/Header', stamp=object, frame_id=str)
    sec, nanosec = fields_of(stamp, 'builtin_interfaces/msg/Time', sec=int, nanosec=int)
    return sec * 1_000_000_000 + nanosec, frame_id


def header_of(measurement: Measurement, classes: MessageClasses) -> Any:
    """Return a header with a measurement's stamp and frame."""
    sec, nanosec = divmod(measurement.stamp_ns, 1_000_000_000)
    return classes.Header(
        stamp=classes.Time(sec=sec, nanosec=nanosec), frame_id=measurement.frame_id
    )


def bytes_of(type_name: str, data: Any) -> NDArray[np.uint8]:
    """
    Return a message's ``uint8[]`` field ``data``, without a copy if it is a buffer.

    Raises
    ------
    InvalidMessage
        ``field_type``, if it is neither a contiguous buffer of bytes nor a list of them.

    """
    try:
        octets = bytes(data) if isinstance(data, (list, tuple)) else data
        buffer = np.frombuffer(octets, np.uint8) if len(data) else np.empty(0, np.uint8)
        if buffer.size == len(data):
            return buffer
    except (TypeError, ValueError, BufferError):
        pass
    raise _wrong_type(type_name, 'data', data, 'contiguous bytes')


def floats_of(type_name: str, name: str, values: Any) -> NDArray[np.float32]:
    """
    Return a message's ``float32[]`` field, without a copy if it is a buffer of float32.

    Raises
    ------
    InvalidMessage
        ``field_type``, if it is not a list of numbers.

    """
    try:
        with np.errstate(over='ignore'):  # beyond float32's range is inf
            numbers = np.asarray(values, np.float32)
        if numbers.ndim == 1:
            return numbers
    except (TypeError, ValueError, OverflowError):
        pass
    raise _wrong_type(type_name, name, values, 'a list of numbers')


def check_measurement(
    spec: SensorSpec, measurement: Measurement, used: NDArray[np.bool_]
) -> None:
    """
    Check that a measurement can be encoded as one of this sensor.

    Parameters
    ----------
    spec
        The sensor.
    measurement
        What is to be encoded.
    used
        Mask of the cells whose values are encoded.

    Raises
    ------
    ValueError
        If its values or masks have other shapes than the spec says, or a value that is used is
        not finite.

    """
    shapes = measurement.values.shape, measurement.valid.shape, measurement.returned.shape
    expected = spec.shape, spec.spatial_shape, spec.spatial_shape
    if shapes != expected:
        raise ValueError(
            f'sensor {spec.name}: values, valid and returned have shapes {shapes}, must be '
            f'{expected}'
        )
    wrong = np.count_nonzero(~np.isfinite(measurement.values) & used)
    if wrong:
        raise ValueError(
            f'sensor {spec.name}: {wrong} values are not finite: must be finite or masked'
        )

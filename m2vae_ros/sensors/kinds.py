# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The kinds of sensors; for each a spec is validated and messages are decoded and encoded."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from m2vae_ros.sensors import image, laser_scan, point_cloud
from m2vae_ros.sensors.image_file import MAX_PIXELS
from m2vae_ros.sensors.messages import MessageClasses
from m2vae_ros.specs import Measurement, SensorSpec

#: Kind -> its file. Each has MESSAGE_TYPE, validate, decode and encode.
KINDS: dict[str, ModuleType] = {
    'image': image,
    'laser_scan': laser_scan,
    'point_cloud': point_cloud,
}
LONG_BYTES = 2**21  # of an image or a cloud


def validate(spec: SensorSpec) -> None:
    """
    Check that a spec's shape and geometry fit its kind.

    Raises
    ------
    ValueError
        If they do not; the text names the sensor, the key, the value and the rule.

    """
    _kind(spec).validate(spec)


def decode(
    spec: SensorSpec, message: Any, *, max_image_pixels: int = MAX_PIXELS
) -> Measurement:
    """
    Return the measurement in a message, in the spec's shape.

    Parameters
    ----------
    spec
        The sensor, as the model knows it.
    message
        Any object with the fields of the kind's message (rclpy's or rosbags'). It is not changed,
        and the measurement shares no memory with it.
    max_image_pixels
        Larger images are rejected, and compressed ones that take as long to decode.

    Raises
    ------
    InvalidMessage
        If the message is malformed or no cell of it is valid; its ``rule`` says why.
    ValueError
        If the spec itself is wrong (see `validate`).

    """
    kind = _kind(spec)
    if kind is image:
        return image.decode(spec, message, max_pixels=max_image_pixels)
    measurement: Measurement = kind.decode(spec, message)
    return measurement


def takes_long(message: Any) -> bool:
    """
    Return whether a message may take longer to decode than others should wait for.

    That is a compressed image, whatever its size, or one of more than `LONG_BYTES` bytes. Others
    take some 2 ms at most (``benchmarks/decode.py``).
    """
    if hasattr(message, 'format'):
        return True
    try:
        return len(message.data) > LONG_BYTES
    except (AttributeError, TypeError):  # a scan, or what no decoder takes
        return False


def encode(spec: SensorSpec, measurement: Measurement, classes: MessageClasses) -> Any:
    """
    Return a message of the sensor's own type with the content of a measurement.

    Raises
    ------
    ValueError
        If the measurement's shapes are not the spec's, or the spec is wrong.

    """
    return _kind(spec).encode(spec, measurement, classes)


def message_type(spec: SensorSpec) -> str:
    """Return the name of the sensor's message type, such as ``sensor_msgs/msg/LaserScan``."""
    name: str = _kind(spec).MESSAGE_TYPE
    return name


def _kind(spec: SensorSpec) -> ModuleType:
    if spec.kind not in KINDS:
        raise ValueError(
            f'sensor {spec.name}: kind {spec.kind!r} is unknown, must be one of {sorted(KINDS)}'
        )
    return KINDS[spec.kind]

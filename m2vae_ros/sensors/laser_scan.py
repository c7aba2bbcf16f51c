# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
LaserScan <-> ranges at the model's bearings.

Geometry of the spec: ``angle_min, angle_max`` (rad, REP-103: counter-clockwise about z, 0 is
forward) and ``range_min, range_max`` (m). Bearing i of n is the middle of its cell,
``angle_min + (i + 0.5) * (angle_max - angle_min) / n``.

A cell takes the nearest return of all beams that fall in it, whatever the message's angle limits,
direction and number of beams. It is free (valid and not returned) only where all its valid beams
are, and not valid where none is. Where beams are wider apart than cells, a cell between two of
them has the nearer one; a cell outside of the scan is not valid (see `m2vae_ros.sensors.beams`).

Ranges follow REP-117, within the message's and the spec's limits: +inf and beyond range_max is
valid and not returned; NaN, -inf and below range_min is not valid. A range of exactly 0 is not
valid either: many drivers with range_min 0 mean "no measurement" by it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.sensors.beams import beams_of, Fan
from m2vae_ros.sensors.geometry import (
    check_azimuth,
    check_dimensions,
    check_keys,
    check_ranges,
    geometry_numbers,
)
from m2vae_ros.sensors.messages import (
    check_measurement,
    fields_of,
    floats_of,
    header_of,
    InvalidMessage,
    MessageClasses,
    stamp_and_frame,
)
from m2vae_ros.specs import Measurement, SensorSpec

MESSAGE_TYPE = 'sensor_msgs/msg/LaserScan'
_KEYS = ('angle_min', 'angle_max', 'range_min', 'range_max')
_TURN = 2 * np.pi
_FREE = np.float32(np.inf)
_MIN_INCREMENT = 1e-7  # rad; the resolution of float32 at one turn


def validate(spec: SensorSpec) -> None:
    """
    Check that the spec describes a laser scan.

    Raises
    ------
    ValueError
        If it does not; the text names the sensor, the key, the value and the rule.

    """
    check_dimensions(spec, ('bearings',))
    check_keys(spec, _KEYS)
    angle_min, angle_max, range_min, range_max = geometry_numbers(spec, _KEYS)
    check_azimuth(spec, 'angle', angle_min, angle_max)
    check_ranges(spec, range_min, range_max)


def bearings(spec: SensorSpec) -> NDArray[np.float64]:
    """Return the middles of the spec's cells, in radians, shape ``(bearings,)``."""
    angle_min, angle_max, _, _ = geometry_numbers(spec, _KEYS)
    n = spec.shape[0]
    return angle_min + (np.arange(n) + 0.5) * (angle_max - angle_min) / n


def decode(spec: SensorSpec, message: Any) -> Measurement:
    """
    Return the scan at the spec's bearings.

    Raises
    ------
    InvalidMessage
        ``message_type``, ``field_type``, ``empty_scan``, ``angle_min``, ``angle_increment``,
        ``range_limits``, ``outside_view`` (no beam covers a bearing) or ``no_valid_range``.

    """
    low, high, spec_range_min, spec_range_max = _limits(spec)
    angle_min, increment, range_min, range_max, ranges = fields_of(
        message, MESSAGE_TYPE, angle_min=float, angle_increment=float, range_min=float,
        range_max=float, ranges=object,
    )
    stamp_ns, frame_id = stamp_and_frame(message)
    measured = floats_of(MESSAGE_TYPE, 'ranges', ranges)
    if measured.size == 0:
        raise InvalidMessage('empty_scan', 'ranges has no beam: must have at least one')
    _check_angles(angle_min, increment, measured.size)
    if not 0 <= range_min < range_max:
        raise InvalidMessage(
            'range_limits',
            f'range_min {range_min}, range_max {range_max} m: must be 0 <= range_min < range_max'
        )

    beams = beams_of(low, high, spec.shape[0], Fan(angle_min, increment, measured.size))
    if not beams.covered.any():
        raise InvalidMessage(
            'outside_view',
            f'{measured.size} beams from {angle_min:.3f} rad in steps of {increment:.5f} rad '
            f'cover no bearing of sensor {spec.name}: check its angle_min and angle_max'
        )
    nearest = np.float32(max(range_min, spec_range_min))
    farthest = np.float32(min(range_max, spec_range_max))
    is_valid = (measured >= nearest) & (measured > 0)  # NaN compares false
    distances = np.where(is_valid & (measured <= farthest), measured, _FREE)
    at_bearings = np.full(spec.shape, _FREE)
    at_bearings[beams.covered] = beams.least(distances)
    valid = np.zeros(spec.shape, np.bool_)
    valid[beams.covered] = beams.has_any(is_valid)
    if not valid.any():
        raise InvalidMessage(
            'no_valid_range',
            f'none of {measured.size} ranges is +inf or at least {nearest} m at a bearing of '
            f'sensor {spec.name}: must have one'
        )
    returned = at_bearings < _FREE
    values = np.where(returned, at_bearings, np.float32(0))
    return Measurement(values, valid, returned, stamp_ns, frame_id)


def encode(spec: SensorSpec, measurement: Measurement, classes: MessageClasses) -> Any:
    """
    Return the LaserScan with one beam per bearing: +inf where not returned, NaN where not valid.

    Returned ranges are clipped to the spec's limits, since by REP-117 a range outside them means
    something else: a decoder's mean may lie a little outside.

    Raises
    ------
    ValueError
        If the measurement's shapes are not the spec's, or a returned range is not finite.

    """
    check_measurement(spec, measurement, measurement.returned)
    angle_min, angle_max, range_min, range_max = _limits(spec)
    angles = bearings(spec)
    ranges = np.where(
        measurement.returned, measurement.values.clip(range_min, range_max), np.float32(np.inf)
    )
    ranges[~measurement.valid] = np.nan
    return classes.LaserScan(
        header=header_of(measurement, classes),
        angle_min=float(angles[0]),
        angle_max=float(angles[-1]),
        angle_increment=(angle_max - angle_min) / angles.size,
        time_increment=0.0,
        scan_time=0.0,
        range_min=range_min,
        range_max=range_max,
        ranges=classes.float32_sequence(ranges),
        intensities=classes.float32_sequence(np.empty(0, np.float32)),
    )


@lru_cache(maxsize=64)
def _limits(spec: SensorSpec) -> tuple[float, float, float, float]:
    """Return limits of angle and range of a spec, which is validated once."""
    validate(spec)
    angle_min, angle_max, range_min, range_max = geometry_numbers(spec, _KEYS)
    return angle_min, angle_max, range_min, range_max


def _check_angles(angle_min: float, increment: float, n: int) -> None:
    if not abs(angle_min) <= 2 * _TURN:
        raise InvalidMessage(
            'angle_min', f'angle_min is {angle_min}: must be radians within -4 pi .. 4 pi'
        )
    if not np.isfinite(increment) or abs(increment) < _MIN_INCREMENT:
        raise InvalidMessage(
            'angle_increment',
            f'angle_increment is {increment}: must be radians, at least {_MIN_INCREMENT}'
        )
    if abs(increment) * max(n - 1, 1) > 1.05 * _TURN:
        raise InvalidMessage(
            'angle_increment',
            f'{n} beams at {increment} rad are more than a full turn: must be radians, not degrees'
        )

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Checks of a spec's shape and geometry that several kinds of sensors share."""

from __future__ import annotations

import numpy as np

from m2vae_ros.specs import SensorSpec


def geometry_numbers(spec: SensorSpec, keys: tuple[str, ...]) -> list[float]:
    """
    Return the spec's geometry under these keys.

    Raises
    ------
    ValueError
        If a key is missing or its value is not a finite number.

    """
    numbers = []
    for key in keys:
        if key not in spec.geometry:
            raise ValueError(
                f'sensor {spec.name}: geometry lacks {key}, which kind {spec.kind} needs'
            )
        value = spec.geometry[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)) \
                or not np.isfinite(value):
            raise ValueError(
                f'sensor {spec.name}: geometry {key} is {value!r}, must be a finite number'
            )
        numbers.append(float(value))
    return numbers


def check_keys(spec: SensorSpec, keys: tuple[str, ...]) -> None:
    """
    Check that the spec's geometry has no other keys than these.

    Raises
    ------
    ValueError
        If it has others; the text names them and the known keys.

    """
    unknown = sorted(set(spec.geometry) - set(keys))
    if unknown:
        raise ValueError(
            f'sensor {spec.name}: unknown geometry {", ".join(unknown)}; '
            f'kind {spec.kind} has {", ".join(keys) or "none"}'
        )


def check_dimensions(spec: SensorSpec, axes: tuple[str, ...]) -> None:
    """
    Check that the spec's shape has as many axes as these.

    Raises
    ------
    ValueError
        If it has more or fewer.

    """
    if len(spec.shape) != len(axes):
        raise ValueError(
            f'sensor {spec.name}: shape {spec.shape} must be ({", ".join(axes)}) '
            f'for kind {spec.kind}'
        )


def check_ranges(spec: SensorSpec, range_min: float, range_max: float) -> None:
    """
    Check the limits of the ranges that the model knows, metres.

    Raises
    ------
    ValueError
        Unless 0 <= range_min < range_max.

    """
    if range_min < 0:
        raise ValueError(f'sensor {spec.name}: range_min is {range_min} m, must not be negative')
    if range_max <= range_min:
        raise ValueError(
            f'sensor {spec.name}: range_max is {range_max} m, must be above range_min, '
            f'which is {range_min} m'
        )


def check_azimuth(spec: SensorSpec, key: str, minimum: float, maximum: float) -> None:
    """
    Check the horizontal limits of a field of view, radians.

    Parameters
    ----------
    spec
        The sensor.
    key
        What its geometry calls them: ``angle`` or ``azimuth``, with ``_min`` and ``_max``.
    minimum, maximum
        The limits.

    Raises
    ------
    ValueError
        Unless minimum < maximum, both within one turn of 0 and at most one turn apart.

    """
    turn = 2 * np.pi + 1e-6
    if maximum <= minimum:
        raise ValueError(
            f'sensor {spec.name}: {key}_max is {maximum} rad, must be above {key}_min, '
            f'which is {minimum} rad'
        )
    if maximum - minimum > turn:
        raise ValueError(
            f'sensor {spec.name}: {key}_min {minimum} to {key}_max {maximum} rad is more than a '
            f'full turn; are these degrees?'
        )
    for side, value in (('min', minimum), ('max', maximum)):
        if abs(value) > turn:
            raise ValueError(
                f'sensor {spec.name}: {key}_{side} is {value} rad, must lie within -2 pi .. 2 pi'
            )


def check_elevation(spec: SensorSpec, minimum: float, maximum: float) -> None:
    """
    Check the vertical limits of a field of view, radians.

    Raises
    ------
    ValueError
        Unless -pi/2 <= minimum < maximum <= pi/2.

    """
    right_angle = np.pi / 2 + 1e-6
    if not -right_angle <= minimum < maximum <= right_angle:
        raise ValueError(
            f'sensor {spec.name}: elevation_min {minimum} to elevation_max {maximum} rad, must be '
            f'-pi/2 <= elevation_min < elevation_max <= pi/2'
        )

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
What the proposals for all kinds of sensors share.

Arrays are small on purpose: a model learns from little data and runs on a robot. Their cells keep
the sensor's proportions. Limits come from the data, with a margin for what was not recorded.
"""

from __future__ import annotations

from math import ceil, floor, log10, pi

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.specs import GeometryValue

Geometry = dict[str, GeometryValue]
Layout = tuple[tuple[int, ...], Geometry, list[str]]  # shape, geometry, remarks

CELLS = 4096  # about as many pixels are proposed, or cells of a range image of a full circle
SIZE_MULTIPLE = 8  # of it are the sides of images, and the columns of range images
_ROUND_MANTISSAS = np.array([1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10])
_RIGHT_ANGLE = 1.57079633  # rad, to eight decimals
_RANGE_OUTLIERS = 0.1  # percent of the ranges at either end that do not count
_RANGE_MAX_FACTOR = 1.1  # range_max over the farthest measured range
_RANGE_MIN_FACTOR = 0.5  # range_min over the nearest


class UnusableTopic(ValueError):  # noqa: N818 (a property of the topic, not of the program)
    """A topic cannot be used as a sensor; the text says why."""


def measured_limits(ranges: NDArray[np.floating]) -> tuple[float, float]:
    """Return range limits around the measured ranges, as round numbers of metres."""
    near, far = np.percentile(ranges, [_RANGE_OUTLIERS, 100 - _RANGE_OUTLIERS])
    return (
        _round_number(_RANGE_MIN_FACTOR * near, up=False),
        _round_number(_RANGE_MAX_FACTOR * far, up=True),
    )


def _round_number(value: float, *, up: bool) -> float:
    """Return the nearest round number that is not below (`up`) or not above this one."""
    value = max(float(value), 1e-3)
    scale = 10.0 ** floor(log10(value))
    steps = _ROUND_MANTISSAS * scale
    chosen = steps[steps >= value * (1 - 1e-6)][0] if up else steps[steps <= value][-1]
    return without_float32_noise(float(chosen))


def without_float32_noise(value: float) -> float:
    """Return the number that a float32 stands for: 0.1, not 0.10000000149."""
    return float(f'{value:.6g}')


def rounded_angle(angle: float) -> float:
    """Return an angle rounded to 0.0001 rad; pi and -pi to eight decimals."""
    if abs(abs(angle) - pi) < 1e-6:
        return 3.14159265 if angle > 0 else -3.14159265
    return ceil(angle * 1e4 - 0.5) / 1e4


def rounded_elevation(angle: float) -> float:
    """Return an angle rounded to 0.0001 rad, but not beyond straight up or down."""
    return min(max(rounded_angle(angle), -_RIGHT_ANGLE), _RIGHT_ANGLE)


def format_measured(ranges: NDArray[np.floating]) -> str:
    """Return a text that says which ranges were measured."""
    if not ranges.size:
        return 'nothing returned'
    return f'{ranges.min():.2f} to {ranges.max():.2f} m were measured'

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Where the rows of a range image look: equally far apart, or along the rings of a lidar.

Few lidars have rings that are equally far apart, and a row that holds parts of two rings jumps
from one surface to another. So the geometry may have ``elevations``, of each row from the top
down, in radians. A row then takes what is nearer to its elevation than to another row's; the
first begins at ``elevation_max`` and the last ends at ``elevation_min``.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.sensors.geometry import check_elevation, geometry_numbers
from m2vae_ros.specs import SensorSpec

ELEVATIONS = 'elevations'
ELEVATION_LIMITS = ('elevation_min', 'elevation_max')


def check_rows(spec: SensorSpec) -> None:
    """
    Check the elevations of a range image's rows.

    Raises
    ------
    ValueError
        Unless elevation_min < elevation_max within a right angle and, if given, the elevations
        descend between them, one for each row.

    """
    low, high = geometry_numbers(spec, ELEVATION_LIMITS)
    check_elevation(spec, low, high)
    if ELEVATIONS not in spec.geometry:
        return
    elevations, rows = spec.geometry[ELEVATIONS], spec.shape[0]
    if not isinstance(elevations, tuple) or not all(map(_is_number, elevations)):
        raise ValueError(
            f'sensor {spec.name}: geometry elevations is {elevations!r:.100}, must be a list of '
            f'finite numbers: radians, of each row from the top down'
        )
    if len(elevations) != rows:
        raise ValueError(
            f'sensor {spec.name}: geometry elevations has {len(elevations)} numbers, must have '
            f'one for each of the {rows} rows of its shape'
        )
    for row, (above, below) in enumerate(pairwise(elevations)):
        if above <= below:
            raise ValueError(
                f'sensor {spec.name}: geometry elevations has {above} before {below} rad (row '
                f'{row}), must descend: row 0 is the top'
            )
    if not (low <= elevations[-1] and elevations[0] <= high):
        raise ValueError(
            f'sensor {spec.name}: geometry elevations is {elevations[0]} down to {elevations[-1]} '
            f'rad, must lie within elevation_min {low} and elevation_max {high} rad; are these '
            f'degrees?'
        )


def row_elevations(spec: SensorSpec) -> NDArray[np.float64]:
    """Return where the rows of a valid spec look, radians, from the top down, ``(rows,)``."""
    if ELEVATIONS in spec.geometry:
        return np.array(spec.geometry[ELEVATIONS], np.float64)
    low, high = geometry_numbers(spec, ELEVATION_LIMITS)
    rows = spec.shape[0]
    return high - (np.arange(rows) + 0.5) / rows * (high - low)


def rows_of(spec: SensorSpec, elevations: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return which row of a valid spec each elevation within its limits falls in."""
    centres = row_elevations(spec)
    borders = (centres[1:] + centres[:-1]) / 2
    return np.searchsorted(-borders, -elevations, side='right')


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) \
        and bool(np.isfinite(value))

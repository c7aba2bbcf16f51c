# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The shape and geometry that fit the scans of a driver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import pi, tau
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.bags.proposed_geometry import (
    format_measured,
    Geometry,
    Layout,
    measured_limits,
    rounded_angle,
    UnusableTopic,
    without_float32_noise,
)

_MAX_BEARINGS = 360
_FARTHEST = 1e4  # m; what is farther is no range but a driver's word for "no limit" or "nothing"


def propose_scan(messages: Sequence[Any], _: str) -> Layout:
    """Return shape, geometry and remarks for the scans of a topic; the frame does not matter."""
    layouts = Counter(
        (float(m.angle_min), float(m.angle_increment), len(m.ranges), float(m.range_min),
         float(m.range_max)) for m in messages
    )
    (angle_min, increment, beams, nearest, farthest), _count = layouts.most_common(1)[0]
    if beams == 1 or increment == 0:
        raise UnusableTopic(
            f'{beams} beams in steps of {increment:g} rad: a scan has beams at several angles'
        )
    if beams < 1 or not np.isfinite([angle_min, increment, nearest]).all() or \
            not 0 <= nearest < farthest:  # which may be infinite
        raise UnusableTopic(
            f'{beams} beams from {angle_min} rad in steps of {increment} rad, from {nearest} to '
            f'{farthest} m: must be beams at finite angles within ascending limits'
        )
    ranges = np.concatenate([np.asarray(m.ranges, np.float32) for m in messages])
    measured = ranges[(ranges > 0) & (ranges <= min(farthest, _FARTHEST))]  # NaN compares false
    if farthest > _FARTHEST and not measured.size:
        raise UnusableTopic(
            f'the driver says {nearest:g} to {farthest:g} m and nothing returned: no range_max '
            f'can be told; record where something is within range'
        )
    shape, geometry = scan_geometry(angle_min, increment, beams, (nearest, farthest), measured)
    remarks = [
        f'{beams} beams, {abs(increment) * 180 / np.pi:.2f} degrees apart; the driver says '
        f'{nearest:g} to {farthest:g} m, {format_measured(measured)}'
    ]
    if len(layouts) > 1:
        remarks.append(
            f'CAUTION: its beams change ({len(layouts)} layouts): a model needs a single one'
        )
    return shape, geometry, remarks


def scan_geometry(
    angle_min: float, increment: float, beams: int, range_limits: tuple[float, float],
    measured: NDArray[np.float32],
) -> tuple[tuple[int], Geometry]:
    """
    Return shape and geometry of a scan.

    Parameters
    ----------
    angle_min, increment, beams, range_limits
        As the driver declares them; rad, m. The farther limit may be infinite.
    measured
        Ranges of the returns, metres. Without any, the declared limits are taken.

    """
    spacing = abs(increment)
    if spacing * beams >= tau - 1.5 * spacing:
        first, last = -pi, pi
    else:  # a beam is in the middle of its cell
        first = min(angle_min, angle_min + increment * (beams - 1)) - spacing / 2
        last = first + spacing * beams
        turns = round((first + last) / 2 / tau)  # so that the middle of the view is in -pi..pi
        first, last = first - turns * tau, last - turns * tau
    declared_min, declared_max = range_limits
    nearest, farthest = measured_limits(measured) if measured.size else range_limits
    return (min(beams, _MAX_BEARINGS),), {
        'angle_min': rounded_angle(first), 'angle_max': rounded_angle(last),
        'range_min': without_float32_noise(declared_min) if declared_min > 0 else nearest,
        'range_max': min(without_float32_noise(declared_max), farthest),
    }

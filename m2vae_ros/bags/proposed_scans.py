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
from m2vae_ros.sensors.beams import may_be_one_scanner, ScanGeometry

_MAX_BEARINGS = 360
_DIVISORS = (1, 1.5, 2, 3, 4, 6, 8)  # of the most bearings; fewer are tried for fewer gaps
_MAX_GAPS = 0.1  # share of the cells on surfaces; more are no dark spots but bins without a beam
_LONGEST_GAP = 8  # cells; what is longer may be an opening
_SURFACE = 0.05  # relative difference of ranges on both sides of a gap, below which it is none
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
    geometry = scan_geometry(angle_min, increment, beams, (nearest, farthest), measured)
    most = min(beams, _MAX_BEARINGS)
    bearings = _without_gaps(
        np.stack([np.asarray(m.ranges, np.float32) for m in messages if len(m.ranges) == beams]),
        most, min(farthest, _FARTHEST),
    )
    remarks = [
        f'{beams} beams, {abs(increment) * 180 / np.pi:.2f} degrees apart; the driver says '
        f'{nearest:g} to {farthest:g} m, {format_measured(measured)}'
    ]
    if bearings < most:
        remarks.append(
            f'{beams} bins are more than the lidar has beams, and empty ones lie between returns: '
            f'with {bearings} bearings hardly any'
        )
    views: list[ScanGeometry] = [
        (first, first + step * (count - 1), count) for first, step, count, *_ in layouts
    ]
    if not all(may_be_one_scanner(views[0], view) for view in views):
        remarks.append(
            f'CAUTION: its beams change ({len(layouts)} layouts): a model needs a single one'
        )
    elif len({count for *_, count in views}) > 1:
        counts = [count for *_, count in views]
        remarks.append(
            f'its beams vary, {min(counts)} to {max(counts)}: each scan is read by its own'
        )
    return (bearings,), geometry, remarks


def scan_geometry(
    angle_min: float, increment: float, beams: int, range_limits: tuple[float, float],
    measured: NDArray[np.float32],
) -> Geometry:
    """
    Return the geometry of a scan.

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
    return {
        'angle_min': rounded_angle(first), 'angle_max': rounded_angle(last),
        'range_min': without_float32_noise(declared_min) if declared_min > 0 else nearest,
        'range_max': min(without_float32_noise(declared_max), farthest),
    }


def _without_gaps(ranges: NDArray[np.float32], most: int, farthest: float) -> int:
    """
    Return how many bearings have hardly any gaps between the returns from a surface.

    Drivers that put beams into finer bins than the lidar has beams leave bins empty; as cells of a
    model these would be free space in the middle of a wall.

    Parameters
    ----------
    ranges
        ``(scans, beams)``, metres.
    most
        The largest number; it is returned if none is without gaps.
    farthest
        What is beyond, metres, is no return.

    """
    with np.errstate(invalid='ignore'):
        distances = np.where((ranges > 0) & (ranges <= farthest), ranges, np.inf)
    beams = ranges.shape[1]
    for bearings in dict.fromkeys(max(1, int(most / divisor)) for divisor in _DIVISORS):
        starts = np.ceil(np.arange(bearings) * beams / bearings).astype(np.intp)
        nearest = np.minimum.reduceat(distances, starts, axis=1)
        if np.median([_gap_share(scan) for scan in nearest]) <= _MAX_GAPS:
            return bearings
    return most


def _gap_share(distances: NDArray[np.float64]) -> float:
    """Return which share of the cells on surfaces are gaps; inf is no return."""
    returned = np.flatnonzero(distances < np.inf)
    if not returned.size:
        return 0.0
    before, after = distances[returned[:-1]], distances[returned[1:]]
    lengths = np.diff(returned) - 1
    is_gap = (lengths <= _LONGEST_GAP) & (np.abs(after - before) < _SURFACE * np.maximum(
        before, after
    ))
    gaps = int(lengths[is_gap].sum())
    return gaps / (gaps + returned.size)

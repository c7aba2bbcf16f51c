# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Faults of a drive, written down: which sensor, what befalls it, from when to when.

    SENSOR:KIND[=VALUE][@FROM-TO]

FROM and TO are seconds of the drive; without TO a fault lasts to the end, without either it lasts
the whole drive. ``camera:silent@10-20`` and ``lidar:lost=0.3@5-`` are two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from math import inf, isfinite, nan
import re
from typing import Any

import numpy as np

from m2vae_ros.sensors.messages import MessageClasses
from m2vae_ros.simulation.faults import Transmission
from m2vae_ros.specs import SensorSpec

_TEXT = re.compile(
    r'(?P<sensor>\w+):(?P<kind>\w+)(?:=(?P<value>[^@]+))?'
    r'(?:@(?P<begin>\d+(?:\.\d+)?)-(?P<end>\d+(?:\.\d+)?)?)?'
)
_ALL = ('image', 'laser_scan', 'point_cloud')


@dataclass(frozen=True)
class FaultKind:
    """
    A kind of fault.

    Parameters
    ----------
    meaning
        What it does, for the help.
    value
        What its value is called, in capitals; empty where it has none.
    sensor_kinds
        Kinds of sensors that it may befall.

    """

    meaning: str
    value: str = ''
    sensor_kinds: tuple[str, ...] = _ALL


KINDS = {
    'silent': FaultKind('says nothing'),
    'lost': FaultKind('loses this share of its messages at random, 0..1', 'SHARE'),
    'frozen': FaultKind('stamps every message like the last one before'),
    'zero': FaultKind('stamps every message with 0'),
    'offset': FaultKind('its clock is so many seconds ahead; negative: behind', 'SECONDS'),
    'stuck': FaultKind('repeats what it last saw, under fresh stamps'),
    'nan': FaultKind('every range is NaN', '', ('laser_scan', 'point_cloud')),
    'narrow': FaultKind('only the front half of the beams', '', ('laser_scan',)),
    'encoding': FaultKind('says that its pixels have this encoding', 'NAME', ('image',)),
}


@dataclass(frozen=True)
class Fault:
    """What befalls a sensor from `begin` until before `end`, seconds of the drive."""

    sensor: str
    kind: str
    value: float | str | None = None
    begin: float = 0.0
    end: float = inf

    def active(self, seconds: float) -> bool:
        """Return whether it befalls what is measured at this time of the drive."""
        return self.begin <= seconds < self.end


def parse(text: str, sensors: Sequence[SensorSpec]) -> Fault:
    """
    Read a fault.

    Parameters
    ----------
    text
        ``SENSOR:KIND[=VALUE][@FROM-TO]``.
    sensors
        The sensors that there are.

    Raises
    ------
    ValueError
        If it is no fault of one of them; says what would be one.

    """
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(
            f'fault {text!r}: must be SENSOR:KIND[=VALUE][@FROM-TO], such as camera:silent@10-20'
        )
    specs = {spec.name: spec for spec in sensors}
    if found['sensor'] not in specs:
        raise ValueError(f'fault {text!r}: no sensor {found["sensor"]!r}; use {", ".join(specs)}')
    possible = [
        name for name, kind in KINDS.items()
        if specs[found['sensor']].kind in kind.sensor_kinds
    ]
    if found['kind'] not in possible:
        raise ValueError(
            f'fault {text!r}: {found["kind"]!r} cannot befall the {found["sensor"]}; '
            f'use {", ".join(possible)}'
        )
    begin, end = float(found['begin'] or 0), float(found['end'] or inf)
    if begin >= end:
        raise ValueError(f'fault {text!r}: from {begin:g} s to {end:g} s is no time; FROM < TO')
    value = _value(text, found['kind'], found['value'])
    return Fault(found['sensor'], found['kind'], value, begin, end)


def _value(text: str, kind: str, value: str | None) -> float | str | None:
    wanted = KINDS[kind].value
    if bool(wanted) != (value is not None):
        form = f'{kind}={wanted}' if wanted else kind
        raise ValueError(f'fault {text!r}: must be {form}')
    if value is None or wanted == 'NAME':
        return value
    try:
        number = float(value)
    except ValueError:
        number = nan
    if not isfinite(number) or (wanted == 'SHARE' and not 0 <= number <= 1):
        right = 'a share in 0..1' if wanted == 'SHARE' else 'a number of seconds'
        raise ValueError(f'fault {text!r}: {value!r} must be {right}')
    return number


class FaultySensor:
    """
    One sensor of a robot whose faults are scheduled.

    Parameters
    ----------
    spec
        The sensor.
    transmission
        The way of its messages out of the robot.
    faults
        Those of any sensors.
    observe
        Makes its message with a stamp, in nanoseconds; see `native_messages.observe`.
    classes
        What the message is built with.

    """

    def __init__(
        self, spec: SensorSpec, transmission: Transmission, faults: Sequence[Fault],
        observe: Callable[[int], Any], classes: MessageClasses,
    ) -> None:
        self._spec = spec
        self._transmission = transmission
        self._faults = [fault for fault in faults if fault.sensor == spec.name]
        self._lost = transmission.lost
        self._observe = observe
        self._classes = classes
        self._last_message: Any = None
        self._last_stamp: int | None = None

    def message(self, now_ns: int, seconds: float) -> Any | None:
        """
        Return what leaves the robot now, or None.

        Parameters
        ----------
        now_ns
            The time, nanoseconds.
        seconds
            The same as time of the drive.

        """
        active = {fault.kind: fault.value for fault in self._faults if fault.active(seconds)}
        self._transmission.silent = 'silent' in active
        self._transmission.lost = max(self._lost, float(active.get('lost') or 0))
        stamp_ns = self._transmission.stamp(now_ns)
        if stamp_ns is None:
            return None
        if 'stuck' not in active or self._last_message is None:
            self._last_message = self._observe(stamp_ns)
            self._spoil(self._last_message, active)
        if 'frozen' in active and self._last_stamp is not None:
            stamp_ns = self._last_stamp
        self._last_stamp = stamp_ns
        stamp_ns = 0 if 'zero' in active else stamp_ns + round(1e9 * float(
            active.get('offset') or 0
        ))
        message = copy(self._last_message)
        sec, nanosec = divmod(max(0, stamp_ns), 10**9)
        message.header = self._classes.Header(
            stamp=self._classes.Time(sec=sec, nanosec=nanosec), frame_id=message.header.frame_id
        )
        return message

    def _spoil(self, message: Any, active: dict[str, float | str | None]) -> None:
        """Change what a message says."""
        if 'encoding' in active:
            message.encoding = active['encoding']
        if 'narrow' in active:
            beams = len(message.ranges)
            first, last = beams // 4, beams - beams // 4 - 1
            start = message.angle_min
            message.angle_min = start + first * message.angle_increment
            message.angle_max = start + last * message.angle_increment
            message.ranges = message.ranges[first:last + 1]
        if 'nan' in active:
            if self._spec.kind == 'laser_scan':
                ranges = np.full(len(message.ranges), np.nan, np.float32)
                message.ranges = self._classes.float32_sequence(ranges)
            else:
                points = np.full(len(message.data) // 4, np.nan, '<f4')
                message.data = self._classes.uint8_sequence(points.view(np.uint8))
                message.is_dense = False

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Scheduled faults of a drive: which sensor has which fault, from when to when.

    SENSOR:KIND[=VALUE][@FROM-TO]

FROM and TO are seconds of the drive. Without TO a fault lasts to the end, without both the whole
drive. Examples: ``camera:silent@10-20``, ``lidar:lost=0.3@5-``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from math import inf, nan
import re
from typing import Any

import numpy as np

from m2vae_ros.sensors.messages import MessageClasses
from m2vae_ros.simulation.faults import Transmission
from m2vae_ros.specs import SensorSpec

_LARGEST = 1e15  # s, of an offset
_TEXT = re.compile(
    r'(?P<sensor>\w+):(?P<kind>\w+)(?:=(?P<value>[^@]+))?'
    r'(?:@(?P<begin>\d+(?:\.\d+)?)-(?P<end>\d+(?:\.\d+)?)?)?'
)
_ALL_SENSOR_KINDS = ('image', 'laser_scan', 'point_cloud')


@dataclass(frozen=True)
class FaultKind:
    """
    A kind of fault.

    Parameters
    ----------
    meaning
        What it does, for the help.
    value
        Name of its value, in capitals; empty if it has none.
    sensor_kinds
        Kinds of sensors that can have it.

    """

    meaning: str
    value: str = ''
    sensor_kinds: tuple[str, ...] = _ALL_SENSOR_KINDS


KINDS = {
    'silent': FaultKind('sends nothing'),
    'lost': FaultKind('loses this share of its messages at random, 0..1', 'SHARE'),
    'frozen': FaultKind('repeats the last stamp on every message'),
    'zero': FaultKind('stamps every message with 0'),
    'offset': FaultKind('its clock is this far ahead; negative: behind', 'SECONDS'),
    'stuck': FaultKind('repeats its last measurement with new stamps'),
    'nan': FaultKind('every range is NaN', '', ('laser_scan', 'point_cloud')),
    'narrow': FaultKind('sends only the front half of the beams', '', ('laser_scan',)),
    'encoding': FaultKind('claims this encoding for its pixels', 'NAME', ('image',)),
}


@dataclass(frozen=True)
class Fault:
    """A fault of a sensor, from `begin` until just before `end`, seconds of the drive."""

    sensor: str
    kind: str
    value: float | str | None = None
    begin: float = 0.0
    end: float = inf

    def active(self, seconds: float) -> bool:
        """Return whether the sensor has the fault at this time of the drive."""
        return self.begin <= seconds < self.end


def parse(text: str, sensors: Sequence[SensorSpec]) -> Fault:
    """
    Read a fault.

    Parameters
    ----------
    text
        ``SENSOR:KIND[=VALUE][@FROM-TO]``.
    sensors
        The robot's sensors.

    Raises
    ------
    ValueError
        If it is not a fault of one of them; the text says what would be right.

    """
    parts = _TEXT.fullmatch(text)
    if parts is None:
        raise ValueError(
            f'fault {text!r}: must be SENSOR:KIND[=VALUE][@FROM-TO], such as camera:silent@10-20'
        )
    specs = {spec.name: spec for spec in sensors}
    if parts['sensor'] not in specs:
        raise ValueError(f'fault {text!r}: no sensor {parts["sensor"]!r}; use {", ".join(specs)}')
    possible = [
        name for name, kind in KINDS.items()
        if specs[parts['sensor']].kind in kind.sensor_kinds
    ]
    if parts['kind'] not in possible:
        raise ValueError(
            f'fault {text!r}: {parts["kind"]!r} is not a fault of the {parts["sensor"]}; '
            f'use {", ".join(possible)}'
        )
    begin, end = float(parts['begin'] or 0), float(parts['end'] or inf)
    if begin >= end:
        raise ValueError(f'fault {text!r}: from {begin:g} s to {end:g} s: FROM must be before TO')
    value = _value(text, parts['kind'], parts['value'])
    return Fault(parts['sensor'], parts['kind'], value, begin, end)


def _value(text: str, kind: str, value: str | None) -> float | str | None:
    value_name = KINDS[kind].value
    if bool(value_name) != (value is not None):
        form = f'{kind}={value_name}' if value_name else kind
        raise ValueError(f'fault {text!r}: must be {form}')
    if value is None or value_name == 'NAME':
        return value
    try:
        number = float(value)
    except ValueError:
        number = nan
    if not abs(number) <= _LARGEST or (value_name == 'SHARE' and not 0 <= number <= 1):
        seconds = f'a number of seconds, at most {_LARGEST:g}'
        rule = 'a share in 0..1' if value_name == 'SHARE' else seconds
        raise ValueError(f'fault {text!r}: {value!r} must be {rule}')
    return number


class FaultySensor:
    """
    One sensor of a robot, with scheduled faults.

    Parameters
    ----------
    spec
        The sensor.
    transmission
        Decides which of its messages are sent, and their stamps.
    faults
        Faults of the drive; those of other sensors are ignored.
    observe
        Returns the sensor's message, given a stamp in nanoseconds; see `native_messages.observe`.
    classes
        Classes that the message is built with.

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
        Return the message that is sent now, or None.

        Parameters
        ----------
        now_ns
            The time, nanoseconds.
        seconds
            The time since the drive began.

        """
        active = {fault.kind: fault.value for fault in self._faults if fault.active(seconds)}
        self._transmission.silent = 'silent' in active
        self._transmission.lost = max(self._lost, float(active.get('lost') or 0))
        stamp_ns = self._transmission.stamp(now_ns)
        if stamp_ns is None:
            return None
        if 'stuck' not in active or self._last_message is None:
            self._last_message = self._observe(stamp_ns)
            self._corrupt(self._last_message, active)
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

    def _corrupt(self, message: Any, active: dict[str, float | str | None]) -> None:
        """Change a message's content as the active faults say."""
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

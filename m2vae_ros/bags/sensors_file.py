# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The file that says which sensors a model has: read, and proposed from what a bag holds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
import json
from pathlib import Path
import re
from typing import Any

import yaml

from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.proposal import Proposed, study
from m2vae_ros.bags.storage import BagError
from m2vae_ros.sensors.kinds import KINDS, validate
from m2vae_ros.specs import SensorSpec

_LIST = 'sensors'
_PLAIN = re.compile(r'[A-Za-z/][A-Za-z0-9_/]*\Z')
_WORDS = {'y', 'n', 'yes', 'no', 'on', 'off', 'true', 'false', 'null'}  # of YAML, not texts
_MANY = 4  # sensors have more subsets than most recordings can teach
_MEANINGS = {
    'image': 'colours, rows, columns; any rows and columns, best in the proportions of the camera',
    'laser_scan': 'bearings from angle_min to angle_max, radians, counter-clockwise',
    'point_cloud': 'rows from elevation_max down, columns from azimuth_max (left) to the right',
}


class SensorsFileError(ValueError):
    """A sensors file cannot be used; the text names file, sensor, field, value and fix."""


def read_sensors(path: Path | str) -> tuple[SensorSpec, ...]:
    """
    Return the sensors that a file describes.

    Parameters
    ----------
    path
        YAML: ``sensors:`` and a list of sensors with the fields of `SensorSpec`.

    Raises
    ------
    SensorsFileError
        If there is no such file, or it says something else; names the sensor and the field.

    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise SensorsFileError(
            f'{path}: {error.strerror}; m2vae sensors --bag DIR --out {path} proposes one'
        ) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise SensorsFileError(f'{path}: not YAML: {" ".join(str(error).split())}') from error
    if not isinstance(content, Mapping) or set(content) != {_LIST}:
        found = sorted(map(str, content)) if isinstance(content, Mapping) else content
        raise SensorsFileError(
            f'{path}: must have the one key {_LIST!r} with a list of sensors, has {found!r:.100}'
        )
    entries = content[_LIST]
    if not isinstance(entries, list) or not entries:
        raise SensorsFileError(
            f'{path}: {_LIST} must be a list with a sensor, is {entries!r:.100}'
        )
    sensors: list[SensorSpec] = []
    for number, entry in enumerate(entries, start=1):
        try:
            spec = _read(entry)
        except ValueError as error:
            raise SensorsFileError(f'{path}: {_called(number, entry)}: {error}') from error
        if spec.name in {other.name for other in sensors}:
            raise SensorsFileError(
                f'{path}: {_called(number, entry)}: name {spec.name!r} is taken by another sensor'
            )
        sensors.append(spec)
    return tuple(sensors)


def propose(bag: Bag) -> str:
    """
    Return a sensors file for what a bag holds: YAML with comments, ready to edit.

    Raises
    ------
    BagError
        If it holds nothing of any sensor; names its topics and what is wrong with them.

    """
    proposed, unused = study(bag)
    if not proposed:
        raise BagError(
            f'{bag.path}: no sensor in it: ' + '; '.join(
                f'{one.topic.name} ({one.topic.message_type}): {one.reason}' for one in unused
            ) + f'; a sensor is one of {", ".join(KINDS)}'
        )
    begin = datetime.fromtimestamp(bag.start_ns * 1e-9, timezone.utc)
    name = bag.path.resolve().name
    lines = [
        f'# The sensors of {name}, proposed by m2vae sensors: edit, then train with',
        f'# m2vae train --bag {name} --sensors THIS_FILE --out MODEL.',
        f'# Recorded {begin:%Y-%m-%d %H:%M:%S} UTC, {(bag.end_ns - bag.start_ns) * 1e-9:.1f} s.',
        '# Arrays are what the model sees: larger ones show more, need more data and take longer.',
    ]
    if len(proposed) > _MANY:
        lines.append(
            f'# CAUTION: {len(proposed)} sensors have {2 ** len(proposed) - 1} subsets, and each '
            f'gets its own encoder: remove some.'
        )
    lines.append(f'{_LIST}:')
    for sensor in proposed:
        lines += _written(sensor)
    if unused:
        lines.append('# Not used:')
        lines += [
            f'#   {one.topic.name} ({one.topic.message_type}, {one.topic.count} messages): '
            f'{" ".join(one.reason.split())}' for one in unused
        ]
    return '\n'.join(lines) + '\n'


def _read(entry: Any) -> SensorSpec:
    if not isinstance(entry, Mapping):
        raise ValueError(f'{entry!r:.100} must be the fields of a sensor')
    wrong = [key for key in entry if not isinstance(key, str)]
    if wrong:
        raise ValueError(f'field {wrong[0]!r} must be a text')
    spec = SensorSpec.from_dict(entry)
    validate(spec)
    return spec


def _called(number: int, entry: Any) -> str:
    name = entry.get('name') if isinstance(entry, Mapping) else None
    return f'sensor {number}' + (f' ({name})' if isinstance(name, str) else '')


def _written(sensor: Proposed) -> list[str]:
    spec = sensor.spec
    lines = [
        f'  # {sensor.topic.name} ({sensor.topic.message_type})',
        *(f'  # {" ".join(remark.split())}' for remark in sensor.remarks),
        f'  - name: {_text(spec.name)}',
        f'    kind: {spec.kind}',
        f'    topic: {_text(spec.topic)}',
        f'    frame_id: {_text(spec.frame_id)}',
        f'    shape: [{", ".join(map(str, spec.shape))}]  # {_MEANINGS[spec.kind]}',
    ]
    if spec.geometry:
        lines.append('    geometry:')
        lines += [
            f'      {key}: {value}{_unit(key, value)}' for key, value in spec.geometry.items()
        ]
    return lines


def _unit(key: str, value: float | str) -> str:
    if isinstance(value, str):
        return '  # body: x forward, y left, z up; optical: z forward, x right, y down'
    if key.startswith('range'):
        return '  # m'
    return f'  # rad, {value * 57.29578:.1f} degrees'


def _text(text: str) -> str:
    """Return a text as YAML reads it."""
    plain = _PLAIN.match(text) and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)

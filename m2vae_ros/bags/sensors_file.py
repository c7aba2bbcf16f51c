# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The file that specifies the sensors of a model: read, and proposed from a bag."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
import json
from pathlib import Path
import re
import textwrap
from typing import Any

import yaml

from m2vae_ros import installation
from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.proposal import propose_sensors, ProposedSensor
from m2vae_ros.bags.storage import BagError
from m2vae_ros.sensors.kinds import KINDS, validate
from m2vae_ros.specs import GeometryValue, SensorSpec

_SENSORS_KEY = 'sensors'
_UNQUOTED = re.compile(r'[A-Za-z/][A-Za-z0-9_/]*\Z')
_RESERVED_WORDS = {'y', 'n', 'yes', 'no', 'on', 'off', 'true', 'false', 'null'}  # of YAML
_LIST_WIDTH, _LIST_INDENT = 80, 8 * ' '  # of the lines of a long list
_MAX_BYTES = 2**22  # a sensor takes a few hundred, a long list of elevations a few thousand
_MAX_NESTING = 100
_MANY_SENSORS = 4  # more have too many subsets for most recordings
_SHAPE_COMMENTS = {
    'image': 'colours, rows, columns; any rows and columns, best in the proportions of the camera',
    'laser_scan': 'bearings from angle_min to angle_max, radians, counter-clockwise',
    'point_cloud': 'rows from elevation_max down, columns from azimuth_max (left) to the right',
}


class SensorsFileError(ValueError):
    """A sensors file is wrong; the text names file, sensor, field, value and fix."""


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
        If there is no such file or its content is wrong; names the sensor and the field.

    """
    path = Path(path)
    try:
        content = _load(path)
    except OSError as error:
        proposing = installation.command(f'sensors --bag DIR --out {path}')
        raise SensorsFileError(f'{path}: {error.strerror}; {proposing} proposes one') from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise SensorsFileError(f'{path}: not YAML: {" ".join(str(error).split())}') from error
    if not isinstance(content, Mapping) or set(content) != {_SENSORS_KEY}:
        found = sorted(map(str, content)) if isinstance(content, Mapping) else content
        raise SensorsFileError(
            f'{path}: must have one key, {_SENSORS_KEY!r}, with a list of sensors; has '
            f'{found!r:.100}'
        )
    entries = content[_SENSORS_KEY]
    if not isinstance(entries, list) or not entries:
        raise SensorsFileError(
            f'{path}: {_SENSORS_KEY} must be a list of sensors, is {entries!r:.100}'
        )
    sensors: list[SensorSpec] = []
    for number, entry in enumerate(entries, start=1):
        try:
            spec = _read_sensor(entry)
        except ValueError as error:
            raise SensorsFileError(f'{path}: {_label(number, entry)}: {error}') from error
        if spec.name in {other.name for other in sensors}:
            raise SensorsFileError(
                f'{path}: {_label(number, entry)}: name {spec.name!r} is taken by another sensor'
            )
        sensors.append(spec)
    return tuple(sensors)


def _load(path: Path) -> Any:
    if path.exists() and not path.is_file() and not path.is_dir():  # /dev/zero never ends
        raise SensorsFileError(f'{path}: is not a file')
    with path.open('rb') as file:
        text = file.read(_MAX_BYTES + 1)
    if len(text) > _MAX_BYTES:
        raise SensorsFileError(
            f'{path}: is larger than {_MAX_BYTES // 2**20} MiB: not a sensors file'
        )
    depth = 0
    for event in yaml.parse(text):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_NESTING:  # to read on would take long
            raise SensorsFileError(f'{path}: is nested deeper than {_MAX_NESTING} levels')
    return yaml.safe_load(text)


def propose(bag: Bag) -> str:
    """
    Return the text of a sensors file for a bag: YAML with comments, ready to edit.

    Raises
    ------
    BagError
        If no topic can be used as a sensor; names the topics and the reasons.

    """
    proposed, unused = propose_sensors(bag)
    if not proposed:
        raise BagError(
            f'{bag.path}: no sensor in it: ' + '; '.join(
                f'{each.topic.name} ({each.topic.message_type}): {each.reason}'
                for each in unused
            ) + f'; a sensor is one of {", ".join(KINDS)}'
        )
    start = datetime.fromtimestamp(bag.start_ns * 1e-9, timezone.utc)
    name = bag.path.resolve().name
    lines = [
        f'# The sensors of {name}, proposed by m2vae sensors: edit, then train with',
        f'# m2vae train --bag {name} --sensors THIS_FILE --out MODEL.',
        f'# Recorded {start:%Y-%m-%d %H:%M:%S} UTC, {(bag.end_ns - bag.start_ns) * 1e-9:.1f} s.',
        '# The shape is what the model sees: a larger one shows more, needs more data and time.',
    ]
    if len(proposed) > _MANY_SENSORS:
        lines.append(
            f'# CAUTION: {len(proposed)} sensors have {2 ** len(proposed) - 1} subsets, and each '
            f'gets its own encoder: remove some sensors.'
        )
    lines.append(f'{_SENSORS_KEY}:')
    for sensor in proposed:
        lines += _sensor_lines(sensor)
    if unused:
        lines.append('# Not used:')
        lines += [
            f'#   {each.topic.name} ({each.topic.message_type}, {each.topic.count} messages): '
            f'{_on_one_line(each.reason)}' for each in unused
        ]
    return '\n'.join(lines) + '\n'


def _read_sensor(entry: Any) -> SensorSpec:
    if not isinstance(entry, Mapping):
        raise ValueError(f'{entry!r:.100} must be the fields of a sensor')
    wrong = [key for key in entry if not isinstance(key, str)]
    if wrong:
        raise ValueError(f'field {wrong[0]!r}: its name must be a text')
    spec = SensorSpec.from_dict(entry)
    validate(spec)
    return spec


def _label(number: int, entry: Any) -> str:
    """Return how errors name a sensor: by its number, and its name if it has one."""
    name = entry.get('name') if isinstance(entry, Mapping) else None
    return f'sensor {number}' + (f' ({name})' if isinstance(name, str) else '')


def _sensor_lines(sensor: ProposedSensor) -> list[str]:
    spec = sensor.spec
    lines = [
        f'  # {sensor.topic.name} ({sensor.topic.message_type})',
        *(f'  # {_on_one_line(remark)}' for remark in sensor.remarks),
        f'  - name: {_yaml_string(spec.name)}',
        f'    kind: {spec.kind}',
        f'    topic: {_yaml_string(spec.topic)}',
        f'    frame_id: {_yaml_string(spec.frame_id)}',
        f'    shape: [{", ".join(map(str, spec.shape))}]  # {_SHAPE_COMMENTS[spec.kind]}',
    ]
    if spec.geometry:
        lines.append('    geometry:')
        lines += [
            f'      {key}: {_yaml_value(value)}{_geometry_comment(key, value)}'
            for key, value in spec.geometry.items()
        ]
    return lines


def _geometry_comment(key: str, value: GeometryValue) -> str:
    if isinstance(value, tuple):
        return '  # rad, of each row from the top down'
    if isinstance(value, str):
        return '  # body: x forward, y left, z up; optical: z forward, x right, y down'
    if key.startswith('range'):
        return '  # m'
    return f'  # rad, {value * 57.29578:.1f} degrees'


def _yaml_value(value: GeometryValue) -> str:
    """Return a value as YAML; to YAML, 1e-30 is a text and 1.0e-30 a number."""
    if isinstance(value, tuple):
        listed = textwrap.fill(', '.join(map(_yaml_value, value)), _LIST_WIDTH)
        return f'[{textwrap.indent(listed, _LIST_INDENT).lstrip()}]'
    return value if isinstance(value, str) else str(yaml.safe_dump(value).splitlines()[0])


def _on_one_line(text: str) -> str:
    """Return a text for a comment; YAML has no control characters."""
    return ''.join(c if c.isprintable() else '?' for c in ' '.join(text.split()))


def _yaml_string(text: str) -> str:
    """Return a text as a YAML string, quoted if it must be."""
    is_plain = _UNQUOTED.match(text) and text.lower() not in _RESERVED_WORDS
    return text if is_plain else json.dumps(text, ensure_ascii=False)

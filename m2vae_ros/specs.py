# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
What a sensor is and what it measured: the two records that all parts of the package share.

They need NumPy and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from operator import index
import re
import reprlib
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

GeometryValue = Union[float, str, tuple[float, ...]]

_NAME = re.compile(r'[a-z][a-z0-9_]*\Z')
_TOPIC = re.compile(r'(?:~/|/)?[A-Za-z_][A-Za-z0-9_]*(?:/[A-Za-z_][A-Za-z0-9_]*)*\Z')
_MAX_NAME = 64  # characters
_MAX_TEXT = 255  # characters of a topic or frame, as in ROS 2
_NAME_RULE = (
    f'lower-case letters, digits and underscores, starting with a letter, at most '
    f'{_MAX_NAME}'
)


@dataclass(frozen=True)
class SensorSpec:
    """
    One sensor of a model: its name, its kind of message, and what its array means.

    Parameters
    ----------
    name
        Lower-case ROS name; it names the sensor in parameters, topics and subsets.
    kind
        ``image``, ``laser_scan`` or ``point_cloud``; each is a file of ``m2vae_ros.sensors``.
    topic
        Default topic, relative, so that a namespace or remapping changes it.
    frame_id
        Frame of reconstructions until a message of the sensor has arrived (REP-105).
    shape
        Shape of the array, without batch: image ``(3, rows, columns)``, scan ``(bearings,)``,
        range image ``(rows, columns)``.
    geometry
        Where the array's cells look, in metres and radians: numbers, words and lists of numbers
        (kept as tuples); the file of the kind says which keys it has.

    Raises
    ------
    ValueError
        If the name, kind or topic is not a ROS name, the frame is not printable, or the shape is
        not made of positive integers.

    """

    name: str
    kind: str
    topic: str
    frame_id: str
    shape: tuple[int, ...]
    geometry: Mapping[str, GeometryValue] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not _NAME.match(self.name) or len(self.name) > _MAX_NAME:
            raise ValueError(f'sensor name {reprlib.repr(self.name)}: must be {_NAME_RULE}')
        if not _NAME.match(self.kind) or len(self.kind) > _MAX_NAME:
            raise ValueError(
                f'sensor {self.name}: kind {reprlib.repr(self.kind)} must be {_NAME_RULE}'
            )
        if not _TOPIC.match(self.topic) or '__' in self.topic or len(self.topic) > _MAX_TEXT:
            raise ValueError(
                f'sensor {self.name}: topic {reprlib.repr(self.topic)} must be a ROS topic: '
                f'letters, digits and single underscores between slashes, no part starting with a '
                f'digit, at most {_MAX_TEXT} characters'
            )
        if not self.frame_id.isprintable() or len(self.frame_id) > _MAX_TEXT:
            raise ValueError(
                f'sensor {self.name}: frame_id {reprlib.repr(self.frame_id)} must be printable, '
                f'at most {_MAX_TEXT} characters'
            )
        try:
            shape = tuple(index(size) for size in self.shape)
        except TypeError:
            shape = ()
        if not shape or min(shape) < 1:
            raise ValueError(f'sensor {self.name}: shape {self.shape!r} must be positive integers')
        object.__setattr__(self, 'shape', shape)
        object.__setattr__(self, 'geometry', {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in self.geometry.items()
        })

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Shape of the masks: that of the array, without colour channels."""
        return self.shape[1:] if self.kind == 'image' else self.shape

    def number(self, key: str) -> float:
        """
        Return a number of the geometry.

        Raises
        ------
        ValueError
            If there is none under this key.

        """
        value = self.geometry.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f'sensor {self.name}: geometry {key} is {value!r}, must be a number')
        return float(value)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types, for `from_dict`."""
        return {**asdict(self), 'shape': list(self.shape)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> SensorSpec:
        """
        Build a spec from JSON or YAML fields.

        Raises
        ------
        ValueError
            If a field is missing, unknown or of the wrong type; names the field.

        """
        known = set(cls.__dataclass_fields__)
        given = set(fields)
        missing = sorted(known - given - {'geometry'})
        unknown = sorted(given - known)
        if missing or unknown:
            raise ValueError(
                f'sensor {reprlib.repr(fields.get("name", "?"))}: missing fields {missing}, '
                f'unknown fields {reprlib.repr(unknown)}; a sensor has {sorted(known)}'
            )
        texts = {key: fields[key] for key in ('name', 'kind', 'topic', 'frame_id')}
        for key, value in texts.items():
            if not isinstance(value, str):
                raise ValueError(f'sensor field {key}: {reprlib.repr(value)} must be text')
        shape = fields['shape']
        if not isinstance(shape, (list, tuple)) or not all(type(n) is int for n in shape):
            raise ValueError(
                f'sensor {reprlib.repr(texts["name"])}: shape {reprlib.repr(shape)} must be a '
                f'list of integers'
            )
        geometry = fields.get('geometry', {})
        if not isinstance(geometry, Mapping):
            raise ValueError(
                f'sensor {reprlib.repr(texts["name"])}: geometry {reprlib.repr(geometry)} must be '
                f'a mapping'
            )
        return cls(**texts, shape=tuple(shape), geometry=geometry)


@dataclass(frozen=True, eq=False)
class Measurement:
    """
    One message of one sensor, as arrays for the model.

    Parameters
    ----------
    values
        float32, C order, the spec's shape. Image: RGB in 0..1. Scan and range image: metres,
        0 where not returned.
    valid
        bool, the spec's spatial shape: the sensor measured this cell.
    returned
        bool, the spec's spatial shape: it saw a surface there. Implies ``valid``. By REP-117 a
        range of +inf or beyond range_max is valid and not returned; NaN, -inf and below
        range_min is not valid. For an image it equals ``valid``.
    stamp_ns
        Stamp of the message's header, nanoseconds.
    frame_id
        Frame of the message's header.

    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    returned: NDArray[np.bool_]
    stamp_ns: int
    frame_id: str

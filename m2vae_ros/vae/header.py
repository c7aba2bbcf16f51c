# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
What a model file says of itself, readable without torch.

Of the texts that a ``.safetensors`` file may hold (see `weights_file`) two are ours:
``m2vae_ros``, a JSON object with the fields of `ModelHeader`, and ``m2vae_ros_sha256``, by which a
damaged file is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
import json
from math import prod
from pathlib import Path
from typing import Any

from m2vae_ros.specs import SensorSpec
from m2vae_ros.vae.subsets import lattice
from m2vae_ros.vae.weights_file import (
    CheckpointError,
    parse_json,
    printable,
    read_envelope,
    shown,
    WeightsFile,
)

FORMAT_VERSION = 1
METADATA_KEY = 'm2vae_ros'
DIGEST_KEY = 'm2vae_ros_sha256'  # files of older versions have none
MOST_SENSORS = 12  # of a file: there may be 2^n - 1 encoders
_MOST_CELLS = 2**25  # of a sensor's array
_LARGEST_GEOMETRY = 1e6  # metres or radians
_LONGEST_TEXT = 64  # of a geometry's values
_LARGEST_TEMPERATURE = 1e30


@dataclass(frozen=True)
class ModelHeader:
    """
    Everything that is known of a model but its weights.

    Parameters
    ----------
    sensors
        The sensors in the model's order.
    trained_subsets
        The subsets that have an encoder, in lattice order.
    architecture
        Sizes and kind of the networks: the fields of `m2vae_ros.vae.model.Architecture`.
    objective
        ``name`` and the knobs it was trained with.
    provenance
        Data, seed, steps and package version it was trained with.
    evaluation
        Summary of its held-out errors.
    calibration
        ``temperature``: subset, its sensors joined by ``+``, -> factor on the variances of its
        posterior; a subset that is not named has 1. Beside it, how it was found. Empty in files
        that were written before there was one.

    Raises
    ------
    ValueError
        If a temperature is no positive number or its subset is not trained.

    """

    sensors: tuple[SensorSpec, ...]
    trained_subsets: tuple[tuple[str, ...], ...]
    architecture: Mapping[str, Any]
    objective: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_temperatures(self.temperatures, self.trained_subsets)

    @property
    def temperatures(self) -> dict[tuple[str, ...], float]:
        """Subset -> factor on the variances of its posterior; 1 where it is not named."""
        named = self.calibration.get('temperature', {})
        return {tuple(subset.split('+')): value for subset, value in named.items()}

    def to_json(self) -> str:
        """Return the text that `from_json` reads."""
        return json.dumps(
            {
                'format_version': FORMAT_VERSION,
                'sensors': [spec.to_dict() for spec in self.sensors],
                'trained_subsets': [list(subset) for subset in self.trained_subsets],
                'architecture': dict(self.architecture),
                'objective': dict(self.objective),
                'provenance': dict(self.provenance),
                'evaluation': dict(self.evaluation),
                'calibration': dict(self.calibration),
            },
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str) -> ModelHeader:
        """
        Read a header.

        Raises
        ------
        CheckpointError
            If it is no header of this format version; says what was expected and found.

        """
        try:
            fields = parse_json(text)
            version = fields['format_version']
            if type(version) is not int or version != FORMAT_VERSION:
                raise CheckpointError(
                    f'format version {shown(version)}: this package reads version '
                    f'{FORMAT_VERSION}; use the package version that wrote the file, or train '
                    f'again'
                )
            sensors = _sensors(fields['sensors'])
            return cls(
                sensors=sensors,
                trained_subsets=_trained_subsets(fields['trained_subsets'], sensors),
                architecture=_mapping('architecture', fields['architecture']),
                objective=_mapping('objective', fields['objective']),
                provenance=_mapping('provenance', fields['provenance']),
                evaluation=_mapping('evaluation', fields['evaluation']),
                calibration=_mapping('calibration', fields.get('calibration', {})),
            )
        except CheckpointError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f'the model header is damaged: {type(error).__name__}: {printable(error)}'
            ) from error


def _sensors(entries: Any) -> tuple[SensorSpec, ...]:
    if not isinstance(entries, list) or not 1 <= len(entries) <= MOST_SENSORS:
        raise ValueError(f'sensors {shown(entries)}: must be a list of 1 to {MOST_SENSORS}')
    sensors = tuple(SensorSpec.from_dict(_mapping('sensor', entry)) for entry in entries)
    lattice([spec.name for spec in sensors])  # each name once
    for spec in sensors:
        if prod(spec.shape) > _MOST_CELLS or len(spec.shape) > 3:
            raise ValueError(
                f'sensor {spec.name}: shape {shown(spec.shape)} has more than '
                f'{_MOST_CELLS} cells or 3 axes'
            )
        for key, value in spec.geometry.items():
            if isinstance(value, str):
                known = len(value) <= _LONGEST_TEXT and value.isprintable()
            else:
                known = _is_number(value) and -_LARGEST_GEOMETRY <= value <= _LARGEST_GEOMETRY
            if not known or len(key) > _LONGEST_TEXT:
                raise ValueError(
                    f'sensor {spec.name}: geometry {shown(key)} is {shown(value)}: '
                    f'must be a number up to {_LARGEST_GEOMETRY:g}, or a word'
                )
    return sensors


def _trained_subsets(
    entries: Any, sensors: Sequence[SensorSpec]
) -> tuple[tuple[str, ...], ...]:
    if not isinstance(entries, list) or not all(isinstance(entry, list) for entry in entries):
        raise ValueError(f'trained subsets {shown(entries)}: must be a list of lists')
    subsets = tuple(tuple(map(str, entry)) for entry in entries)
    chosen = set(subsets)
    order = [subset for subset in lattice([spec.name for spec in sensors]) if subset in chosen]
    if list(subsets) != order:
        raise ValueError(
            f'trained subsets {shown(entries)}: must be subsets of the sensors, each once, '
            f'in lattice order'
        )
    return subsets


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f'{name} {shown(value)}: must be a JSON object')
    return value


def check_temperatures(
    temperatures: Mapping[tuple[str, ...], Any], trained_subsets: Sequence[tuple[str, ...]]
) -> None:
    """
    Hold temperatures to trained subsets and to positive numbers.

    Raises
    ------
    ValueError
        If one breaks these rules; names its subset and its value.

    """
    for subset, value in temperatures.items():
        name = '+'.join(subset)
        if subset not in trained_subsets:
            trained = ', '.join(map('+'.join, trained_subsets))
            raise ValueError(
                f'temperature of {printable(name, 80)}: no such trained subset; trained: {trained}'
            )
        if not (_is_number(value) and 0 < value <= _LARGEST_TEMPERATURE):
            raise ValueError(
                f'temperature of {name}: {shown(value)} must be a positive number'
            )


def read_header(path: str | Path) -> ModelHeader:
    """
    Read what a model file says of itself; quick, and without torch.

    Raises
    ------
    CheckpointError
        If there is no such file or it is no model of this package.

    """
    return read_model_file(path)[0]


def read_model_file(path: str | Path) -> tuple[ModelHeader, WeightsFile]:
    """
    Read all of a model file but its weights; see `read_header`.

    Returns
    -------
    header, file
        What it says of itself, and the shapes of its weights.

    """
    file = read_envelope(path)
    if METADATA_KEY not in file.texts:
        raise CheckpointError(
            f'{path}: a .safetensors file, but no model of m2vae_ros: its metadata has no '
            f'{METADATA_KEY!r}; found {shown(sorted(file.texts))}'
        )
    try:
        return ModelHeader.from_json(file.texts[METADATA_KEY]), file
    except CheckpointError as error:
        raise CheckpointError(f'{path}: {error}') from error

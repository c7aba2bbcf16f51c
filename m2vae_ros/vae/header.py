# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
What a model file says of itself, readable without torch.

A ``.safetensors`` file begins with the length of its header (8 bytes, little-endian) and the
header in JSON; the texts under its key ``__metadata__`` are ours. One of them, ``m2vae_ros``, is a
JSON object with the fields of `ModelHeader`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
import json
from math import inf
from pathlib import Path
from typing import Any

from m2vae_ros.specs import SensorSpec

FORMAT_VERSION = 1
METADATA_KEY = 'm2vae_ros'
_LONGEST_HEADER = 16 * 1024 * 1024  # bytes; ours has some 20 kB


class CheckpointError(ValueError):
    """A model file is missing, truncated, foreign or of another version; the text says which."""


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
            fields = json.loads(text)
            version = fields['format_version']
            if version != FORMAT_VERSION:
                raise CheckpointError(
                    f'format version {version!r}: this package reads version {FORMAT_VERSION}; '
                    f'use the package version that wrote the file, or train again'
                )
            return cls(
                sensors=tuple(SensorSpec.from_dict(sensor) for sensor in fields['sensors']),
                trained_subsets=tuple(tuple(subset) for subset in fields['trained_subsets']),
                architecture=dict(fields['architecture']),
                objective=dict(fields['objective']),
                provenance=dict(fields['provenance']),
                evaluation=dict(fields['evaluation']),
                calibration=dict(fields.get('calibration', {})),
            )
        except CheckpointError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f'the model header is damaged: {type(error).__name__}: {error}'
            ) from error


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
            raise ValueError(f'temperature of {name}: no such trained subset; trained: {trained}')
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (is_number and 0 < value < inf):
            raise ValueError(f'temperature of {name}: {value!r} must be a positive number')


def read_header(path: str | Path) -> ModelHeader:
    """
    Read what a model file says of itself; quick, and without torch.

    Raises
    ------
    CheckpointError
        If there is no such file or it is no model of this package.

    """
    path = Path(path)
    try:
        with path.open('rb') as file:
            size = int.from_bytes(file.read(8), 'little')
            room = path.stat().st_size - 8
            if not 2 <= size <= min(room, _LONGEST_HEADER):
                raise CheckpointError(
                    f'{path}: not a whole .safetensors file: its header claims {size} bytes, '
                    f'the file has {max(room, 0)}'
                )
            metadata = json.loads(file.read(size)).get('__metadata__', {})
    except OSError as error:
        raise CheckpointError(f'{path}: cannot be read: {error.strerror}') from error
    except (ValueError, AttributeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f'{path}: not a .safetensors file: {error}') from error
    if not isinstance(metadata, dict) or METADATA_KEY not in metadata:
        raise CheckpointError(
            f'{path}: a .safetensors file, but no model of m2vae_ros: its metadata has no '
            f'{METADATA_KEY!r}; found {sorted(metadata)}'
        )
    try:
        return ModelHeader.from_json(metadata[METADATA_KEY])
    except CheckpointError as error:
        raise CheckpointError(f'{path}: {error}') from error

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The description of a model in its file, readable without torch.

Two texts in the metadata of the ``.safetensors`` file (see `weights_file`) are ours:
``m2vae_ros``, a JSON object with the fields of `ModelHeader`, and ``m2vae_ros_sha256``, which
reveals damage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
import json
from math import prod
from pathlib import Path
from typing import Any

from m2vae_ros.specs import SensorSpec
from m2vae_ros.vae.subsets import lattice, Subset
from m2vae_ros.weights_file import (
    CheckpointError,
    digest,
    Layout,
    parse_json,
    printable,
    quoted,
)

FORMAT_VERSION = 1
METADATA_KEY = 'm2vae_ros'
DIGEST_KEY = 'm2vae_ros_sha256'  # files of older versions have none
_MAX_SENSORS = 12  # there may be 2^n - 1 encoders
_MAX_CELLS = 2**25  # of a sensor's array
_MAX_AXES = 3
_MAX_GEOMETRY = 1e6  # metres or radians
_MAX_LIST_LENGTH = 4096  # of the geometry's lists
_MAX_TEXT_LENGTH = 64  # of the geometry's keys and texts
_MAX_TEMPERATURE = 1e30


@dataclass(frozen=True)
class ModelHeader:
    """
    Everything that is known about a model except its weights.

    Parameters
    ----------
    sensors
        The sensors in the model's order.
    trained_subsets
        The subsets that have an encoder, in lattice order.
    architecture
        Sizes and kind of the networks: the fields of `m2vae_ros.vae.model.Architecture`.
    objective
        ``name`` and the knobs that the model was trained with.
    provenance
        Data, seed, steps and package version of the training.
    evaluation
        Summary of the errors on held-out data.
    calibration
        ``temperature``: subset, its sensors joined by ``+``, -> factor on the variances of its
        posterior; 1 for subsets that are not listed. Further entries say how it was fitted. Empty
        in files that are older than calibration.

    Raises
    ------
    ValueError
        If a temperature is not a positive number or its subset is not trained.

    Examples
    --------
    >>> camera = SensorSpec('camera', 'image', 'image_raw', 'camera', (3, 4, 4))
    >>> temperature = {'temperature': {'camera': 1.25}}
    >>> header = ModelHeader((camera,), (('camera',),), {}, calibration=temperature)
    >>> ModelHeader.from_json(header.to_json()).temperatures
    {('camera',): 1.25}

    """

    sensors: tuple[SensorSpec, ...]
    trained_subsets: tuple[Subset, ...]
    architecture: Mapping[str, Any]
    objective: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_temperatures(self.temperatures, self.trained_subsets)

    @property
    def temperatures(self) -> dict[Subset, float]:
        """Subset -> factor on the variances of its posterior; 1 for subsets not listed."""
        listed = self.calibration.get('temperature', {})
        return {tuple(subset.split('+')): value for subset, value in listed.items()}

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
        Read a header that `to_json` wrote.

        Raises
        ------
        CheckpointError
            If it is not a header of this format version; says what was expected and found.

        """
        try:
            fields = parse_json(text)
            version = fields['format_version']
            if type(version) is not int or version != FORMAT_VERSION:
                raise CheckpointError(
                    f'format version {quoted(version)}: this package reads version '
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
    if not isinstance(entries, list) or not 1 <= len(entries) <= _MAX_SENSORS:
        raise ValueError(f'sensors {quoted(entries)}: must be a list of 1 to {_MAX_SENSORS}')
    sensors = tuple(SensorSpec.from_dict(_mapping('sensor', entry)) for entry in entries)
    lattice([spec.name for spec in sensors])  # raises if a name occurs twice
    for spec in sensors:
        if prod(spec.shape) > _MAX_CELLS or len(spec.shape) > _MAX_AXES:
            raise ValueError(
                f'sensor {spec.name}: shape {quoted(spec.shape)} has more than '
                f'{_MAX_CELLS} cells or {_MAX_AXES} axes'
            )
        for key, value in spec.geometry.items():
            if isinstance(value, str):
                valid = len(value) <= _MAX_TEXT_LENGTH and value.isprintable()
            elif isinstance(value, tuple):
                valid = len(value) <= _MAX_LIST_LENGTH and all(map(_is_length, value))
            else:
                valid = _is_length(value)
            if not valid or len(key) > _MAX_TEXT_LENGTH:
                raise ValueError(
                    f'sensor {spec.name}: geometry {quoted(key)} is {quoted(value)}: '
                    f'must be a number up to {_MAX_GEOMETRY:g}, a list of up to '
                    f'{_MAX_LIST_LENGTH} such numbers, or a word'
                )
    return sensors


def _trained_subsets(entries: Any, sensors: Sequence[SensorSpec]) -> tuple[Subset, ...]:
    if not isinstance(entries, list) or not all(isinstance(entry, list) for entry in entries):
        raise ValueError(f'trained subsets {quoted(entries)}: must be a list of lists')
    subsets = tuple(tuple(map(str, entry)) for entry in entries)
    listed = set(subsets)
    order = [subset for subset in lattice([spec.name for spec in sensors]) if subset in listed]
    if list(subsets) != order:
        raise ValueError(
            f'trained subsets {quoted(entries)}: must be subsets of the sensors, each once, '
            f'in lattice order'
        )
    return subsets


def _is_length(value: Any) -> bool:
    """Return whether a value is a number of metres or radians of a geometry."""
    return _is_number(value) and -_MAX_GEOMETRY <= value <= _MAX_GEOMETRY


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f'{name} {quoted(value)}: must be a JSON object')
    return value


def check_temperatures(
    temperatures: Mapping[Subset, Any], trained_subsets: Sequence[Subset]
) -> None:
    """
    Check that temperatures are positive numbers and that their subsets are trained.

    Raises
    ------
    ValueError
        If one is not; names its subset and its value.

    Examples
    --------
    >>> check_temperatures({('camera',): -1.0}, trained_subsets=[('camera',)])
    Traceback (most recent call last):
    ValueError: temperature of camera: -1.0 must be a positive number

    """
    for subset, value in temperatures.items():
        name = '+'.join(subset)
        if subset not in trained_subsets:
            trained = ', '.join(map('+'.join, trained_subsets))
            raise ValueError(
                f'temperature of {printable(name, 80)}: no such trained subset; trained: {trained}'
            )
        if not (_is_number(value) and 0 < value <= _MAX_TEMPERATURE):
            raise ValueError(f'temperature of {name}: {quoted(value)} must be a positive number')


def read_header(path: str | Path) -> ModelHeader:
    """
    Read the description of a model from its file; fast, and without torch.

    Raises
    ------
    CheckpointError
        If there is no such file or it is not a model of this package.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from m2vae_ros.vae import describe, M2VAE, save
    >>> model = M2VAE([SensorSpec('camera', 'image', 'image_raw', 'camera', (3, 4, 4))])
    >>> with TemporaryDirectory() as folder:
    ...     save(f'{folder}/a.safetensors', model, describe(model, provenance={'seed': 3}))
    ...     read_header(f'{folder}/a.safetensors').provenance
    {'seed': 3}

    """
    return read_model_file(path)[0]


def check_digest(path: str | Path, layout: Layout, content: memoryview) -> bool:
    """
    Compare the content of a model file with its digest; return whether it has one.

    Raises
    ------
    CheckpointError
        If they differ.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from m2vae_ros.vae import describe, M2VAE, save
    >>> model = M2VAE([SensorSpec('camera', 'image', 'image_raw', 'camera', (3, 4, 4))])
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'a.safetensors'
    ...     save(path, model, describe(model))
    ...     check_digest(path, read_model_file(path)[1], memoryview(path.read_bytes()))
    True

    """
    written, text = layout.metadata.get(DIGEST_KEY), layout.metadata[METADATA_KEY]
    with content[layout.data_start:] as weights:
        if written is not None and written != digest(layout.table, text, weights):
            raise CheckpointError(
                f'{path}: damaged: its content is not what was written (SHA-256)'
            )
    return written is not None


def read_model_file(path: str | Path) -> tuple[ModelHeader, Layout]:
    """
    Read everything in a model file but its weights; see `read_header` for errors.

    Returns
    -------
    header, layout
        The model's description, and the shapes of its weights.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from m2vae_ros.vae import describe, M2VAE, save
    >>> model = M2VAE([SensorSpec('camera', 'image', 'image_raw', 'camera', (3, 4, 4))])
    >>> with TemporaryDirectory() as folder:
    ...     save(f'{folder}/a.safetensors', model, describe(model))
    ...     read_model_file(f'{folder}/a.safetensors')[1].shapes['decoders.camera.log_noise']
    ()

    """
    layout = Layout.read(path)
    if METADATA_KEY not in layout.metadata:
        raise CheckpointError(
            f'{path}: a .safetensors file, but no model of m2vae_ros: its metadata has no '
            f'{METADATA_KEY!r}; found {quoted(sorted(layout.metadata))}'
        )
    try:
        return ModelHeader.from_json(layout.metadata[METADATA_KEY]), layout
    except CheckpointError as error:
        raise CheckpointError(f'{path}: {error}') from error

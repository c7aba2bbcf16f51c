# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A model in one file: its weights and the header that describes it. Never pickle."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
import json
import os
from pathlib import Path
import tempfile

from safetensors import SafetensorError
import safetensors.torch
import torch

from m2vae_ros.vae.header import (
    check_digest,
    DIGEST_KEY,
    METADATA_KEY,
    ModelHeader,
    read_model_file,
)
from m2vae_ros.vae.model import Architecture, M2VAE
from m2vae_ros.weights_file import CheckpointError, digest, MAX_HEADER_BYTES, printable

NO_DIGEST = 'no digest, so damage to it goes unnoticed: m2vae inspect --add-digest adds one'


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """
    What a model file holds.

    Parameters
    ----------
    model
        The model, in evaluation mode.
    header
        Its description.
    has_digest
        Whether the file has a digest, without which damage to it goes unnoticed.

    Examples
    --------
    >>> from m2vae_ros.specs import SensorSpec
    >>> model = M2VAE([SensorSpec('camera', 'image', 'image_raw', 'camera', (3, 4, 4))]).eval()
    >>> Checkpoint(model, describe(model)).header.trained_subsets
    (('camera',),)

    """

    model: M2VAE
    header: ModelHeader
    has_digest: bool = True


def describe(model: M2VAE, **fields: dict[str, object]) -> ModelHeader:
    """
    Return the header of a model, with what it cannot know as further fields of `ModelHeader`.

    Examples
    --------
    >>> from m2vae_ros.specs import SensorSpec
    >>> model = M2VAE([SensorSpec('camera', 'image', 'image_raw', 'camera', (3, 4, 4))])
    >>> describe(model, provenance={'seed': 3}).architecture['latent_size']
    96

    """
    return ModelHeader(model.sensors, model.trained_subsets, asdict(model.architecture), **fields)


def save(path: str | Path, model: M2VAE, header: ModelHeader) -> None:
    """
    Write a model atomically, in a folder that is created if it does not exist.

    The networks' weights are stored in half precision (the rounding is far below the noise of
    training), buffers such as the normalisation in single precision.

    Raises
    ------
    ValueError
        If a weight is not finite or too large for half precision, or the header is longer than
        `load` reads.

    Examples
    --------
    >>> from m2vae_ros.specs import SensorSpec
    >>> model = M2VAE([SensorSpec('camera', 'image', 'image_raw', 'camera', (3, 4, 4))])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f'{folder}/models/a.safetensors', model, describe(model))
    ...     os.listdir(f'{folder}/models')
    ['a.safetensors']

    """
    weights = {name for name, _ in model.named_parameters()}
    tensors = {}
    for name, tensor in model.state_dict().items():
        value = tensor.detach().cpu()
        stored = value.half() if name in weights and value.dim() > 0 else value
        if not bool(stored.isfinite().all()):
            raise ValueError(f'weight {name} is not finite in half precision: training diverged')
        tensors[name] = stored.contiguous().clone()
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = _with_digest(
        safetensors.torch.save(tensors, metadata={METADATA_KEY: header.to_json()})
    )
    length = int.from_bytes(content[:8], 'little')
    if length > MAX_HEADER_BYTES:
        raise ValueError(
            f'{path}: the header has {length} bytes, at most {MAX_HEADER_BYTES} are read: use '
            f'fewer sensors or trained subsets, or a shorter description'
        )
    _write(path, content)


def add_digest(path: str | Path) -> bool:
    """
    Write a model file anew with a digest, all else as it was; return whether it had none.

    A digest says that the file is as it was when that was added, not that it was sound then.

    Raises
    ------
    CheckpointError
        If it is no model of this package; see `load`.

    Examples
    --------
    >>> import tempfile
    >>> from m2vae_ros.specs import SensorSpec
    >>> model = M2VAE([SensorSpec('camera', 'image', 'image_raw', 'camera', (3, 4, 4))])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f'{folder}/m.safetensors', model, describe(model))
    ...     add_digest(f'{folder}/m.safetensors')  # what `save` writes has one
    False

    """
    path = Path(path)
    if load(path).has_digest:
        return False
    _write(path, _with_digest(path.read_bytes()))
    return True


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    descriptor, temporary = tempfile.mkstemp(prefix=f'.{path.name}.', dir=path.parent)
    try:
        with os.fdopen(descriptor, 'wb') as file:
            file.write(content)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def load(path: str | Path, *, device: str | torch.device = 'cpu') -> Checkpoint:
    """
    Read a model onto a device, in single precision and evaluation mode.

    Nothing is allocated for what a header claims before the tensors in the file confirm it.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, foreign or of another version, or its weights do not
        match its header; says what was expected and what was found.

    Examples
    --------
    >>> from m2vae_ros.specs import SensorSpec
    >>> model = M2VAE([SensorSpec('camera', 'image', 'image_raw', 'camera', (3, 4, 4))])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f'{folder}/a.safetensors', model, describe(model))
    ...     load(f'{folder}/a.safetensors').model.names
    ('camera',)

    """
    path = Path(path)
    header, layout = read_model_file(path)
    sensors, subsets = header.sensors, header.trained_subsets
    try:
        if not 0 < len(subsets) <= len(layout.shapes):
            raise ValueError(f'{len(subsets)} trained subsets, {len(layout.shapes)} tensors')
        architecture = Architecture(**header.architecture)
        with torch.device('meta'):  # allocates nothing
            expected = M2VAE(sensors, architecture, subsets).state_dict()
    except (TypeError, ValueError, KeyError, RuntimeError, OverflowError) as error:
        raise CheckpointError(
            f'{path}: its header describes no model: {printable(error)}'
        ) from error
    shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    for name in sorted(shapes.keys() | layout.shapes.keys()):
        if shapes.get(name) != layout.shapes.get(name):
            raise CheckpointError(
                f'{path}: weight {printable(name)} should have shape {shapes.get(name, "none")}, '
                f'found {layout.shapes.get(name, "none")}'
            )
    try:
        content = path.read_bytes()
        tensors = safetensors.torch.load(content)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{path}: damaged or cut off: {printable(error)}') from error
    has_digest = check_digest(path, layout, memoryview(content))
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise CheckpointError(f'{path}: weight {name} is not finite')
        if name.endswith('normalisation.scale') and float(tensor) <= 0:
            raise CheckpointError(f'{path}: {name} is {float(tensor):g}, must be positive')
    model = M2VAE(sensors, architecture, subsets)
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    model.temperatures = header.temperatures
    return Checkpoint(model.to(device).eval().requires_grad_(False), header, has_digest)


def _with_digest(content: bytes) -> bytes:
    """Return a file with the digest of its tensors and its model header."""
    data_start = 8 + int.from_bytes(content[:8], 'little')
    header = json.loads(content[8:data_start])
    weights = memoryview(content)[data_start:]
    metadata = header['__metadata__']
    metadata[DIGEST_KEY] = digest(header, metadata[METADATA_KEY], weights)
    begin = json.dumps(header, separators=(',', ':')).encode()
    begin += b' ' * (-len(begin) % 8)  # as the format recommends
    return b''.join((len(begin).to_bytes(8, 'little'), begin, weights))

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A model in one file: weights and the header that describes them. Never pickle."""

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

from m2vae_ros.vae.header import DIGEST_KEY, METADATA_KEY, ModelHeader, read_model_file
from m2vae_ros.vae.model import Architecture, M2VAE
from m2vae_ros.vae.weights_file import CheckpointError, digest, LONGEST_HEADER, printable

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
        What is known of it.
    has_digest
        Whether the file has a digest, without which damage to it goes unnoticed.

    """

    model: M2VAE
    header: ModelHeader
    has_digest: bool = True


def describe(model: M2VAE, **knowledge: dict[str, object]) -> ModelHeader:
    """Return the header of a model; `knowledge` is the rest of `ModelHeader`'s fields."""
    return ModelHeader(
        model.sensors, model.trained_subsets, asdict(model.architecture), **knowledge
    )


def save(path: str | Path, model: M2VAE, header: ModelHeader) -> None:
    """
    Write a model; the file appears whole or not at all.

    The networks' weights are stored in half precision (their rounding is far below what training
    leaves undecided), buffers such as the normalisation in single precision.

    Raises
    ------
    ValueError
        If a weight is not finite, or too large for half precision, or the header is longer than
        `load` reads.

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
    if length > LONGEST_HEADER:
        raise ValueError(
            f'{path}: a header of {length} bytes, at most {LONGEST_HEADER}: use fewer sensors or '
            f'trained subsets, or a shorter description'
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

    """
    path = Path(path)
    if load(path).has_digest:
        return False
    _write(path, _with_digest(path.read_bytes()))
    return True


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    handle, beside = tempfile.mkstemp(prefix=f'.{path.name}.', dir=path.parent)
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(content)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(beside, 0o666 & ~mask)
        os.replace(beside, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(beside)
        raise


def load(path: str | Path, *, device: str | torch.device = 'cpu') -> Checkpoint:
    """
    Read a model onto a device, in single precision and evaluation mode.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated, foreign, of another version, or its weights do not
        fit its header; says what was expected and what was found. Nothing is allocated for what
        a header claims before the weights in the file bear it out.

    """
    path = Path(path)
    header, file = read_model_file(path)
    sensors, subsets = header.sensors, header.trained_subsets
    try:
        if not 0 < len(subsets) <= len(file.shapes):
            raise ValueError(f'{len(subsets)} trained subsets, {len(file.shapes)} tensors')
        architecture = Architecture(**header.architecture)
        with torch.device('meta'):  # allocates nothing
            outline = M2VAE(sensors, architecture, subsets).state_dict()
    except (TypeError, ValueError, KeyError, RuntimeError, OverflowError) as error:
        raise CheckpointError(
            f'{path}: its header describes no model: {printable(error)}'
        ) from error
    wanted = {name: tuple(tensor.shape) for name, tensor in outline.items()}
    for name in sorted(wanted.keys() | file.shapes.keys()):
        if wanted.get(name) != file.shapes.get(name):
            raise CheckpointError(
                f'{path}: weight {printable(name)} should have shape {wanted.get(name, "none")}, '
                f'found {file.shapes.get(name, "none")}'
            )
    try:
        content = path.read_bytes()
        tensors = safetensors.torch.load(content)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{path}: damaged or cut off: {printable(error)}') from error
    noted = file.texts.get(DIGEST_KEY)
    weights = memoryview(content)[file.data_start:]
    if noted is not None and noted != digest(file.table, file.texts[METADATA_KEY], weights):
        raise CheckpointError(f'{path}: damaged: its content is not what was written (SHA-256)')
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise CheckpointError(f'{path}: weight {name} is not finite')
        if name.endswith('normalisation.scale') and float(tensor) <= 0:
            raise CheckpointError(f'{path}: {name} is {float(tensor):g}, must be positive')
    model = M2VAE(sensors, architecture, subsets)
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    model.temperatures = header.temperatures
    return Checkpoint(model.to(device).eval().requires_grad_(False), header, noted is not None)


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

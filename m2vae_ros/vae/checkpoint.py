# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A model in one file: weights and the header that describes them. Never pickle."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
import os
from pathlib import Path
import tempfile

from safetensors import SafetensorError
import safetensors.torch
import torch

from m2vae_ros.vae.header import CheckpointError, METADATA_KEY, ModelHeader, read_header
from m2vae_ros.vae.model import Architecture, M2VAE


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model, in evaluation mode, and its header."""

    model: M2VAE
    header: ModelHeader


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
        If a weight is not finite, or too large for half precision.

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
    content = safetensors.torch.save(tensors, metadata={METADATA_KEY: header.to_json()})
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
        fit its header; says what was expected and what was found.

    """
    path = Path(path)
    header = read_header(path)
    try:
        architecture = Architecture(**header.architecture)
        model = M2VAE(header.sensors, architecture, header.trained_subsets)
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError(f'{path}: its header describes no model: {error}') from error
    try:
        tensors = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{path}: damaged or cut off: {error}') from error
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise CheckpointError(
                f'{path}: weight {name} should have shape {wanted.get(name, "none")}, '
                f'found {found.get(name, "none")}'
            )
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    model.temperatures = header.temperatures
    return Checkpoint(model.to(device).eval().requires_grad_(False), header)

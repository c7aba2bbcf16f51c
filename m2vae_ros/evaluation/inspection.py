# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a model file's header says, the sizes of its networks, and its speed on this machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import nn

from m2vae_ros.fusion.engine import blank, Engine, usable_threads
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.header import read_model_file
from m2vae_ros.vae.model import M2VAE

_MAX_SECONDS = 0.5  # for one median
_MAX_REPETITIONS = 50


def inspect(path: Path, *, device: str = 'auto', threads: int = 1) -> dict[str, Any]:
    """
    Return a model's header, sizes and forward times, in JSON types.

    Parameters
    ----------
    path
        The model file.
    device
        Where to measure the forward times; see `Engine`.
    threads
        CPU threads of one inference; the node's default is 1.

    Raises
    ------
    CheckpointError
        If the file is no model of this package.
    ValueError
        If there is no such device.

    """
    header, file = read_model_file(path)
    loaded = checkpoint.load(path)
    model = loaded.model
    return {
        'file': str(path),
        'bytes': file.size,
        'has_digest': loaded.has_digest,
        'sensors': [spec.to_dict() for spec in header.sensors],
        'trained_subsets': [list(subset) for subset in header.trained_subsets],
        'architecture': dict(header.architecture),
        'objective': dict(header.objective),
        'calibration': dict(header.calibration),
        'provenance': dict(header.provenance),
        'evaluation': dict(header.evaluation),
        'parameters': {
            'total': _count(model),
            'trunks': {name: _count(part) for name, part in model.trunks.items()},
            'encoders': {name: _count(part) for name, part in model.heads.items()},
            'decoders': {name: _count(part) for name, part in model.decoders.items()},
        },
        'forward': _forward(model, device, threads),
    }


def _count(part: nn.Module) -> int:
    return sum(parameter.numel() for parameter in part.parameters())


def _forward(model: M2VAE, device: str, threads: int) -> dict[str, Any]:
    """Return each trained subset's time for one set, from arrays to arrays, as in the node."""
    threads = usable_threads(threads)
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    engine = Engine(model, device=device)
    engine.warm()
    subsets = []
    for subset in model.trained_subsets:
        measurements = {name: blank(model.sensor(name)) for name in subset}
        missing = [name for name in model.names if name not in subset]
        fuse_ms = _median_ms(partial(engine.fuse, measurements))
        both_ms = _median_ms(partial(engine.fuse, measurements, reconstruct=missing))
        subsets.append({
            'subset': list(subset), 'fuse_ms': fuse_ms,
            'fuse_and_reconstruct_missing_ms': both_ms,
        })
    engine.close()
    torch.set_num_threads(threads_before)
    return {'device': engine.device_report, 'threads': threads, 'subsets': subsets}


def _median_ms(run: Callable[[], object]) -> float:
    """Return the median time of a call, in milliseconds."""
    times: list[float] = []
    while len(times) < _MAX_REPETITIONS and sum(times) < _MAX_SECONDS:
        started = perf_counter()
        run()
        times.append(perf_counter() - started)
    return round(1e3 * median(times), 3)

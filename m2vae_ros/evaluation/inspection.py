# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a model file says of itself, how large its parts are and how fast it is on this machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import nn

from m2vae_ros.fusion.engine import blank, Engine
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.header import read_model_file
from m2vae_ros.vae.model import M2VAE

_LONGEST = 0.5  # s, for one figure
_MOST = 50  # repetitions


def inspect(path: Path, *, device: str = 'auto', threads: int = 1) -> dict[str, Any]:
    """
    Return everything that is known of a model, in JSON types.

    Parameters
    ----------
    path
        The model file.
    device
        Where to measure the forward times; see `Engine`.
    threads
        CPU threads of one inference. The node has 1, unless it is told otherwise.

    Raises
    ------
    CheckpointError
        If it is no model of this package.
    ValueError
        If the device is not there.

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
    """Measure each trained subset at batch 1, from arrays to arrays, as the node runs it."""
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    engine = Engine(model, device=device)
    engine.warm()
    subsets = []
    for subset in model.trained_subsets:
        measurements = {name: blank(model.sensor(name)) for name in subset}
        missing = [name for name in model.names if name not in subset]
        alone = _median_ms(partial(engine.fuse, measurements))
        both = _median_ms(partial(engine.fuse, measurements, reconstruct=missing))
        subsets.append({
            'subset': list(subset), 'fuse_ms': alone, 'fuse_and_reconstruct_missing_ms': both,
        })
    engine.close()
    torch.set_num_threads(threads_before)
    return {'device': engine.device_report, 'threads': threads, 'subsets': subsets}


def _median_ms(run: Callable[[], object]) -> float:
    """Return how long a call takes, in milliseconds: the median of many."""
    times: list[float] = []
    while len(times) < _MOST and sum(times) < _LONGEST:
        started = perf_counter()
        run()
        times.append(perf_counter() - started)
    return round(1e3 * median(times), 3)

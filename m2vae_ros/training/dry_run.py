# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What will be trained, and how long it will take; nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import ceil
from statistics import median
from time import monotonic
from typing import Any

import lightning

from m2vae_ros.samples.batches import ShuffledBatches
from m2vae_ros.samples.dataset import SampleDataset
from m2vae_ros.samples.selection import subset_counts
from m2vae_ros.specs import SensorSpec
from m2vae_ros.training.distributed import World
from m2vae_ros.training.maximisation import BoundMaximisation
from m2vae_ros.training.options import TrainingOptions
from m2vae_ros.training.trainer import make_trainer, validation_interval
from m2vae_ros.training.training import fit, MOST_VALIDATED, untrained_model
from m2vae_ros.vae.model import Architecture, M2VAE
from m2vae_ros.vae.subsets import Subset

_STEPS = 12  # at most, to measure, however many there will be
_SECONDS = 10.0  # at most, but for two steps
_FORWARD = 1 / 3  # of a step
_HEADER_BYTES = 12_000


class StepTimes(lightning.Callback):  # type: ignore[misc]
    """Measure steps, and end soon."""

    def __init__(self) -> None:
        self._ends: list[float] = []

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Note when a step ended."""
        self._ends.append(monotonic())
        passed = self._ends[-1] - self._ends[0]
        if len(self._ends) > _STEPS or (len(self._ends) > 2 and passed > _SECONDS):
            trainer.should_stop = True

    @property
    def seconds(self) -> float:
        """Return the median time of a step, without the first."""
        pairs = pairwise(self._ends)
        return median([after - before for before, after in pairs] or [0.0])

    @property
    def count(self) -> int:
        """Return how many steps that is."""
        return max(0, len(self._ends) - 1)


def describe(
    splits: Mapping[str, SampleDataset], options: TrainingOptions, architecture: Architecture,
    *, counted: Mapping[str, Mapping[Subset, int]] | None = None,
) -> str:
    """
    Train for a few steps and return what a training would be, as text.

    Parameters
    ----------
    splits
        training, validation and test samples; only a part of them if `counted` says how many
        there will be.
    options
        How to train; the batch size fits the training samples.
    architecture
        Sizes of the networks.
    counted
        Split -> sensors -> how many samples will have exactly these; None = as given.

    """
    world = World.of(options)
    counted = counted or {name: subset_counts(samples) for name, samples in splits.items()}
    totals = {name: sum(counts.values()) for name, counts in counted.items()}
    model = untrained_model(splits['training'], options, architecture)
    times = _measure(model, splits['training'], options)
    rows = min(MOST_VALIDATED, totals['validation'])
    validations = options.steps // validation_interval(options) if rows else 0
    seconds = times.seconds * (
        options.steps + validations * _FORWARD * ceil(rows / options.batch_size)
    )
    epochs = options.steps * options.batch_size * world.size / totals['training']
    parameters = sum(weight.numel() for weight in model.parameters())
    lines = [
        'Sensors:', *(f'  {_sensor(spec)}' for spec in model.sensors),
        f'Encoders: {len(model.trained_subsets)}, for '
        f'{", ".join("+".join(subset) for subset in model.trained_subsets)}',
        'Samples:', *_table(counted),
        f'Training: {options.steps} steps of {options.batch_size} samples'
        + (f' in each of {world.size} processes' if world.size > 1 else '')
        + f' ({epochs:.1f} times all samples), {validations} validations',
        f'Model: {parameters} parameters; the file will have about {_megabytes(model):.1f} MB',
        f'Time: {times.seconds:.2f} s a step, the median of {times.count}; about '
        f'{_duration(seconds)} on this machine, then errors and calibration are measured',
        'Nothing was written.',
    ]
    return '\n'.join(lines)


def _measure(model: M2VAE, training: SampleDataset, options: TrainingOptions) -> StepTimes:
    times = StepTimes()
    options = replace(options, steps=max(options.steps, _STEPS + 1))
    trainer = make_trainer(options, World(), None, [times])
    batches = ShuffledBatches(
        len(training), min(options.batch_size, len(training)), options.steps, options.seed
    )
    fit(trainer, BoundMaximisation(model, options), training.in_batches(batches))
    return times


def _sensor(spec: SensorSpec) -> str:
    shape = ' x '.join(map(str, spec.shape))
    return f'{spec.name}: {spec.kind}, {shape}, topic {spec.topic}, frame {spec.frame_id}'


def _table(counted: Mapping[str, Mapping[Subset, int]]) -> Sequence[str]:
    """Return a row for each combination of sensors, a column for each split."""
    every = list(dict.fromkeys(subset for counts in counted.values() for subset in counts))
    rows = {'+'.join(subset): [counts.get(subset, 0) for counts in counted.values()]
            for subset in every}
    rows['all'] = [sum(counts.values()) for counts in counted.values()]
    wide = max(map(len, rows))
    head = ''.join(f'{name:>12}' for name in counted)
    return [f'  {"":{wide}}{head}'] + [
        f'  {name:{wide}}{"".join(f"{count:12}" for count in counts)}'
        for name, counts in rows.items()
    ]


def _megabytes(model: M2VAE) -> float:
    """Return what the file of a model takes: weights in half precision, buffers in single."""
    weights = sum(weight.numel() for weight in model.parameters())
    others = sum(buffer.numel() for buffer in model.buffers())
    return (2 * weights + 4 * others + _HEADER_BYTES) / 1e6


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f'{seconds:.0f} s'
    minutes = seconds / 60
    return f'{minutes:.0f} min' if minutes < 100 else f'{minutes / 60:.1f} h'

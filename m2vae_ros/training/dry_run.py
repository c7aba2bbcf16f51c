# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Say what would be trained and how long it would take, from a few steps; write nothing."""

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
from m2vae_ros.training.training import fit, MAX_VALIDATION_SAMPLES, untrained_model
from m2vae_ros.vae.model import Architecture, M2VAE
from m2vae_ros.vae.subsets import Subset

_MAX_TIMED_STEPS = 12
_MAX_TIMED_SECONDS = 10.0  # unless two steps take longer
_VALIDATION_COST = 1 / 3  # of a validation batch, in steps
_HEADER_BYTES = 12_000  # of a model file, roughly


class StepTimes(lightning.Callback):  # type: ignore[misc]
    """Measure the times of the first steps, then stop the training."""

    def __init__(self) -> None:
        self._ends: list[float] = []

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Note when the step ended, and stop after enough of them."""
        self._ends.append(monotonic())
        passed = self._ends[-1] - self._ends[0]
        enough_time = len(self._ends) > 2 and passed > _MAX_TIMED_SECONDS
        if len(self._ends) > _MAX_TIMED_STEPS or enough_time:
            trainer.should_stop = True

    @property
    def seconds(self) -> float:
        """Return the median time of a step, seconds; the first step does not count."""
        pairs = pairwise(self._ends)
        return median([after - before for before, after in pairs] or [0.0])

    @property
    def count(self) -> int:
        """Return the number of steps of which this is the median."""
        return max(0, len(self._ends) - 1)


def describe(
    splits: Mapping[str, SampleDataset], options: TrainingOptions, architecture: Architecture,
    *, counted: Mapping[str, Mapping[Subset, int]] | None = None,
) -> str:
    """
    Train for a few steps and describe the whole training as text.

    Parameters
    ----------
    splits
        ``training``, ``validation`` and ``test`` samples; these may be only some of the samples
        of the whole training, if `counted` is given.
    options
        How to train; the batch size is not larger than the training samples.
    architecture
        Sizes of the networks.
    counted
        Split -> subset -> number of samples with exactly these sensors in the whole training;
        None = those of `splits`.

    """
    world = World.of(options)
    counted = counted or {name: subset_counts(samples) for name, samples in splits.items()}
    totals = {name: sum(counts.values()) for name, counts in counted.items()}
    model = untrained_model(splits['training'], options, architecture)
    times = _time_steps(model, splits['training'], options)
    rows = min(MAX_VALIDATION_SAMPLES, totals['validation'])
    validations = options.steps // validation_interval(options) if rows else 0
    seconds = times.seconds * (
        options.steps + validations * _VALIDATION_COST * ceil(rows / options.batch_size)
    )
    epochs = options.steps * options.batch_size * world.size / totals['training']
    parameters = sum(weight.numel() for weight in model.parameters())
    lines = [
        'Sensors:', *(f'  {_format_sensor(spec)}' for spec in model.sensors),
        f'Encoders: {len(model.trained_subsets)}, for '
        f'{", ".join("+".join(subset) for subset in model.trained_subsets)}',
        'Samples:', *_format_counts(counted),
        f'Training: {options.steps} steps of {options.batch_size} samples'
        + (f' in each of {world.size} processes' if world.size > 1 else '')
        + f' ({epochs:.1f} times all samples), {validations} validations',
        f'Model: {parameters} parameters; its file will have about '
        f'{_file_megabytes(model):.1f} MB',
        f'Time: {times.seconds:.2f} s a step, the median of {times.count}; about '
        f'{_format_duration(seconds)} on this machine, then errors and calibration are measured',
        'Nothing was written.',
    ]
    return '\n'.join(lines)


def _time_steps(model: M2VAE, training: SampleDataset, options: TrainingOptions) -> StepTimes:
    """Train a few steps in this process alone and return their times."""
    times = StepTimes()
    options = replace(options, steps=max(options.steps, _MAX_TIMED_STEPS + 1))
    trainer = make_trainer(options, World(), None, [times])
    batches = ShuffledBatches(
        len(training), min(options.batch_size, len(training)), options.steps, options.seed
    )
    fit(trainer, BoundMaximisation(model, options), training.in_batches(batches))
    return times


def _format_sensor(spec: SensorSpec) -> str:
    shape = ' x '.join(map(str, spec.shape))
    return f'{spec.name}: {spec.kind}, {shape}, topic {spec.topic}, frame {spec.frame_id}'


def _format_counts(counted: Mapping[str, Mapping[Subset, int]]) -> Sequence[str]:
    """Return lines of text: a row for each subset of sensors, a column for each split."""
    subsets = list(dict.fromkeys(subset for counts in counted.values() for subset in counts))
    rows = {'+'.join(subset): [counts.get(subset, 0) for counts in counted.values()]
            for subset in subsets}
    rows['all'] = [sum(counts.values()) for counts in counted.values()]
    width = max(map(len, rows))
    head = ''.join(f'{name:>12}' for name in counted)
    return [f'  {"":{width}}{head}'] + [
        f'  {name:{width}}{"".join(f"{count:12}" for count in counts)}'
        for name, counts in rows.items()
    ]


def _file_megabytes(model: M2VAE) -> float:
    """Return the size of a model's file: weights in half precision, buffers in single."""
    weights = sum(weight.numel() for weight in model.parameters())
    buffers = sum(buffer.numel() for buffer in model.buffers())
    return (2 * weights + 4 * buffers + _HEADER_BYTES) / 1e6


def _format_duration(seconds: float) -> str:
    if seconds < 100:
        return f'{seconds:.0f} s'
    minutes = seconds / 60
    return f'{minutes:.0f} min' if minutes < 100 else f'{minutes / 60:.1f} h'

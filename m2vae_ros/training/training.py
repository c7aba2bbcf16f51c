# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The training of a model, from its first step or from a checkpoint; Lightning drives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
import warnings

import lightning
import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Sampler

from m2vae_ros.samples.batches import ShuffledBatches
from m2vae_ros.samples.dataset import Batch, SampleDataset
from m2vae_ros.training.distributed import World
from m2vae_ros.training.interruption import Interruption
from m2vae_ros.training.maximisation import BoundMaximisation
from m2vae_ros.training.options import TrainingOptions
from m2vae_ros.training.run_folder import read_checkpoint, RunFolder
from m2vae_ros.training.trainer import Checkpoints, make_trainer, quiet, say, validation_interval
from m2vae_ros.vae.model import Architecture, M2VAE
from m2vae_ros.vae.terms import reconstructions

MOST_VALIDATED = 512  # samples of a validation, spread over all there are
_EXPECTED_WARNINGS = (
    'does not have many workers', 'LeafSpec', 'dataloader is not resumable', 'logging interval',
    'sampler has', 'logs directory', 'no logger', 'no `val_dataloader`', 'find_unused_parameters',
)


def fit_batch_size(
    dataset: SampleDataset, options: TrainingOptions, world: World | None = None
) -> TrainingOptions:
    """Return the options with a batch size that the samples can fill; say so if it is another."""
    size = (world or World.of(options)).size
    most = len(dataset) // size
    if options.batch_size <= most:
        return options
    if most < 1:
        raise ValueError(f'{len(dataset)} samples for {size} processes: record more')
    say(
        f'{len(dataset)} samples: less than a batch of {options.batch_size} in each of {size} '
        f'processes; training in batches of {most}' if size > 1 else
        f'{len(dataset)} samples: less than a batch of {options.batch_size}; training in batches '
        f'of {most}'
    )
    return replace(options, batch_size=most)


def untrained_model(
    dataset: SampleDataset, options: TrainingOptions, architecture: Architecture | None = None
) -> M2VAE:
    """
    Return the model that is to be trained, its normalisation that of the samples.

    It has the encoders that the objective trains on samples with these sensors.
    """
    lightning.seed_everything(options.seed, verbose=False)
    names = tuple(spec.name for spec in dataset.sensors)
    patterns = torch.from_numpy(np.unique(dataset.availability(), axis=0))
    needed = list(reconstructions(options.objective, names, available=patterns))
    model = M2VAE(dataset.sensors, architecture, needed)
    dataset.fit_normalisation(model)
    return model


def train(
    dataset: SampleDataset,
    options: TrainingOptions,
    architecture: Architecture | None = None,
    *,
    validation: SampleDataset | None = None,
    run: RunFolder | None = None,
    resume: bool = False,
    data: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> M2VAE:
    """
    Train a model for the sensors of a dataset.

    Parameters
    ----------
    dataset
        Training samples; they also give the normalisation.
    options
        How to train.
    architecture
        Sizes of the networks.
    validation
        Samples whose bound is logged, and that `patience` looks at.
    run
        Where logs and checkpoints go; None = nowhere.
    resume
        Go on from the run's checkpoint, if there is one.
    data
        What the samples are, in JSON types: a checkpoint of others is refused.
    progress
        Show a progress bar.

    Returns
    -------
    M2VAE
        On the CPU, in evaluation mode, with the encoders that the objective trains.

    Raises
    ------
    ValueError
        If the checkpoint is of another training, patience has no validation to look at, or the
        training diverges.
    KeyboardInterrupt
        At Ctrl-C; the run then has a checkpoint of the last step.

    """
    world = World.of(options)
    options = fit_batch_size(dataset, options, world)
    validated = validated_rows(dataset, validation)
    if options.patience and not (validated and run):
        raise ValueError(
            f'patience {options.patience}: there are no validation samples, or no folder to keep '
            f'the best weights in'
        )
    identity = {
        'options': {
            key: value for key, value in asdict(options).items()
            if key not in ('devices', 'nodes', 'accelerator')
        },
        'architecture': asdict(architecture or Architecture()),
        'sensors': {spec.name: spec.to_dict() for spec in dataset.sensors},
        'data': dict(data or {}), 'training samples': len(dataset),
        'validation samples': len(validated), 'processes': world.size,
        'device': _device(options),
    }
    first_step = _first_step(run, identity, resume, world)
    model = untrained_model(dataset, options, architecture)
    module = BoundMaximisation(model, options)
    batches = ShuffledBatches(
        len(dataset), options.batch_size, options.steps, options.seed, first_step=first_step,
        rank=world.rank, world_size=world.size,
    )
    with Interruption() as interruption:
        callbacks = [Checkpoints(
            run, identity, interruption, validates=bool(validated),
            every=validation_interval(options), keeps_best=options.patience > 0,
        )] if run else []
        trainer = make_trainer(
            options, world, run, callbacks, first_step=first_step,
            validates=bool(validated), progress=progress and world.is_first,
        )
        fit(
            trainer, module, dataset.in_batches(batches),
            _in_order(validation, validated, options, world)
            if validated and validation is not None else None,
            run.last if run and first_step else None,
        )
    if run and options.patience and run.best.exists():
        best = read_checkpoint(run.best)
        module.load_state_dict(best['state_dict'])
        if world.is_first:
            say(
                f'ended after step {trainer.global_step} of {options.steps}; the model is that '
                f'of step {best["global_step"]}, whose validation was best'
            )
    return model.cpu().eval()


def _device(options: TrainingOptions) -> str:
    """Return on which kind of device random numbers are drawn."""
    return 'gpu' if options.accelerator != 'cpu' and torch.cuda.is_available() else 'cpu'


def _first_step(
    run: RunFolder | None, identity: Mapping[str, Any], resume: bool, world: World
) -> int:
    """Return the step to begin with; what is there of an earlier training makes way."""
    if run is None:
        return 0
    if resume:
        step = run.step_to_resume(identity)
        if world.is_first:
            run.clear_beginnings()
            say(
                f'{run.last}: no checkpoint yet; beginning with the first step' if step is None
                else f'{run.last}: going on after step {step} of {identity["options"]["steps"]}'
            )
        return step or 0
    if world.is_first:
        run.clear()
    return 0


def validated_rows(training: SampleDataset, validation: SampleDataset | None) -> list[int]:
    """Return which samples are validated: some, of combinations of sensors that are trained."""
    if validation is None or not len(validation):
        return []
    known = {tuple(row) for row in np.unique(training.availability(), axis=0).tolist()}
    rows = [
        index for index, row in enumerate(validation.availability().tolist())
        if tuple(row) in known
    ]
    count = min(MOST_VALIDATED, len(rows))
    return [rows[index * len(rows) // count] for index in range(count)]


def _in_order(
    validation: SampleDataset, rows: list[int], options: TrainingOptions, world: World
) -> DataLoader[Batch]:
    """Return this process's part of some samples, or all where there is not one for each."""
    if len(rows) >= world.size:
        rows = rows[world.rank::world.size]
    sampler: Sampler[list[int]] = BatchSampler(rows, options.batch_size, drop_last=False)
    return validation.in_batches(sampler)


def fit(
    trainer: lightning.Trainer, module: BoundMaximisation, training: DataLoader[Batch],
    validation: DataLoader[Batch] | None = None, checkpoint: Path | None = None,
) -> None:
    """Let Lightning train, without its advice on the standard error; a Ctrl-C is one."""
    with warnings.catch_warnings(), quiet():
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings('ignore', message=f'.*{message}.*')
        try:
            trainer.fit(module, training, validation, ckpt_path=checkpoint)
        except SystemExit:  # what Lightning makes of a Ctrl-C
            raise KeyboardInterrupt from None

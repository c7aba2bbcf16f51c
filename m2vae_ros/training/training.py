# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Train a model, from the first step or from a checkpoint; Lightning drives it."""

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

MAX_VALIDATION_SAMPLES = 512  # evenly spaced among all
_EXPECTED_WARNINGS = (
    'does not have many workers', 'LeafSpec', 'dataloader is not resumable', 'logging interval',
    'sampler has', 'logs directory', 'no logger', 'no `val_dataloader`', 'find_unused_parameters',
)


def fit_batch_size(
    dataset: SampleDataset, options: TrainingOptions, world: World | None = None
) -> TrainingOptions:
    """Return the options with a batch size that the samples fill; say so if it is smaller."""
    size = (world or World.of(options)).size
    largest = len(dataset) // size
    if options.batch_size <= largest:
        return options
    if largest < 1:
        raise ValueError(f'{len(dataset)} samples for {size} processes: record more')
    say(
        f'{len(dataset)} samples: less than a batch of {options.batch_size} in each of {size} '
        f'processes; training in batches of {largest}' if size > 1 else
        f'{len(dataset)} samples: less than a batch of {options.batch_size}; training in batches '
        f'of {largest}'
    )
    return replace(options, batch_size=largest)


def untrained_model(
    dataset: SampleDataset, options: TrainingOptions, architecture: Architecture | None = None
) -> M2VAE:
    """
    Return the model to be trained, normalised by the samples.

    It has the encoders that the objective trains on the subsets of sensors in the samples. The
    global random state is seeded first.
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
        Training samples; the model is normalised by them.
    options
        How to train.
    architecture
        Sizes of the networks.
    validation
        Samples whose bound is logged, and by which `patience` decides.
    run
        Folder of logs and checkpoints; None = write none.
    resume
        Resume from the run's checkpoint, if there is one.
    data
        Description of the samples, in JSON types. A checkpoint with another one is not resumed.
    progress
        Whether to show a progress bar.

    Returns
    -------
    M2VAE
        On the CPU, in evaluation mode, with the encoders that the objective trains.

    Raises
    ------
    ValueError
        If the checkpoint is of another training, patience is set without validation samples, or
        the training diverges.
    KeyboardInterrupt
        After Ctrl-C; the run then has a checkpoint of the last step.

    """
    world = World.of(options)
    options = fit_batch_size(dataset, options, world)
    rows = validation_rows(dataset, validation)
    if options.patience and not (rows and run):
        raise ValueError(
            f'patience {options.patience}: needs validation samples, and a folder for the best '
            f'weights'
        )
    identity = {
        'options': {
            key: value for key, value in asdict(options).items()
            if key not in ('devices', 'nodes', 'accelerator')
        },
        'architecture': asdict(architecture or Architecture()),
        'sensors': {spec.name: spec.to_dict() for spec in dataset.sensors},
        'data': dict(data or {}), 'training samples': len(dataset),
        'validation samples': len(rows), 'processes': world.size,
        'device': _device_kind(options),
    }
    first_step = _prepare_run(run, identity, resume, world)
    model = untrained_model(dataset, options, architecture)
    module = BoundMaximisation(model, options)
    batches = ShuffledBatches(
        len(dataset), options.batch_size, options.steps, options.seed, first_step=first_step,
        rank=world.rank, world_size=world.size,
    )
    with Interruption() as interruption:
        callbacks = [Checkpoints(
            run, identity, interruption, validates=bool(rows),
            every=validation_interval(options), keeps_best=options.patience > 0,
        )] if run else []
        trainer = make_trainer(
            options, world, run, callbacks, first_step=first_step,
            validates=bool(rows), progress=progress and world.is_first,
        )
        fit(
            trainer, module, dataset.in_batches(batches),
            _validation_loader(validation, rows, options, world)
            if rows and validation is not None else None,
            run.last if run and first_step else None,
        )
    if run and options.patience and run.best.exists():
        best = read_checkpoint(run.best)
        module.load_state_dict(best['state_dict'])
        if world.is_first:
            say(
                f'ended after step {trainer.global_step} of {options.steps}; the model has the '
                f'weights of step {best["global_step"]}, whose validation was best'
            )
    return model.cpu().eval()


def _device_kind(options: TrainingOptions) -> str:
    """Return the kind of device on which random numbers are drawn, 'cpu' or 'gpu'."""
    return 'gpu' if options.accelerator != 'cpu' and torch.cuda.is_available() else 'cpu'


def _prepare_run(
    run: RunFolder | None, identity: Mapping[str, Any], resume: bool, world: World
) -> int:
    """Return the step to start at; remove unfinished checkpoints, and old ones if it is 0."""
    if run is None:
        return 0
    if resume:
        step = run.step_to_resume(identity)
        if world.is_first:
            run.remove_unfinished()
            say(
                f'{run.last}: no checkpoint yet; starting with the first step' if step is None
                else f'{run.last}: resuming after step {step} of {identity["options"]["steps"]}'
            )
        return step or 0
    if world.is_first:
        run.clear()
    return 0


def validation_rows(training: SampleDataset, validation: SampleDataset | None) -> list[int]:
    """Return which samples to validate on: evenly spaced ones with a subset that is trained."""
    if validation is None or not len(validation):
        return []
    trained = {tuple(row) for row in np.unique(training.availability(), axis=0).tolist()}
    rows = [
        index for index, row in enumerate(validation.availability().tolist())
        if tuple(row) in trained
    ]
    count = min(MAX_VALIDATION_SAMPLES, len(rows))
    return [rows[index * len(rows) // count] for index in range(count)]


def _validation_loader(
    validation: SampleDataset, rows: list[int], options: TrainingOptions, world: World
) -> DataLoader[Batch]:
    """Return this process's part of the rows; all of them if there is not one per process."""
    if len(rows) >= world.size:
        rows = rows[world.rank::world.size]
    sampler: Sampler[list[int]] = BatchSampler(rows, options.batch_size, drop_last=False)
    return validation.in_batches(sampler)


def fit(
    trainer: lightning.Trainer, module: BoundMaximisation, training: DataLoader[Batch],
    validation: DataLoader[Batch] | None = None, checkpoint: Path | None = None,
) -> None:
    """Let Lightning train without printing advice; its SystemExit becomes KeyboardInterrupt."""
    with warnings.catch_warnings(), quiet():
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings('ignore', message=f'.*{message}.*')
        try:
            trainer.fit(module, training, validation, ckpt_path=checkpoint)
        except SystemExit:  # Lightning raises it after Ctrl-C
            raise KeyboardInterrupt from None

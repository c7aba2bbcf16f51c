# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""From samples to a model file that says how it was trained, its errors and calibration."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from time import monotonic
from typing import Any

from m2vae_ros import __version__
from m2vae_ros.evaluation import calibration
from m2vae_ros.evaluation.calibration import CalibrationOptions
from m2vae_ros.evaluation.relative_errors import format_ratios, relative_errors
from m2vae_ros.samples.selection import Selection
from m2vae_ros.samples.sources import Splits
from m2vae_ros.training.distributed import World
from m2vae_ros.training.options import TrainingOptions
from m2vae_ros.training.run_folder import RunFolder
from m2vae_ros.training.trainer import say
from m2vae_ros.training.training import train
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.header import ModelHeader
from m2vae_ros.vae.model import Architecture, M2VAE

_LEAST = 2  # complete samples to calibrate with


def train_and_save(
    out: Path, splits: Splits, options: TrainingOptions, architecture: Architecture,
    references: CalibrationOptions, *, resume: bool = False, started: float | None = None,
) -> str:
    """
    Train, write the model, measure it on held-out samples and write that into its file, too.

    Parameters
    ----------
    out
        The model file.
    splits
        Samples, and what they are.
    options, architecture, references
        How to train, what, and how to calibrate.
    resume
        Go on from the checkpoint beside the model file, if there is one.
    started
        ``time.monotonic()`` when the work began, for the time that the file names; None = now.

    Returns
    -------
    str
        Tables of what was measured; empty in all processes but the first.

    """
    world = World.of(options)
    started = monotonic() if started is None else started
    folder = RunFolder.of(out)
    try:
        model = train(
            splits.training, options, architecture, validation=splits.validation, run=folder,
            resume=resume, data=splits.description,
        )
    except KeyboardInterrupt:
        if world.is_first and folder.last.exists():
            say(f'\n{folder.last}: kept; the same command with --resume goes on from there')
        raise
    if not world.is_first:
        return ''
    seconds = monotonic() - started
    header = described(model, options, splits, seconds)
    checkpoint.save(out, model, header)  # whatever happens while it is measured
    header, report = measured(model, header, splits, references)
    checkpoint.save(out, model, header)
    return f'{report}\n{out}: {out.stat().st_size / 1e6:.1f} MB, {seconds / 60:.0f} min'


def described(
    model: M2VAE, options: TrainingOptions, splits: Splits, seconds: float
) -> ModelHeader:
    """Return the header of a model that has just been trained."""
    data = dict(splits.description)
    return checkpoint.describe(
        model,
        objective=options.describe_objective(),
        provenance={
            'data': data.pop('training'),
            **data,
            'package_version': __version__,
            'options': asdict(options),
            'seconds': round(seconds),
        },
    )


def measured(
    model: M2VAE, header: ModelHeader, splits: Splits, references: CalibrationOptions
) -> tuple[ModelHeader, str]:
    """
    Return the header with errors and calibration on held-out samples, and tables of both.

    References need samples that have all sensors; without such, the temperatures stay 1 and the
    text says so.
    """
    test, validation = Selection.complete(splits.test), Selection.complete(splits.validation)
    texts: list[str] = []
    evaluation: dict[str, Any] = {'data': splits.description['test']}
    calibrated: dict[str, Any] = {}
    errors = relative_errors(model, splits.test, views=splits.views)
    if errors:
        evaluation['reconstruction'] = [error.to_dict() for error in errors]
        texts.append(
            "Error over the mean predictor's, held-out samples "
            f'(columns: reconstructed, rows: from):\n{format_ratios(errors)}'
        )
    else:
        texts.append('Nothing to measure errors by in the test samples.')
    if min(len(test), len(validation)) >= _LEAST and model.names in model.trained_subsets:
        fitted = calibration.fit(calibration.hold_out(model, validation, references))
        covered = calibration.judge(calibration.hold_out(model, test, references), fitted)
        evaluation['calibration'] = covered
        calibrated = {'data': splits.description['validation'], **fitted}
        texts.append(
            'Share of references within the regions of their posteriors, held-out samples:\n'
            f'{calibration.table(covered)}'
        )
    else:
        texts.append(
            f'Not calibrated, temperatures stay 1: {len(validation)} validation and {len(test)} '
            f'test samples have all sensors, {_LEAST} of each are needed.'
        )
    return replace(header, evaluation=evaluation, calibration=calibrated), '\n'.join(texts)

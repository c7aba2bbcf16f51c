# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
From samples to a model file: train, write, measure on held-out samples, write again.

The file's header says how the model was trained, its reconstruction errors and its calibration.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from time import monotonic
from typing import Any

from m2vae_ros import __version__
from m2vae_ros.evaluation.calibration import (
    CalibrationOptions,
    draw_references,
    fit_temperatures,
    format_coverage,
    measure_coverage,
)
from m2vae_ros.evaluation.relative_errors import format_ratios, relative_errors
from m2vae_ros.samples.selection import Selection
from m2vae_ros.samples.sources import SplitSamples
from m2vae_ros.training.distributed import World
from m2vae_ros.training.options import TrainingOptions
from m2vae_ros.training.run_folder import RunFolder
from m2vae_ros.training.trainer import say
from m2vae_ros.training.training import train
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.header import ModelHeader
from m2vae_ros.vae.model import Architecture, M2VAE

_MIN_COMPLETE_SAMPLES = 2  # with all sensors, in validation and in test, to calibrate with


def train_and_save(
    out: Path, splits: SplitSamples, options: TrainingOptions, architecture: Architecture,
    calibration: CalibrationOptions, *, resume: bool = False, started: float | None = None,
) -> str:
    """
    Train a model and write its file, once after the training and once after the measurements.

    Parameters
    ----------
    out
        The model file.
    splits
        Training, validation and test samples.
    options, architecture, calibration
        How to train, the sizes of the networks, and how to calibrate.
    resume
        Resume from the checkpoint beside the model file, if there is one.
    started
        ``time.monotonic()`` when the work began, for the duration in the header; None = now.

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
            say(f'\n{folder.last}: kept; the same command with --resume continues from it')
        raise
    if not world.is_first:
        return ''
    seconds = monotonic() - started
    header = make_header(model, options, splits, seconds)
    checkpoint.save(out, model, header)  # not to lose the model if measuring it fails
    header, report = add_measurements(model, header, splits, calibration)
    checkpoint.save(out, model, header)
    return f'{report}\n{out}: {out.stat().st_size / 1e6:.1f} MB, {seconds / 60:.0f} min'


def make_header(
    model: M2VAE, options: TrainingOptions, splits: SplitSamples, seconds: float
) -> ModelHeader:
    """Return a trained model's header; `seconds` is how long the training took."""
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


def add_measurements(
    model: M2VAE, header: ModelHeader, splits: SplitSamples, options: CalibrationOptions
) -> tuple[ModelHeader, str]:
    """
    Measure errors and calibration on held-out samples.

    The calibration needs samples with all sensors; without them the temperatures stay 1, and the
    text says so.

    Returns
    -------
    header, report
        The header with ``evaluation`` and ``calibration`` filled in, and tables of both as text.

    """
    test, validation = Selection.complete(splits.test), Selection.complete(splits.validation)
    texts: list[str] = []
    evaluation: dict[str, Any] = {'data': splits.description['test']}
    calibration: dict[str, Any] = {}
    errors = relative_errors(model, splits.test, views=splits.views)
    if errors:
        evaluation['reconstruction'] = [error.to_dict() for error in errors]
        texts.append(
            "Error over the mean predictor's, held-out samples "
            f'(columns: reconstructed, rows: from):\n{format_ratios(errors)}'
        )
    else:
        texts.append('No errors: no test sample has a return to measure them on.')
    enough = min(len(test), len(validation)) >= _MIN_COMPLETE_SAMPLES
    if enough and model.names in model.trained_subsets:
        fitted = fit_temperatures(draw_references(model, validation, options))
        coverage = measure_coverage(draw_references(model, test, options), fitted)
        evaluation['calibration'] = coverage
        calibration = {'data': splits.description['validation'], **fitted}
        texts.append(
            'Share of references within the regions of their posteriors, held-out samples:\n'
            f'{format_coverage(coverage)}'
        )
    else:
        texts.append(
            f'Not calibrated, temperatures stay 1: {len(validation)} validation and {len(test)} '
            f'test samples have all sensors, {_MIN_COMPLETE_SAMPLES} of each are needed.'
        )
    return replace(header, evaluation=evaluation, calibration=calibration), '\n'.join(texts)

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a trained model's file says of it: how it was trained, its errors, its calibration."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from m2vae_ros import __version__
from m2vae_ros.learning import calibration
from m2vae_ros.learning.calibration import CalibrationOptions
from m2vae_ros.learning.evaluation import reconstruction_errors, table
from m2vae_ros.learning.selection import Selection
from m2vae_ros.learning.sources import Splits
from m2vae_ros.learning.training_options import TrainingOptions
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.header import ModelHeader
from m2vae_ros.vae.model import M2VAE

_LEAST = 2  # complete samples to calibrate with


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
    errors = reconstruction_errors(model, splits.test, views=splits.views)
    if errors:
        evaluation['reconstruction'] = [error.to_dict() for error in errors]
        texts.append(
            "Error over the mean predictor's, held-out samples "
            f'(columns: reconstructed, rows: from):\n{table(errors)}'
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

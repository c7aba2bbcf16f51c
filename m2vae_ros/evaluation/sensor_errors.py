# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Reconstruction errors in the sensors' own units, beside predictors that need no model.

These are the errors of ``metrics.json`` and of the report. The predictors are the mean of the
training data, the sensor's measurement just before, and its newest that was at least a second
older. Model and mean are measured on the same sets; the other two on those of them that have an
earlier measurement. The errors in a model's header are others: see `relative_errors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log10

import torch
from torch import Tensor

from m2vae_ros.evaluation.findings import SensorError
from m2vae_ros.evaluation.kept_sets import batches_with, KeptSet, stack
from m2vae_ros.specs import SensorSpec
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.model import M2VAE
from m2vae_ros.vae.subsets import Subset

_GREY_LEVELS = 255
MODEL, MEAN = 'model', 'mean'


@dataclass
class _ErrorSums:
    """Sums over samples of the errors of one predictor for one sensor."""

    samples: int = 0
    absolute: float = 0.0
    squared: float = 0.0
    values: int = 0  # that were compared
    correct_returns: int = 0
    valid: int = 0

    def add(self, truth: SensorBatch, prediction: SensorBatch) -> None:
        """Add a batch; both have the same shapes."""
        valid = truth.valid & prediction.valid
        returned = valid & truth.returned & prediction.returned
        mask = returned.unsqueeze(1).expand_as(truth.values) if _is_image(truth) else returned
        difference = torch.where(mask, prediction.values - truth.values, 0).double()
        self.samples += len(truth.values)
        self.absolute += float(difference.abs().sum())
        self.squared += float(difference.square().sum())
        self.values += int(mask.sum())
        self.correct_returns += int((valid & (truth.returned == prediction.returned)).sum())
        self.valid += int(valid.sum())

    def result(self, spec: SensorSpec, source: Subset, predictor: str) -> SensorError | None:
        """Return the means; None where nothing could be measured."""
        if not self.values:
            return None
        if spec.kind == 'image':
            mean_square = self.squared / self.values
            return SensorError(
                spec.name, source, predictor, 'grey levels',
                _GREY_LEVELS * self.absolute / self.values,
                -10 * log10(mean_square) if mean_square else inf, None, self.samples,
            )
        return SensorError(
            spec.name, source, predictor, 'm', self.absolute / self.values, None,
            self.correct_returns / self.valid, self.samples,
        )


@torch.inference_mode()
def sensor_errors(model: M2VAE, kept: Sequence[KeptSet]) -> list[SensorError]:
    """
    Return the errors of every sensor from every trained subset, by every predictor.

    Parameters
    ----------
    model
        On the CPU, in evaluation mode.
    kept
        Sets to measure on; each subset uses those that have its sensors and the one to
        reconstruct.

    Returns
    -------
    list
        In lattice order of the subsets, then in the model's order of the sensors.

    """
    found = []
    for subset in model.trained_subsets:
        for spec in model.sensors:
            sums = _sums(model, kept, subset, spec.name)
            found += [total.result(spec, subset, name) for name, total in sums.items()]
    return [error for error in found if error is not None]


def _sums(
    model: M2VAE, kept: Sequence[KeptSet], subset: Subset, target: str
) -> dict[str, _ErrorSums]:
    """Return predictor -> errors of one sensor reconstructed from one subset."""
    needed = tuple(name for name in model.names if name in subset or name == target)
    sums: dict[str, _ErrorSums] = {}
    for some, batch in batches_with(kept, needed):
        truth = batch[target]
        latents = model.encode(batch, subset).mean
        predictions = {
            MODEL: as_batch(*model.decode(latents, target).mean()),
            MEAN: as_batch(model.normalisation(target).mean.expand_as(truth.values), None),
        }
        for name, prediction in predictions.items():
            sums.setdefault(name, _ErrorSums()).add(truth, prediction)
        _add_earlier(sums, some, truth, target)
    return sums


def _add_earlier(
    sums: dict[str, _ErrorSums], some: Sequence[KeptSet], truth: SensorBatch, target: str
) -> None:
    """Add the errors of the sensor's earlier measurements, for the sets that have some."""
    for name in some[0].earlier:
        rows = [row for row, each in enumerate(some) if target in each.earlier[name]]
        if rows:
            prediction = stack([some[row].earlier[name][target] for row in rows])
            sums.setdefault(name, _ErrorSums()).add(
                SensorBatch(*(part[rows] for part in truth)), prediction
            )


def as_batch(values: Tensor, return_probability: Tensor | None) -> SensorBatch:
    """
    Return a decoder's mean as measurements.

    Parameters
    ----------
    values
        Expected values, ``(batch, *shape)``.
    return_probability
        ``(batch, *spatial_shape)``, a return where above one half; None = a return everywhere.

    """
    if return_probability is None:
        cells = values[:, 0] if values.dim() == 4 else values  # an image has an axis of colours
        always = torch.ones_like(cells, dtype=torch.bool)
        return SensorBatch(values, always, always)
    returned = return_probability > 0.5
    return SensorBatch(values, torch.ones_like(returned), returned)


def _is_image(batch: SensorBatch) -> bool:
    return batch.values.dim() > batch.valid.dim()

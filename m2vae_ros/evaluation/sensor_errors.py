# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
How far reconstructions lie from what was seen, in the sensors' own units.

Beside the model stand predictors that need none: the mean of the training data, the measurement
of that sensor before, and its newest that was a second old. All are measured on the same samples,
as far as there was a measurement before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, log10

import numpy as np
import torch
from torch import Tensor

from m2vae_ros.evaluation.findings import SensorError
from m2vae_ros.evaluation.passage import KeptSet
from m2vae_ros.specs import Measurement, SensorSpec
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.model import M2VAE
from m2vae_ros.vae.subsets import Subset

_BATCH = 32  # samples at a time
_GREY_LEVELS = 255
MODEL, MEAN = 'model', 'mean'


def stacked(measurements: Sequence[Measurement]) -> SensorBatch:
    """Return measurements of one sensor as a batch."""
    return SensorBatch(*(
        torch.from_numpy(np.stack([getattr(one, part) for one in measurements]))
        for part in ('values', 'valid', 'returned')
    ))


def batches(
    kept: Sequence[KeptSet], sensors: Subset, size: int = _BATCH
) -> Iterator[tuple[list[KeptSet], dict[str, SensorBatch]]]:
    """Give the samples that have some sensors, with the measurements of these."""
    having = [one for one in kept if set(sensors) <= set(one.measurements)]
    for start in range(0, len(having), size):
        some = having[start:start + size]
        yield some, {
            name: stacked([one.measurements[name] for one in some]) for name in sensors
        }


@dataclass
class _Sum:
    """Errors of one sensor by one predictor, added up."""

    samples: int = 0
    absolute: float = 0.0
    squared: float = 0.0
    cells: int = 0
    right: int = 0
    valid: int = 0

    def add(self, truth: SensorBatch, shown: SensorBatch) -> None:
        """Add a batch; both have the same shapes."""
        both = truth.valid & shown.valid
        seen = both & truth.returned & shown.returned
        mask = seen.unsqueeze(1).expand_as(truth.values) if _is_image(truth) else seen
        apart = torch.where(mask, shown.values - truth.values, 0).double()
        self.samples += len(truth.values)
        self.absolute += float(apart.abs().sum())
        self.squared += float(apart.square().sum())
        self.cells += int(mask.sum())
        self.right += int((both & (truth.returned == shown.returned)).sum())
        self.valid += int(both.sum())

    def result(self, spec: SensorSpec, source: Subset, predictor: str) -> SensorError | None:
        """Return the means; None where nothing could be measured."""
        if not self.cells:
            return None
        if spec.kind == 'image':
            mean_square = self.squared / self.cells
            return SensorError(
                spec.name, source, predictor, 'grey levels',
                _GREY_LEVELS * self.absolute / self.cells,
                -10 * log10(mean_square) if mean_square else inf, None, self.samples,
            )
        return SensorError(
            spec.name, source, predictor, 'm', self.absolute / self.cells, None,
            self.right / self.valid, self.samples,
        )


@torch.inference_mode()
def sensor_errors(model: M2VAE, kept: Sequence[KeptSet]) -> list[SensorError]:
    """
    Reconstruct every sensor from every trained subset; in lattice order, then the sensors'.

    Parameters
    ----------
    model
        On the CPU, in evaluation mode.
    kept
        Samples; a sensor counts where it saw something, a subset where all its sensors did.

    """
    found = []
    for subset in model.trained_subsets:
        for spec in model.sensors:
            sums = _sums(model, kept, subset, spec.name)
            found += [total.result(spec, subset, name) for name, total in sums.items()]
    return [error for error in found if error is not None]


def _sums(
    model: M2VAE, kept: Sequence[KeptSet], subset: Subset, target: str
) -> dict[str, _Sum]:
    """Return predictor -> errors of one sensor reconstructed from one subset."""
    needed = tuple(name for name in model.names if name in subset or name == target)
    sums: dict[str, _Sum] = {}
    for some, batch in batches(kept, needed):
        truth = batch[target]
        latents = model.encode(batch, subset).mean
        shown = {
            MODEL: reconstruction(*model.decode(latents, target).mean()),
            MEAN: reconstruction(
                model.normalisation(target).mean.expand_as(truth.values), None
            ),
        }
        for name, one in shown.items():
            sums.setdefault(name, _Sum()).add(truth, one)
        _add_before(sums, some, truth, target)
    return sums


def _add_before(
    sums: dict[str, _Sum], some: Sequence[KeptSet], truth: SensorBatch, target: str
) -> None:
    """Add what the sensor said before, for the samples that have that."""
    for name in some[0].before:
        rows = [row for row, one in enumerate(some) if target in one.before[name]]
        if rows:
            shown = stacked([some[row].before[name][target] for row in rows])
            sums.setdefault(name, _Sum()).add(SensorBatch(*(part[rows] for part in truth)), shown)


def reconstruction(values: Tensor, return_probability: Tensor | None) -> SensorBatch:
    """Return a decoder's mean as measurements; who tells no returns sees one everywhere."""
    if return_probability is None:
        cells = values[:, 0] if values.dim() == 4 else values  # an image's axis of colours
        always = torch.ones_like(cells, dtype=torch.bool)
        return SensorBatch(values, always, always)
    returned = return_probability > 0.5
    return SensorBatch(values, torch.ones_like(returned), returned)


def _is_image(batch: SensorBatch) -> bool:
    return batch.values.dim() > batch.valid.dim()

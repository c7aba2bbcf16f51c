# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Reconstruction errors relative to the mean predictor's: of every sensor from every subset.

These are the errors of a model's header, measured at the end of training on held-out samples, and
of the demo's summary. Those of an evaluation, in the sensors' own units, are in `sensor_errors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from m2vae_ros.samples.dataset import Batch, SampleDataset
from m2vae_ros.samples.sources import View
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.model import M2VAE
from m2vae_ros.vae.subsets import Subset


@dataclass(frozen=True)
class RelativeError:
    """
    The error of one sensor's reconstruction from a subset, beside that of the mean predictor.

    Parameters
    ----------
    sensor
        The sensor that was reconstructed; ``lidar/front`` where only the cells of a view count.
    source
        The subset it was reconstructed from.
    error
        Images: mean squared error of RGB in 0..1. Ranges: mean absolute error of the cells that
        returned, metres.
    mean_predictor_error
        The same error when the mean of the training data is the reconstruction.

    """

    sensor: str
    source: Subset
    error: float
    mean_predictor_error: float

    @property
    def ratio(self) -> float:
        """Error over the mean predictor's: 0 is perfect, 1 no better than the mean."""
        return self.error / self.mean_predictor_error

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types, under the keys of a model's header and of the demo's summary."""
        fields = asdict(self)
        return {
            'sensor': fields['sensor'],
            'from': list(fields['source']),
            'error': fields['error'],
            'mean_predictor_error': fields['mean_predictor_error'],
            'ratio': self.ratio,
        }


@dataclass
class RelativeErrorSum:
    """Sums over samples of the errors of one sensor's reconstructions."""

    error: float = 0.0
    mean_predictor: float = 0.0
    count: int = 0  # values that were compared

    def add(
        self, truth: SensorBatch, reconstruction: Tensor, mean: Tensor, cells: Tensor | None = None
    ) -> None:
        """
        Add a batch.

        Parameters
        ----------
        truth
            What the sensor measured.
        reconstruction
            Expected values, ``(batch, *shape)``.
        mean
            Mean of the training data, ``shape``.
        cells
            The part of the sensor that counts, bool ``spatial_shape``; None = all.

        """
        seen = truth.returned if cells is None else truth.returned & cells
        is_image = truth.values.dim() > seen.dim()
        mask = seen.unsqueeze(1).expand_as(truth.values) if is_image else seen
        power = 2 if is_image else 1
        for predicted, name in ((reconstruction, 'error'), (mean, 'mean_predictor')):
            difference = torch.where(mask, predicted - truth.values, 0).abs().pow(power)
            setattr(self, name, getattr(self, name) + float(difference.double().sum()))
        self.count += int(mask.sum())

    def result(self, sensor: str, source: Subset) -> RelativeError:
        """Return the mean errors; raise ValueError if no cell had a return."""
        if not self.count or not self.mean_predictor:
            raise ValueError(f'{sensor} from {source}: no cell has a return to measure an error')
        return RelativeError(
            sensor, source, self.error / self.count, self.mean_predictor / self.count
        )


@torch.inference_mode()
def relative_errors(
    model: M2VAE,
    dataset: SampleDataset,
    *,
    views: Mapping[str, View] | None = None,
    batch_size: int = 64,
) -> list[RelativeError]:
    """
    Return the error of every sensor's reconstruction from every trained subset.

    A reconstruction is the decoder's mean at the posterior's mean. Each subset is measured on the
    samples that have all its sensors; where there is nothing to measure on, it is left out.

    Parameters
    ----------
    model
        In evaluation mode.
    dataset
        Samples that the model was not trained on; they may lack sensors.
    views
        Sensor -> a part of it to report beside the whole.
    batch_size
        Samples at a time.

    """
    views = views or {}
    sums: dict[tuple[str, Subset], RelativeErrorSum] = {}
    for batch in dataset.loader(batch_size):
        for subset in model.trained_subsets:
            having = _samples_with(batch, [model.names.index(name) for name in subset])
            if not len(having[subset[0]].values):
                continue
            latents = model.encode(having, subset).mean
            for name in model.names:
                _add_errors(sums, model, having, latents, name, subset, views.get(name))
    return [
        total.result(sensor, subset) for (sensor, subset), total in sums.items() if total.count
    ]


def _samples_with(batch: Batch, columns: list[int]) -> dict[str, SensorBatch]:
    """Return the samples that have the sensors of these columns, and maybe lack others."""
    if batch.available is None:
        return batch.sensors
    rows = batch.available[:, columns].all(1)
    return {
        name: SensorBatch(*(part[rows] for part in measured))
        for name, measured in batch.sensors.items()
    }


def _add_errors(
    sums: dict[tuple[str, Subset], RelativeErrorSum],
    model: M2VAE,
    batch: Mapping[str, SensorBatch],
    latents: Tensor,
    name: str,
    subset: Subset,
    view: View | None,
) -> None:
    """Add the errors of one sensor's reconstructions, and those of its view."""
    values, _ = model.decode(latents, name).mean()
    mean = model.normalisation(name).mean
    sums.setdefault((name, subset), RelativeErrorSum()).add(batch[name], values, mean)
    if view is not None:
        cells = torch.from_numpy(view.cells)
        part = sums.setdefault((f'{name}/{view.name}', subset), RelativeErrorSum())
        part.add(batch[name], values, mean, cells)


def format_ratios(errors: list[RelativeError]) -> str:
    """Return the ratios as a table of text: a row for each subset, a column for each sensor."""
    sensors = list(dict.fromkeys(error.sensor for error in errors))
    sources = list(dict.fromkeys(error.source for error in errors))
    ratios = {(error.source, error.sensor): error.ratio for error in errors}
    width = max(len('+'.join(source)) for source in sources)
    lines = [' ' * width + ''.join(f'{sensor:>14}' for sensor in sensors)]
    for source in sources:
        row = [ratios.get((source, sensor)) for sensor in sensors]
        cells = ''.join(f'{"-":>14}' if cell is None else f'{cell:14.3f}' for cell in row)
        lines.append(f'{"+".join(source):{width}}{cells}')
    return '\n'.join(lines)

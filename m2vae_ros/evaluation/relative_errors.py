# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""How well each subset of the sensors shows what every sensor sees."""

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
    The error of one sensor's reconstruction from a subset of the sensors.

    Parameters
    ----------
    sensor
        What was reconstructed, with the view where only a part of it counts: ``lidar/front``.
    source
        The subset it was reconstructed from.
    error
        Images: mean squared error of RGB in 0..1. Ranges: mean absolute error of the cells that
        returned, metres.
    mean_predictor_error
        The same error of the mean of the training data.

    """

    sensor: str
    source: Subset
    error: float
    mean_predictor_error: float

    @property
    def ratio(self) -> float:
        """Error over the mean predictor's."""
        return self.error / self.mean_predictor_error

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types, under the keys of the demo's summary."""
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
    """Errors of one sensor, added up over samples."""

    error: float = 0.0
    mean_predictor: float = 0.0
    count: int = 0

    def add(
        self, truth: SensorBatch, reconstruction: Tensor, mean: Tensor, cells: Tensor | None = None
    ) -> None:
        """
        Add a batch; `cells` (bool, spatial shape) chooses a part of the sensor.

        `truth` and `reconstruction` have a leading axis of samples, `mean` has none.
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
        """Return the mean errors; raise ValueError if nothing was measured."""
        if not self.count or not self.mean_predictor:
            raise ValueError(f'{sensor} from {source}: no cell with a return to measure by')
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
    Reconstruct every sensor from every trained subset: the decoder's mean at the posterior's.

    A subset is judged by the samples that have all its sensors. What no sample can judge is left
    out.

    Parameters
    ----------
    model
        In evaluation mode.
    dataset
        Samples the model was not trained on; they may lack sensors.
    views
        Sensor -> a part of it to report beside the whole.
    batch_size
        Samples at a time.

    """
    views = views or {}
    sums: dict[tuple[str, Subset], RelativeErrorSum] = {}
    for batch in dataset.loader(batch_size):
        for subset in model.trained_subsets:
            having = _having(batch, [model.names.index(name) for name in subset])
            if not len(having[subset[0]].values):
                continue
            latents = model.encode(having, subset).mean
            for name in model.names:
                _add(sums, model, having, latents, name, subset, views.get(name))
    return [
        total.result(sensor, subset) for (sensor, subset), total in sums.items() if total.count
    ]


def _having(batch: Batch, columns: list[int]) -> dict[str, SensorBatch]:
    """Return the samples that have some sensors; what else they lack says nothing."""
    if batch.available is None:
        return batch.sensors
    rows = batch.available[:, columns].all(1)
    return {
        name: SensorBatch(*(part[rows] for part in measured))
        for name, measured in batch.sensors.items()
    }


def _add(
    sums: dict[tuple[str, Subset], RelativeErrorSum],
    model: M2VAE,
    batch: Mapping[str, SensorBatch],
    latents: Tensor,
    name: str,
    subset: Subset,
    view: View | None,
) -> None:
    values, _ = model.decode(latents, name).mean()
    mean = model.normalisation(name).mean
    sums.setdefault((name, subset), RelativeErrorSum()).add(batch[name], values, mean)
    if view is not None:
        cells = torch.from_numpy(view.cells)
        part = sums.setdefault((f'{name}/{view.name}', subset), RelativeErrorSum())
        part.add(batch[name], values, mean, cells)


def format_ratios(errors: list[RelativeError]) -> str:
    """Return the ratios as text: a row for each subset, a column for each sensor."""
    sensors = list(dict.fromkeys(error.sensor for error in errors))
    sources = list(dict.fromkeys(error.source for error in errors))
    ratios = {(error.source, error.sensor): error.ratio for error in errors}
    wide = max(len('+'.join(source)) for source in sources)
    lines = [' ' * wide + ''.join(f'{sensor:>14}' for sensor in sensors)]
    for source in sources:
        row = [ratios.get((source, sensor)) for sensor in sensors]
        cells = ''.join(f'{"-":>14}' if cell is None else f'{cell:14.3f}' for cell in row)
        lines.append(f'{"+".join(source):{wide}}{cells}')
    return '\n'.join(lines)

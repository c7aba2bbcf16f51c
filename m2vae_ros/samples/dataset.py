# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Data sets of samples, which are read a batch at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler, SequentialSampler

from m2vae_ros.specs import SensorSpec
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.model import M2VAE

Arrays = Mapping[str, Sequence[NDArray[np.generic]]]  # sensor -> values, valid, returned


class Batch(NamedTuple):
    """
    The measurements of a batch of samples.

    Parameters
    ----------
    sensors
        Sensor -> its measurements; where a sample lacks a sensor, no cell is valid.
    available
        Which sensors each sample has, bool ``(batch, N)`` in the model's order; None = all.

    """

    sensors: dict[str, SensorBatch]
    available: Tensor | None = None


class SampleDataset(Dataset[Batch]):
    """
    Samples of several sensors, held in memory.

    Parameters
    ----------
    sensors
        The model's sensors.
    arrays
        Sensor -> (values, valid, returned), each with a leading axis of samples. Images may be
        stored as grey levels, uint8 0..255; batches have them in 0..1.

    """

    def __init__(self, sensors: Sequence[SensorSpec], arrays: Arrays) -> None:
        self.sensors = tuple(sensors)
        self._tensors = {
            spec.name: SensorBatch(*(torch.from_numpy(part) for part in arrays[spec.name]))
            for spec in self.sensors
        }

    def __len__(self) -> int:
        return len(self._tensors[self.sensors[0].name].values)

    def __getitem__(self, indices: Sequence[int]) -> Batch:
        """Return the samples at these indices."""
        rows = torch.as_tensor(indices)
        return Batch({
            name: SensorBatch(
                to_model_scale(stored.values[rows]), stored.valid[rows], stored.returned[rows]
            )
            for name, stored in self._tensors.items()
        })

    def availability(self) -> NDArray[np.bool_]:
        """Return which sensors each sample has, bool ``(samples, sensors)``."""
        return np.ones((len(self), len(self.sensors)), np.bool_)

    def loader(self, batch_size: int) -> DataLoader[Batch]:
        """Return a loader of all samples, in order; the last batch may be smaller."""
        return self.in_batches(BatchSampler(SequentialSampler(self), batch_size, drop_last=False))

    def in_batches(self, batches: Sampler[list[int]]) -> DataLoader[Batch]:
        """Return a loader of the batches that a sampler chooses."""
        return DataLoader(self, sampler=batches, batch_size=None, collate_fn=None)

    def fit_normalisation(self, model: M2VAE, *, block: int = 128) -> None:
        """
        Set the mean array and the scale by which a model normalises each sensor.

        Parameters
        ----------
        model
            Its normalisation is changed in place.
        block
            Samples read at a time.

        Raises
        ------
        ValueError
            If no sample has a return of some sensor.

        """
        sums = {spec.name: _Moments.zeros(spec) for spec in self.sensors}
        for start in range(0, len(self), block):
            samples = self[range(start, min(start + block, len(self)))]
            for name, batch in samples.sensors.items():
                sums[name].add(batch)
        for name, moments in sums.items():
            if not moments.count.any():
                raise ValueError(
                    f'{name}: none of {len(self)} samples has a return of it; a model needs '
                    f'measurements of all its sensors'
                )
            model.normalisation(name).fit(*moments.mean_and_scale())


@dataclass
class _Moments:
    """Cell by cell, sums over the samples in which a sensor had a return there."""

    count: Tensor
    total: Tensor
    squares: Tensor

    @classmethod
    def zeros(cls, spec: SensorSpec) -> _Moments:
        values = torch.zeros(spec.shape, dtype=torch.float64)
        return cls(torch.zeros(spec.spatial_shape, dtype=torch.float64), values, values.clone())

    def add(self, batch: SensorBatch) -> None:
        values = batch.values.double()
        values.masked_fill_(~_with_colour_axis(batch.returned, values), 0)
        self.total += values.sum(0)
        self.squares += values.square_().sum(0)
        self.count += batch.returned.sum(0)

    def mean_and_scale(self) -> tuple[Tensor, Tensor]:
        """Return each cell's mean, and one deviation from these for all cells."""
        cells = _with_colour_axis(self.count.unsqueeze(0), self.total.unsqueeze(0))[0]
        cells = cells.expand_as(self.total)
        overall = self.total.sum() / cells.sum().clamp(min=1)
        mean = torch.where(cells > 0, self.total / cells.clamp(min=1), overall)
        variance = (self.squares - cells * mean.square()).sum() / cells.sum().clamp(min=1)
        return mean.float(), variance.clamp(min=1e-6).sqrt().float()


def to_model_scale(values: Tensor) -> Tensor:
    """Return stored values as a model takes them: grey levels in 0..1, ranges in metres."""
    return values.float() / 255 if values.dtype == torch.uint8 else values


def _with_colour_axis(mask: Tensor, values: Tensor) -> Tensor:
    """Return a mask of cells with a colour axis if the values have one."""
    return mask if mask.dim() == values.dim() else mask.unsqueeze(1)

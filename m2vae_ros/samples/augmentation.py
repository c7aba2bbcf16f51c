# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Augmentation: training samples varied as the sensors themselves vary.

That is exposure, contrast, white balance and noise of a camera, and noise and lost returns of
ranges. Changes of the scene, such as mirroring it, would make one sensor contradict the others
and are not offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Generator, Tensor

from m2vae_ros.samples.dataset import Batch, SampleDataset
from m2vae_ros.specs import SensorSpec
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.model import M2VAE


@dataclass(frozen=True)
class AugmentationOptions:
    """
    How training samples are varied; by default they are not.

    Parameters
    ----------
    exposure
        Images: standard deviation of the exposure, in stops (1 = twice as bright).
    contrast
        Images: standard deviation of the contrast, as a share of it.
    white_balance
        Images: standard deviation of each colour's gain, as a share of it.
    image_noise
        Images: standard deviation of each pixel's noise, of the full scale 1.
    range_noise
        Scans and clouds: standard deviation of each range's noise, in metres.
    relative_range_noise
        Scans and clouds: the same as a share of the range.
    lost_returns
        Scans and clouds: share of the returns that are lost. A lost one reads as no return.

    """

    exposure: float = 0.0
    contrast: float = 0.0
    white_balance: float = 0.0
    image_noise: float = 0.0
    range_noise: float = 0.0
    relative_range_noise: float = 0.0
    lost_returns: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < 1:
                raise ValueError(f'{name} {value}: must be 0 or more and below 1')

    @property
    def is_active(self) -> bool:
        """Whether any option varies something."""
        return any(value > 0 for value in vars(self).values())


class AugmentedSamples(SampleDataset):
    """
    Samples that are varied anew each time they are read.

    The random draws depend on the seed and on the indices of the batch, in their order; not on
    the process, nor on what was read before. So a training that is resumed sees the same samples
    as one that was not interrupted.

    Parameters
    ----------
    samples
        The samples as measured; `fit_normalisation` uses these.
    options
        How to vary them.
    seed
        Seed of the random draws.

    """

    def __init__(
        self, samples: SampleDataset, options: AugmentationOptions, *, seed: int = 0
    ) -> None:
        self.sensors = samples.sensors
        self.samples, self.options, self.seed = samples, options, seed

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, indices: Sequence[int]) -> Batch:
        """Return the samples at these indices, varied."""
        batch = self.samples[indices]
        content = np.asarray(indices, np.int64).tobytes()
        digest = blake2b(content, digest_size=8, salt=str(self.seed).encode()[:16]).digest()
        generator = Generator().manual_seed(int.from_bytes(digest, 'little'))
        return batch._replace(sensors={
            spec.name: augment(spec, batch.sensors[spec.name], self.options, generator)
            for spec in self.sensors
        })

    def availability(self) -> NDArray[np.bool_]:
        """Return which sensors each sample has, bool ``(samples, sensors)``."""
        return self.samples.availability()

    def fit_normalisation(self, model: M2VAE, *, block: int = 128) -> None:
        """Set the mean array and the scale of a model's sensors to those of the measurements."""
        self.samples.fit_normalisation(model, block=block)


def augment(
    spec: SensorSpec, batch: SensorBatch, options: AugmentationOptions, generator: Generator
) -> SensorBatch:
    """
    Return varied measurements of a sensor, limited as a message would be when it is decoded.

    Parameters
    ----------
    spec
        The sensor.
    batch
        Its measurements; they are not changed. Cells that are not valid stay so.
    options
        How to vary them.
    generator
        Source of the random draws.

    """
    if spec.kind == 'image':
        return _augment_image(batch, options, generator)
    return _augment_ranges(spec, batch, options, generator)


def _augment_image(
    batch: SensorBatch, options: AugmentationOptions, generator: Generator
) -> SensorBatch:
    """Vary the exposure, colours and noise of images; they saturate at 0 and 1."""
    values = batch.values  # (batch, 3, rows, columns)
    count = len(values)
    gain = 2 ** (options.exposure * _normal((count, 1, 1, 1), generator))
    gain = gain * (1 + options.white_balance * _normal((count, 3, 1, 1), generator))
    contrast = 1 + options.contrast * _normal((count, 1, 1, 1), generator)
    seen = batch.valid.unsqueeze(1)
    values = values * gain
    if options.contrast:
        total = torch.where(seen, values, 0).sum((1, 2, 3), keepdim=True)
        mean = total / (3 * seen.sum((1, 2, 3), keepdim=True)).clamp(min=1)
        values = mean + contrast * (values - mean)
    if options.image_noise:
        values = values + options.image_noise * _normal(values.shape, generator)
    return batch._replace(values=torch.where(seen, values.clamp(0, 1), 0))


def _augment_ranges(
    spec: SensorSpec, batch: SensorBatch, options: AugmentationOptions, generator: Generator
) -> SensorBatch:
    """Vary ranges: above range_max is no return, below range_min is not valid (REP-117)."""
    nearest, farthest = (spec.number(key) for key in ('range_min', 'range_max'))
    values, returned, valid = batch.values, batch.returned, batch.valid
    if options.range_noise or options.relative_range_noise:
        deviation = (options.range_noise ** 2 + (options.relative_range_noise * values) ** 2)
        values = values + deviation.sqrt() * _normal(values.shape, generator)
        valid = valid & ~(returned & (values < nearest))
        returned = returned & valid & (values <= farthest)
    if options.lost_returns:
        returned = returned & (torch.rand(values.shape, generator=generator)
                               >= options.lost_returns)
    return SensorBatch(torch.where(returned, values, 0), valid, returned)


def _normal(shape: Sequence[int], generator: Generator) -> Tensor:
    return torch.randn(*shape, generator=generator)


def with_augmentation(
    samples: SampleDataset, options: AugmentationOptions | None, seed: int
) -> SampleDataset:
    """Return the samples, varied if the options say so."""
    if options is None or not options.is_active:
        return samples
    return AugmentedSamples(samples, options, seed=seed)

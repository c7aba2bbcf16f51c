# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Samples as the sensors might have measured them on another day.

Only what a sensor itself varies in is varied: exposure, contrast, white balance and noise of a
camera, noise and lost returns of what measures ranges. What cannot be told from one sensor alone,
such as a mirrored scene, would contradict the other sensors and is not offered.
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
    How samples to learn from are varied; nothing unless asked for.

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
        Scans and clouds: share of the returns that do not come back. What is lost reads as what
        the sensor says where nothing is.

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
    def vary(self) -> bool:
        """Whether anything is varied."""
        return any(value > 0 for value in vars(self).values())


class AugmentedSamples(SampleDataset):
    """
    Samples that are varied each time they are taken.

    What is drawn depends on the seed and on the samples that are asked for together, in their
    order: not on which process asks, nor on what was asked before. So a training that is taken up
    again, or read by several processes, sees what it would have seen.

    Parameters
    ----------
    samples
        As they were measured. Statistics are theirs.
    options
        How to vary them.
    seed
        Of the variations.

    """

    def __init__(
        self, samples: SampleDataset, options: AugmentationOptions, *, seed: int = 0
    ) -> None:
        self.sensors = samples.sensors
        self.samples, self.options, self.seed = samples, options, seed

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, indices: Sequence[int]) -> Batch:
        """Return the samples of some indices, varied."""
        batch = self.samples[indices]
        asked = np.asarray(indices, np.int64).tobytes()
        digest = blake2b(asked, digest_size=8, salt=str(self.seed).encode()[:16]).digest()
        generator = Generator().manual_seed(int.from_bytes(digest, 'little'))
        return batch._replace(sensors={
            spec.name: augmented(spec, batch.sensors[spec.name], self.options, generator)
            for spec in self.sensors
        })

    def availability(self) -> NDArray[np.bool_]:
        """Return which sensors each sample has, ``(samples, sensors)``."""
        return self.samples.availability()

    def fit_normalisation(self, model: M2VAE, *, block: int = 128) -> None:
        """Give a model's sensors the mean array and the scale of the samples as measured."""
        self.samples.fit_normalisation(model, block=block)


def augmented(
    spec: SensorSpec, batch: SensorBatch, options: AugmentationOptions, generator: Generator
) -> SensorBatch:
    """
    Return measurements of a sensor, varied; its limits hold as they do for a message.

    Parameters
    ----------
    spec
        Of the sensor.
    batch
        As measured; not changed. What is not valid stays so.
    options
        How to vary it.
    generator
        What is drawn from.

    """
    if spec.kind == 'image':
        return _photometric(batch, options, generator)
    return _ranges(spec, batch, options, generator)


def _photometric(
    batch: SensorBatch, options: AugmentationOptions, generator: Generator
) -> SensorBatch:
    """Vary an image as a camera does, which saturates."""
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


def _ranges(
    spec: SensorSpec, batch: SensorBatch, options: AugmentationOptions, generator: Generator
) -> SensorBatch:
    """Vary ranges; beyond range_max is no return, below range_min says nothing (REP-117)."""
    nearest, farthest = (float(spec.geometry[key]) for key in ('range_min', 'range_max'))
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
    """Return the samples, varied as the options say; None = as they are."""
    if options is None or not options.vary:
        return samples
    return AugmentedSamples(samples, options, seed=seed)

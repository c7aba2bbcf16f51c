# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What every compared model is built from, and what the benchmarks ask of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn, Tensor
from torch.distributions import Distribution

from m2vae_ros.vae.likelihoods import Likelihood, SensorBatch
from m2vae_ros.vae.subsets import Subset

Batch = Mapping[str, SensorBatch]


class Packing(Protocol):
    """How a sensor's measurements become the one tensor that the library carries about."""

    def pack(self, batch: SensorBatch) -> Tensor:
        """Return a tensor ``(batch, ...)``."""

    def unpack(self, packed: Tensor) -> SensorBatch:
        """Return what was packed."""


class ValuesOnly:
    """For sensors of which nothing is ever missing."""

    def pack(self, batch: SensorBatch) -> Tensor:
        """Return the values."""
        return batch.values

    def unpack(self, packed: Tensor) -> SensorBatch:
        """Return the values with masks that nobody may look at."""
        return SensorBatch(packed, packed, packed)


@dataclass(frozen=True)
class WithMasks:
    """
    For sensors with cells that are not valid or returned nothing.

    Parameters
    ----------
    shape, spatial_shape
        Of the values and of the masks, see `specs.SensorSpec`.

    """

    shape: tuple[int, ...]
    spatial_shape: tuple[int, ...]

    def pack(self, batch: SensorBatch) -> Tensor:
        """Return values and masks, flat, one behind the other."""
        return torch.cat([part.flatten(1).float() for part in batch], 1)

    def unpack(self, packed: Tensor) -> SensorBatch:
        """Return values and masks."""
        cells = torch.Size(self.spatial_shape).numel()
        values, valid, returned = packed.split([packed.shape[1] - 2 * cells, cells, cells], 1)
        return SensorBatch(
            values.unflatten(1, self.shape),
            valid.unflatten(1, self.spatial_shape) > 0.5,
            returned.unflatten(1, self.spatial_shape) > 0.5,
        )


@dataclass(frozen=True)
class Networks:
    """
    Makers of the networks that every model is built from.

    Parameters
    ----------
    names
        The sensors.
    latent
        Size of the latent vector.
    trunk, decoder
        Sensor -> a fresh network, see `vae.multimodal.MultimodalVAE`.
    head
        Number of sensors -> a fresh network from their features to ``(batch, 2 * latent)``.
    packing
        Sensor -> how its measurements travel through the library.

    """

    names: tuple[str, ...]
    latent: int
    trunk: Callable[[str], nn.Module]
    head: Callable[[int], nn.Module]
    decoder: Callable[[str], nn.Module]
    packing: Callable[[str], Packing]


class Model(Protocol):
    """What the benchmarks ask of a model."""

    names: tuple[str, ...]

    def loss(self, batch: Batch, warmed_up: float = 1.0) -> Tensor:
        """Return what training minimises, per sample, the divergences annealed by a share."""

    def posterior(self, batch: Batch, subset: Subset) -> Distribution:
        """Return q(z|x_S), one distribution over latent vectors per sample."""

    def prior(self) -> Distribution:
        """Return p(z)."""

    def decode(self, latents: Tensor, sensor: str) -> Likelihood:
        """Return p(x_m|z) for latents ``(..., latent)``."""

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The networks that all compared models are built from, and the interface of a model."""

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
    """How a sensor's measurements become the single tensor that the library passes around."""

    def pack(self, batch: SensorBatch) -> Tensor:
        """Return a tensor ``(batch, ...)``."""

    def unpack(self, packed: Tensor) -> SensorBatch:
        """Return the measurements that were packed."""


class ValuesOnly:
    """For sensors without missing cells."""

    def pack(self, batch: SensorBatch) -> Tensor:
        """Return the values."""
        return batch.values

    def unpack(self, packed: Tensor) -> SensorBatch:
        """Return the values; the masks have no meaning."""
        return SensorBatch(packed, packed, packed)


@dataclass(frozen=True)
class WithMasks:
    """
    For sensors with cells that are not valid or have no return.

    Parameters
    ----------
    shape, spatial_shape
        Shapes of the values and of the masks, see `specs.SensorSpec`.

    """

    shape: tuple[int, ...]
    spatial_shape: tuple[int, ...]

    def pack(self, batch: SensorBatch) -> Tensor:
        """Return values and masks, flattened and concatenated."""
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
    Functions that make the networks of a model.

    Parameters
    ----------
    names
        Names of the sensors.
    latent
        Size of the latent vector.
    trunk, decoder
        Sensor -> a new network, see `vae.multimodal.MultimodalVAE`.
    head
        Number of sensors -> a new network from their features to ``(batch, 2 * latent)``.
    packing
        Sensor -> how its measurements are packed for the library.

    """

    names: tuple[str, ...]
    latent: int
    trunk: Callable[[str], nn.Module]
    head: Callable[[int], nn.Module]
    decoder: Callable[[str], nn.Module]
    packing: Callable[[str], Packing]


class Model(Protocol):
    """The interface of every compared model."""

    names: tuple[str, ...]

    def loss(self, batch: Batch, warmed_up: float = 1.0) -> Tensor:
        """Return the loss per sample; `warmed_up` scales the divergences during annealing."""

    def posterior(self, batch: Batch, subset: Subset) -> Distribution:
        """Return q(z|x_S), one distribution over latent vectors per sample."""

    def prior(self) -> Distribution:
        """Return p(z)."""

    def decode(self, latents: Tensor, sensor: str) -> Likelihood:
        """Return p(x_m|z) for latents ``(..., latent)``."""

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""M2VAE: an encoder for every subset of the sensors, a decoder for every sensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from m2vae_ros.specs import SensorSpec
from m2vae_ros.vae.multimodal import MultimodalVAE
from m2vae_ros.vae.networks import Decoder, Normalisation, Trunk
from m2vae_ros.vae.subsets import lattice, Subset

HEADS = ('product', 'separate')


@dataclass(frozen=True)
class Architecture:
    """
    Sizes and kind of the networks.

    Parameters
    ----------
    latent_size
        Dimensions of the latent vector z.
    feature_size
        Size of a trunk's output and of the decoders' hidden layer.
    hidden_size
        Size of the hidden layers of a subset's encoder head.
    heads
        ``product``: the head of several sensors corrects the product of their single encoders.
        ``separate``: it gives mean and variance by itself.

    """

    latent_size: int = 96
    feature_size: int = 256
    hidden_size: int = 256
    heads: str = 'product'

    def __post_init__(self) -> None:
        for name in ('latent_size', 'feature_size', 'hidden_size'):
            size = getattr(self, name)
            if type(size) is not int or size < 1:
                raise ValueError(f'architecture {name}: {size!r} must be a positive integer')
        if self.heads not in HEADS:
            raise ValueError(f'architecture heads: {self.heads!r} must be one of {HEADS}')


class M2VAE(MultimodalVAE):
    """
    The model of some sensors: for each its kind's trunk and decoder, and a head for each subset.

    Parameters
    ----------
    sensors
        The sensors, in the model's order.
    architecture
        Sizes of the networks.
    trained_subsets
        The subsets whose encoders exist; None = all 2^N - 1.

    Attributes
    ----------
    temperatures
        Trained subset -> factor that calibrates the variances of its posterior, from the model's
        file; a subset that is not named has 1. `encode` does not apply them, the engine does.

    Raises
    ------
    ValueError
        If two sensors share a name or a subset is none of the lattice.

    """

    def __init__(
        self,
        sensors: Sequence[SensorSpec],
        architecture: Architecture | None = None,
        trained_subsets: Sequence[Subset] | None = None,
    ) -> None:
        size = architecture or Architecture()
        names = [spec.name for spec in sensors]
        lattice(names)  # each name once
        shared = {spec.name: Normalisation(spec) for spec in sensors}
        super().__init__(
            {spec.name: Trunk(spec, size.feature_size, shared[spec.name]) for spec in sensors},
            lambda subset: _head(len(subset), size),
            {
                spec.name: Decoder(spec, size.latent_size, size.feature_size, shared[spec.name])
                for spec in sensors
            },
            trained_subsets,
            product_of_experts=size.heads == 'product',
        )
        self.sensors = tuple(sensors)
        self.temperatures: dict[Subset, float] = {}
        self.architecture = size

    @property
    def latent_size(self) -> int:
        """Dimensions of the latent vector."""
        return self.architecture.latent_size

    def sensor(self, name: str) -> SensorSpec:
        """Return the sensor of a name; raise ValueError if there is none."""
        if name not in self.names:
            raise ValueError(f'sensor {name!r}: the model has {", ".join(self.names)}')
        return self.sensors[self.names.index(name)]

    def normalisation(self, name: str) -> Normalisation:
        """Return the buffers that a sensor's trunk and decoder share."""
        module = self.decoders[name].normalisation
        assert isinstance(module, Normalisation)
        return module


def _head(sensors: int, size: Architecture) -> nn.Sequential:
    last = nn.Linear(size.hidden_size, 2 * size.latent_size)
    outline = last.weight.is_meta  # has no values; to draw them would import for a second
    if sensors > 1 and size.heads == 'product' and not outline:
        nn.init.normal_(last.weight, std=1e-3)  # begins as the product
        nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(sensors * size.feature_size, size.hidden_size),
        nn.SiLU(),
        nn.LayerNorm(size.hidden_size),
        nn.Linear(size.hidden_size, size.hidden_size),
        nn.SiLU(),
        last,
    )

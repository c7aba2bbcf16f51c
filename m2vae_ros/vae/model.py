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
        ``product``: the head of several sensors corrects the product of their single-sensor
        encoders. ``separate``: it gives mean and log variance itself.

    Raises
    ------
    ValueError
        If a size is not a positive integer or the kind of heads is unknown.

    Examples
    --------
    >>> Architecture(latent_size=8)
    Architecture(latent_size=8, feature_size=256, hidden_size=256, heads='product')

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
    The model of given sensors: the trunk and decoder of each by its kind, a head for each subset.

    Parameters
    ----------
    sensors
        The sensors, in the model's order.
    architecture
        Sizes and kind of the networks; None = the default.
    trained_subsets
        The subsets whose encoders exist; None = all 2^N - 1.

    Attributes
    ----------
    temperatures
        Trained subset -> factor that calibrates the variances of its posterior, from the model's
        file; 1 for subsets that are not listed. `encode` does not apply them, the engine does.

    Raises
    ------
    ValueError
        If two sensors share a name or a trained subset is not in the lattice.

    Examples
    --------
    >>> import torch
    >>> camera = SensorSpec('camera', 'image', 'image_raw', 'camera', (3, 4, 4))
    >>> model = M2VAE([camera], Architecture(latent_size=2)).eval()
    >>> image, _ = model.decode(torch.zeros(5, 2), 'camera').mean()
    >>> model.trained_subsets, image.shape
    ((('camera',),), torch.Size([5, 3, 4, 4]))

    """

    def __init__(
        self,
        sensors: Sequence[SensorSpec],
        architecture: Architecture | None = None,
        trained_subsets: Sequence[Subset] | None = None,
    ) -> None:
        size = architecture or Architecture()
        names = [spec.name for spec in sensors]
        lattice(names)  # raises if a name occurs twice
        shared = {spec.name: Normalisation(spec) for spec in sensors}
        super().__init__(
            {spec.name: Trunk(spec, size.feature_size, shared[spec.name]) for spec in sensors},
            lambda subset: _make_head(len(subset), size),
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
        """Return the sensor with this name; raise ValueError if there is none."""
        if name not in self.names:
            raise ValueError(f'sensor {name!r}: the model has {", ".join(self.names)}')
        return self.sensors[self.names.index(name)]

    def normalisation(self, name: str) -> Normalisation:
        """Return the normalisation that a sensor's trunk and decoder share."""
        module = self.decoders[name].normalisation
        assert isinstance(module, Normalisation)
        return module


def _make_head(sensors: int, size: Architecture) -> nn.Sequential:
    last = nn.Linear(size.hidden_size, 2 * size.latent_size)
    meta = last.weight.is_meta  # has no values, and drawing them would import for a second
    if sensors > 1 and size.heads == 'product' and not meta:
        nn.init.normal_(last.weight, std=1e-3)  # starts close to the product
        nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(sensors * size.feature_size, size.hidden_size),
        nn.SiLU(),
        nn.LayerNorm(size.hidden_size),
        nn.Linear(size.hidden_size, size.hidden_size),
        nn.SiLU(),
        last,
    )

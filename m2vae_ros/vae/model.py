# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""M2VAE: an encoder for every subset of the sensors, a decoder for every sensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn, Tensor

from m2vae_ros.specs import SensorSpec
from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.likelihoods import Likelihood, SensorBatch
from m2vae_ros.vae.networks import Decoder, Normalisation, Trunk
from m2vae_ros.vae.subsets import lattice, Subset


@dataclass(frozen=True)
class Architecture:
    """
    Sizes of the networks.

    Parameters
    ----------
    latent_size
        Dimensions of the latent vector z.
    feature_size
        Size of a trunk's output and of the decoders' hidden layer.
    hidden_size
        Size of the hidden layers of a subset's encoder head.

    """

    latent_size: int = 96
    feature_size: int = 256
    hidden_size: int = 256

    def __post_init__(self) -> None:
        for name, size in vars(self).items():
            if not isinstance(size, int) or size < 1:
                raise ValueError(f'architecture {name}: {size!r} must be a positive integer')


class M2VAE(nn.Module):
    """
    Posteriors q(z|x_S) for every subset S of the sensors and likelihoods p(x_m|z) for each.

    Parameters
    ----------
    sensors
        The sensors, in the model's order.
    architecture
        Sizes of the networks.
    trained_subsets
        The subsets whose encoders exist; None = all 2^N - 1.

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
        super().__init__()
        self.sensors = tuple(sensors)
        self.names = tuple(spec.name for spec in self.sensors)
        self.architecture = architecture or Architecture()
        every = lattice(self.names)
        chosen = every if trained_subsets is None else [tuple(s) for s in trained_subsets]
        unknown = [subset for subset in chosen if subset not in every]
        if unknown or not chosen:
            raise ValueError(f'trained subsets {unknown or chosen!r}: must be some of {every}')
        self.trained_subsets = tuple(subset for subset in every if subset in chosen)
        size = self.architecture
        normalisations = {spec.name: Normalisation(spec) for spec in self.sensors}
        self.trunks = nn.ModuleDict({
            spec.name: Trunk(spec, size.feature_size, normalisations[spec.name])
            for spec in self.sensors
        })
        self.heads = nn.ModuleDict({
            '+'.join(subset): _head(len(subset), size) for subset in self.trained_subsets
        })
        self.decoders = nn.ModuleDict({
            spec.name: Decoder(
                spec, size.latent_size, size.feature_size, normalisations[spec.name]
            )
            for spec in self.sensors
        })

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

    def encode(self, batch: Mapping[str, SensorBatch], subset: Subset) -> DiagonalGaussian:
        """
        Return q(z|x_S), tensors ``(batch, latent)``.

        Parameters
        ----------
        batch
            Sensor -> measurements; only those of the subset are looked at.
        subset
            A trained subset, in the model's order.

        Raises
        ------
        ValueError
            If the subset has no trained encoder.

        """
        if subset not in self.trained_subsets:
            raise ValueError(
                f'subset {subset}: no trained encoder; trained are {self.trained_subsets}'
            )
        features = {name: self.trunks[name](batch[name]) for name in subset}
        return self._posterior(features, subset)

    def decode(self, latents: Tensor, sensor: str) -> Likelihood:
        """Return p(x_m|z) for latents ``(..., latent)``."""
        likelihood: Likelihood = self.decoders[sensor](latents)
        return likelihood

    def forward(
        self, batch: Mapping[str, SensorBatch], generator: torch.Generator | None = None
    ) -> tuple[dict[Subset, DiagonalGaussian], dict[Subset, dict[str, Tensor]]]:
        """
        Return what `objectives.bound` wants, from one sample of each posterior.

        Each trunk runs once, and each decoder once on the stacked samples of all trained subsets
        that contain its sensor.

        Returns
        -------
        posteriors, log_likelihoods
            Subset -> q(z|x_S), and subset -> sensor -> log p(x_m|z) with z ~ q_S, ``(batch,)``.

        """
        features = {name: self.trunks[name](batch[name]) for name in self.names}
        posteriors = {
            subset: self._posterior(features, subset) for subset in self.trained_subsets
        }
        latents = {subset: q.rsample(generator) for subset, q in posteriors.items()}
        log_likelihoods: dict[Subset, dict[str, Tensor]] = {s: {} for s in self.trained_subsets}
        for name in self.names:
            containing = [subset for subset in self.trained_subsets if name in subset]
            if not containing:
                continue
            stacked = torch.stack([latents[subset] for subset in containing])
            scores = self.decode(stacked, name).log_prob(batch[name])
            for subset, score in zip(containing, scores.unbind(), strict=True):
                log_likelihoods[subset][name] = score
        return posteriors, log_likelihoods

    def _posterior(self, features: Mapping[str, Tensor], subset: Subset) -> DiagonalGaussian:
        joined = torch.cat([features[name] for name in subset], 1)
        mean, log_variance = self.heads['+'.join(subset)](joined).float().chunk(2, 1)
        return DiagonalGaussian(mean, log_variance)


def _head(sensors: int, size: Architecture) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(sensors * size.feature_size, size.hidden_size),
        nn.SiLU(),
        nn.LayerNorm(size.hidden_size),
        nn.Linear(size.hidden_size, size.hidden_size),
        nn.SiLU(),
        nn.Linear(size.hidden_size, 2 * size.latent_size),
    )

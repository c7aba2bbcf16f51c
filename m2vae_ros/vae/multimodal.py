# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A variational autoencoder of any networks with an encoder for every subset of its sensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import nn, Tensor

from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.information import bayes_products
from m2vae_ros.vae.likelihoods import Likelihood, SensorBatch
from m2vae_ros.vae.subsets import lattice, Subset

Batch = Mapping[str, SensorBatch]


class MultimodalVAE(nn.Module):
    """
    Posteriors q(z|x_S) for subsets S of the sensors and likelihoods p(x_m|z) for each sensor.

    Parameters
    ----------
    trunks
        Sensor -> network from a `SensorBatch` to features ``(batch, features)``, which all
        subsets share. Their order is the model's order of the sensors.
    head
        Makes the encoder head of a subset: a network from the concatenated features of its
        sensors to mean and log variance, ``(batch, 2 * latent)``.
    decoders
        Sensor -> network from latents ``(..., latent)`` to a `Likelihood`.
    trained_subsets
        The subsets whose encoders exist; None = all 2^N - 1.
    product_of_experts
        Whether the head of several sensors gives a correction to mean and log variance of the
        product of their single-sensor encoders, p prod_m (q_m / p), rather than mean and log
        variance themselves. The product is the exact posterior where the single ones are exact,
        so the head learns only what they lack; initialise it near zero. Single-sensor encoders
        then exist even where no objective trains them on their own.

    Raises
    ------
    ValueError
        If a trained subset is not in the lattice.

    Examples
    --------
    >>> networks = {'imu': nn.Identity(), 'odometry': nn.Identity()}  # in place of real ones
    >>> model = MultimodalVAE(networks, lambda s: nn.Linear(3 * len(s), 2 * 8), networks)
    >>> features = {'imu': torch.zeros(5, 3), 'odometry': torch.zeros(5, 3)}
    >>> model.encode(features, ('imu', 'odometry')).mean.shape
    torch.Size([5, 8])

    """

    def __init__(
        self,
        trunks: Mapping[str, nn.Module],
        head: Callable[[Subset], nn.Module],
        decoders: Mapping[str, nn.Module],
        trained_subsets: Sequence[Subset] | None = None,
        *,
        product_of_experts: bool = False,
    ) -> None:
        super().__init__()
        self.names = tuple(trunks)
        every = lattice(self.names)
        wanted = every if trained_subsets is None else [tuple(s) for s in trained_subsets]
        unknown = [subset for subset in wanted if subset not in every]
        if unknown or not wanted:
            raise ValueError(f'trained subsets {unknown or wanted!r}: must be some of {every}')
        self.trained_subsets = tuple(subset for subset in every if subset in wanted)
        self._trained = frozenset(self.trained_subsets)
        self.trunks = nn.ModuleDict(trunks)
        self.product_of_experts = product_of_experts
        joint = [subset for subset in self.trained_subsets if len(subset) > 1]
        experts = {(name,) for subset in joint for name in subset if product_of_experts}
        used = experts.union(self.trained_subsets)
        self.heads = nn.ModuleDict({'+'.join(s): head(s) for s in every if s in used})
        self.decoders = nn.ModuleDict(decoders)

    def encode(self, batch: Batch, subset: Subset) -> DiagonalGaussian:
        """
        Return q(z|x_S), tensors ``(batch, latent)``.

        Parameters
        ----------
        batch
            Sensor -> measurements; only those of the subset are used.
        subset
            A trained subset, in the model's order.

        Raises
        ------
        ValueError
            If the subset has no trained encoder.

        """
        self._check_trained(subset)
        features = {name: self.features(batch[name], name) for name in subset}
        return self.posterior(features, subset)

    def features(self, batch: SensorBatch, sensor: str) -> Tensor:
        """Return the features ``(batch, features)`` of one sensor that all subsets share."""
        features: Tensor = self.trunks[sensor](batch)
        return features

    def posterior(self, features: Mapping[str, Tensor], subset: Subset) -> DiagonalGaussian:
        """Return q(z|x_S) of a trained subset from the features of its sensors."""
        self._check_trained(subset)
        stacked = self._posteriors({name: features[name] for name in subset}, [subset])
        return DiagonalGaussian(stacked.mean[0], stacked.log_variance[0])

    def decode(self, latents: Tensor, sensor: str) -> Likelihood:
        """Return p(x_m|z) of a sensor for latents ``(..., latent)``."""
        likelihood: Likelihood = self.decoders[sensor](latents)
        return likelihood

    def forward(
        self,
        batch: Batch,
        generator: torch.Generator | None = None,
        *,
        available: Tensor | None = None,
        reconstruct: Mapping[Subset, Sequence[str]] | None = None,
    ) -> tuple[dict[Subset, DiagonalGaussian], dict[Subset, dict[str, Tensor]]]:
        """
        Return the arguments of `objectives.bound`, from one latent sample of each posterior.

        Each trunk runs once, and each decoder once, on the stacked samples of all subsets that
        reconstruct its sensor.

        Parameters
        ----------
        batch
            Sensor -> measurements.
        generator
            Random numbers of the latent samples; None = torch's global generator.
        available
            bool ``(batch, N)``: which sensors each sample has; None = all. Arrays of absent
            sensors may hold anything, NaN included: they change neither values nor gradients.
        reconstruct
            Subset -> sensors to score, see `terms.reconstructions`; subsets that are not listed
            are not encoded. None = all trained subsets, each with all its sensors.

        Returns
        -------
        posteriors, log_likelihoods
            Subset -> q(z|x_S), and subset -> sensor -> log p(x_m|z) with z ~ q_S, ``(batch,)``.

        Raises
        ------
        ValueError
            If a subset has no trained encoder.

        """
        if reconstruct is None:
            reconstruct = {subset: subset for subset in self.trained_subsets}
        for subset in reconstruct:
            self._check_trained(subset)
        if available is not None:
            batch = {
                name: _blank_absent(batch[name], available[:, column])
                for column, name in enumerate(self.names)
            }
        encoded = [name for name in self.names if any(name in subset for subset in reconstruct)]
        features = {name: self.trunks[name](batch[name]) for name in encoded}
        stacked = self._posteriors(features, list(reconstruct))
        moments = zip(stacked.mean.unbind(), stacked.log_variance.unbind(), strict=True)
        posteriors = {
            subset: DiagonalGaussian(mean, log_variance)
            for subset, (mean, log_variance) in zip(reconstruct, moments, strict=True)
        }
        latents = stacked.rsample(generator)
        log_likelihoods: dict[Subset, dict[str, Tensor]] = {subset: {} for subset in reconstruct}
        for name in self.names:
            scored = [subset for subset, sensors in reconstruct.items() if name in sensors]
            if not scored:
                continue
            rows = [row for row, sensors in enumerate(reconstruct.values()) if name in sensors]
            scores = self.decode(_select(latents, rows), name).log_prob(batch[name])
            for subset, score in zip(scored, scores.unbind(), strict=True):
                log_likelihoods[subset][name] = score
        return posteriors, log_likelihoods

    def _posteriors(
        self, features: Mapping[str, Tensor], subsets: Sequence[Subset]
    ) -> DiagonalGaussian:
        """Return q(z|x_S) of several subsets, ``(subsets, batch, latent)``; heads run once."""
        joint = [subset for subset in subsets if len(subset) > 1]
        heads = list(subsets)
        if self.product_of_experts:
            requested = set(subsets)
            heads += [
                (name,) for name in features
                if (name,) not in requested and any(name in subset for subset in joint)
            ]
        moments = torch.stack([
            self.heads['+'.join(subset)](torch.cat([features[name] for name in subset], 1))
            for subset in heads
        ])
        moments = moments.to(torch.promote_types(moments.dtype, torch.float32))  # not in bfloat16
        stacked = DiagonalGaussian(*moments.chunk(2, -1))
        if not (self.product_of_experts and joint):
            return stacked
        row_of = {subset: row for row, subset in enumerate(heads)}
        singles = [subset for subset in heads if len(subset) == 1]
        counted = _constant(
            tuple(tuple(float(len(subset) > 1 and single[0] in subset) for single in singles)
                  for subset in subsets),
            moments.dtype, moments.device,
        )
        rows = _constant(tuple(row_of[single] for single in singles), torch.int64, moments.device)
        product = bayes_products(stacked[rows], counted)
        count = len(subsets)
        return DiagonalGaussian(
            product.mean + stacked.mean[:count],
            product.log_variance + stacked.log_variance[:count],
        )

    def _check_trained(self, subset: Subset) -> None:
        if subset not in self._trained:
            raise ValueError(
                f'subset {subset}: no trained encoder; trained are {self.trained_subsets}'
            )


@lru_cache(maxsize=1024)
def _constant(values: tuple[Any, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return numbers on a device, copied there once: a CUDA graph may hold no such copy."""
    with torch.inference_mode(False):  # the same tensor serves training
        return torch.tensor(values, dtype=dtype, device=device)


def _select(latents: Tensor, rows: list[int]) -> Tensor:
    """Return some rows of the stacked latents, without a copy if these are all."""
    if len(rows) == len(latents):
        return latents
    return latents.index_select(0, torch.tensor(rows, device=latents.device))


def _blank_absent(batch: SensorBatch, present: Tensor) -> SensorBatch:
    """Replace the samples in which the sensor is absent by zeros without a valid cell."""
    def blank(tensor: Tensor) -> Tensor:
        mask = present.view(-1, *[1] * (tensor.dim() - 1))
        return torch.where(mask, tensor, torch.zeros((), dtype=tensor.dtype, device=tensor.device))

    return SensorBatch(*(blank(tensor) for tensor in batch))

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
r"""
Importance-sampled likelihoods, by which models are compared; in nats, one value per sample.

With draws :math:`z_k` of a proposal r, for which any encoder may stand,

.. math::
    \log p(x_S) \approx \log \frac{1}{K} \sum_k w_k, \qquad
    w_k = \frac{p(z_k) \prod_{m \in S} p(x_m|z_k)}{r(z_k)} .

The mean of the weights is unbiased, so its logarithm lies below the truth on average, by half the
squared standard error where that is small. With an effective sample size of a few draws the
standard error is itself no more than a guess: nobody knows the weights that were not drawn.

Decoders see latents ``(draws, batch, latent)``, a chunk of draws at a time; sums run in double
precision. Put the model into evaluation mode before. Every draw takes its own numbers from the
generator, so the chunk decides the memory that is needed and nothing else.

References
----------
Y. Burda, R. Grosse, R. Salakhutdinov, Importance weighted autoencoders, ICLR 2016, Eq. 8.
A. B. Owen, Monte Carlo theory, methods and examples, 2013, chapter 9 (effective sample size).

"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.multimodal import Batch, MultimodalVAE
from m2vae_ros.vae.subsets import Subset

CHUNK = 64  # draws decoded at once


@dataclass(frozen=True, eq=False)
class Estimate:
    """
    An estimate of a log-likelihood for every sample, float64 tensors ``(batch,)``.

    Parameters
    ----------
    value
        Nats.
    effective_sample_size
        (sum w)^2 / sum w^2, from 1 (one draw decides all) to the number of draws.
    standard_error
        Of the value over repetitions, nats: the relative standard error of the mean weight.

    """

    value: Tensor
    effective_sample_size: Tensor
    standard_error: Tensor


class Summary(NamedTuple):
    """
    An estimate over a data set.

    ``mean`` and ``standard_error`` (of the mean, over the samples) are in nats; the latter
    contains the error of the estimates. ``effective_sample_size`` is the samples' median.
    """

    mean: float
    standard_error: float
    effective_sample_size: float
    samples: int


class WeightedDraws(NamedTuple):
    """Draws of a proposal: latents ``(draws, batch, latent)``, float64 ``(draws, batch)``."""

    latents: Tensor
    log_weights: Tensor


class WeightSum:
    """Adds up weights of importance draws, chunk by chunk."""

    def __init__(self) -> None:
        self._draws = 0
        self._log_sum = self._log_sum_of_squares = torch.tensor(-torch.inf, dtype=torch.float64)

    def add(self, log_weights: Tensor) -> None:
        """Add log weights, float64 ``(draws, batch)``."""
        squares = (2 * log_weights).logsumexp(0)
        self._draws += len(log_weights)
        self._log_sum = torch.logaddexp(self._log_sum, log_weights.logsumexp(0))
        self._log_sum_of_squares = torch.logaddexp(self._log_sum_of_squares, squares)

    def estimate(self) -> Estimate:
        """Return the logarithm of the mean weight, of two draws or more."""
        effective = (2 * self._log_sum - self._log_sum_of_squares).exp()
        effective = effective.clamp(1, self._draws)  # rounding may lead beyond
        relative_variance = (self._draws / effective - 1) / (self._draws - 1)
        return Estimate(self._log_sum - log(self._draws), effective, relative_variance.sqrt())


@torch.no_grad()
def log_likelihood(
    model: MultimodalVAE,
    batch: Batch,
    sensors: Sequence[str],
    *,
    samples: int,
    generator: torch.Generator | None = None,
    proposal: Sequence[str] | None = None,
    chunk: int = CHUNK,
) -> Estimate:
    """
    Estimate log p(x_S), any sensors of the model.

    Parameters
    ----------
    model
        In evaluation mode.
    batch
        Sensor -> measurements of the sensors and of the proposal's.
    sensors
        S.
    samples
        Draws per sample of the batch, 2 or more.
    generator
        Of the draws, on the model's device.
    proposal
        The trained subset from whose encoder to draw; None = S. A good one covers p(z|x_S).
    chunk
        Draws decoded at once.

    Raises
    ------
    ValueError
        If a sensor is unknown, the proposal has no trained encoder, or there are too few draws.

    """
    wanted = _ordered(model, sensors)
    weights = WeightSum()
    for draws in importance_draws(
        model, batch, wanted, samples=samples, generator=generator,
        proposal=wanted if proposal is None else _ordered(model, proposal), chunk=chunk,
    ):
        weights.add(draws.log_weights)
    return weights.estimate()


def conditional(
    model: MultimodalVAE,
    batch: Batch,
    target: Sequence[str],
    given: Sequence[str],
    *,
    samples: int,
    generator: torch.Generator | None = None,
    chunk: int = CHUNK,
) -> Estimate:
    """
    Estimate log p(x_T|x_S) of the generative model: log p(x_S, x_T) - log p(x_S).

    Each of the two is drawn from its own encoder, which so affects the precision and not what is
    estimated. The smaller one's effective sample size is reported.

    Parameters
    ----------
    target, given
        T and S, which share no sensor; both S and their union have trained encoders.
    model, batch, samples, generator, chunk
        As in `log_likelihood`.

    Raises
    ------
    ValueError
        As `log_likelihood` does, or if target and given share a sensor.

    """
    _check_disjoint(target, given)
    joint, alone = (
        log_likelihood(model, batch, s, samples=samples, generator=generator, chunk=chunk)
        for s in ((*given, *target), given)
    )
    return Estimate(
        joint.value - alone.value,
        torch.minimum(joint.effective_sample_size, alone.effective_sample_size),
        torch.hypot(joint.standard_error, alone.standard_error),
    )


@torch.no_grad()
def predictive(
    model: MultimodalVAE,
    batch: Batch,
    target: Sequence[str],
    given: Sequence[str],
    *,
    samples: int,
    generator: torch.Generator | None = None,
    chunk: int = CHUNK,
) -> Estimate:
    r"""
    Estimate how well the encoder of S predicts T: log of the mean of p(x_T|z) over z ~ q_S.

    It judges encoder and decoder together: where q_S is the exact posterior it is
    :math:`\log p(x_T|x_S)`, elsewhere mostly less.

    Parameters
    ----------
    target, given
        T and S, which share no sensor.
    model, batch, samples, generator, chunk
        As in `log_likelihood`.

    Raises
    ------
    ValueError
        As `log_likelihood` does, or if target and given share a sensor.

    """
    _check_disjoint(target, given)
    wanted = _ordered(model, target)
    posterior = model.encode(batch, _ordered(model, given))
    weights = WeightSum()
    for latents in _draws(posterior, samples, generator, chunk):
        weights.add(decoder_log_likelihood(model, batch, wanted, latents))
    return weights.estimate()


@torch.no_grad()
def importance_draws(
    model: MultimodalVAE,
    batch: Batch,
    sensors: Subset,
    *,
    samples: int,
    generator: torch.Generator | None,
    proposal: Subset,
    chunk: int = CHUNK,
) -> Iterator[WeightedDraws]:
    """
    Yield draws of a proposal's encoder, a chunk at a time, with weights that make them p(z|x_S).

    Sensors and proposal are subsets in the model's order, the rest as in `log_likelihood`.
    """
    posterior = model.encode(batch, proposal)
    precise = DiagonalGaussian(posterior.mean.double(), posterior.log_variance.double())
    prior = DiagonalGaussian.standard_like(precise)
    for latents in _draws(posterior, samples, generator, chunk):
        place = latents.double()
        ratio = prior.log_prob(place) - precise.log_prob(place)
        yield WeightedDraws(
            latents, decoder_log_likelihood(model, batch, sensors, latents) + ratio
        )


def decoder_log_likelihood(
    model: MultimodalVAE, batch: Batch, sensors: Sequence[str], latents: Tensor
) -> Tensor:
    """Return the sum of log p(x_m|z) over sensors for latents ``(..., batch, latent)``."""
    total = torch.zeros(latents.shape[:-1], dtype=torch.float64, device=latents.device)
    for name in sensors:
        total = total + model.decode(latents, name).log_prob(batch[name])
    return total


def summarise(estimates: Iterable[Estimate]) -> Summary:
    """
    Return the mean of the estimates of some batches and its standard error over the samples.

    Raises
    ------
    ValueError
        If they hold fewer than two samples.

    """
    parts = list(estimates)
    values = torch.cat([part.value for part in parts]) if parts else torch.empty(0)
    if len(values) < 2:
        raise ValueError(f'{len(values)} samples: an error bar needs two or more')
    sizes = torch.cat([part.effective_sample_size for part in parts])
    error = float(values.std()) / sqrt(len(values))
    return Summary(float(values.mean()), error, float(sizes.median()), len(values))


def _draws(
    posterior: DiagonalGaussian, samples: int, generator: torch.Generator | None, chunk: int
) -> Iterator[Tensor]:
    """Yield ``(draws, batch, latent)``; each draw takes its own numbers from the generator."""
    if samples < 2 or chunk < 1:
        raise ValueError(
            f'{samples} draws, {chunk} at once: two or more are needed for an error bar, '
            f'and one or more at once'
        )
    for start in range(0, samples, chunk):
        size = min(chunk, samples - start)
        yield torch.stack([posterior.rsample(generator) for _ in range(size)])


def _ordered(model: MultimodalVAE, sensors: Sequence[str]) -> Subset:
    """Return sensors as a subset in the model's order."""
    unknown = [name for name in sensors if name not in model.names]
    if unknown or not sensors:
        raise ValueError(
            f'sensors {unknown or list(sensors)!r}: one or more of {", ".join(model.names)}'
        )
    return tuple(name for name in model.names if name in sensors)


def _check_disjoint(target: Sequence[str], given: Sequence[str]) -> None:
    shared = sorted(set(target) & set(given))
    if shared:
        raise ValueError(f'{", ".join(shared)}: cannot be both target and given')

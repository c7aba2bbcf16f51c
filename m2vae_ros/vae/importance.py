# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
r"""
Importance sampling: draws from an encoder, weighted so that they stand for draws of a posterior.

With draws :math:`z_k` from a proposal r, the encoder of any subset,

.. math::
    \log p(x_S) \approx \log \frac{1}{K} \sum_k w_k, \qquad
    w_k = \frac{p(z_k) \prod_{m \in S} p(x_m|z_k)}{r(z_k)} .

The mean weight is unbiased. So its logarithm is too low on average, by half its squared standard
error where that is small. With an effective sample size of a few draws the standard error is only
a guess: it knows nothing of the large weights that were not drawn.

Decoders see latents ``(draws, batch, latent)``, one chunk of draws at a time; sums are in double
precision. Every draw takes its own numbers from the generator, so the size of the chunks affects
memory and nothing else.

References
----------
Y. Burda, R. Grosse, R. Salakhutdinov, Importance weighted autoencoders, ICLR 2016, Eq. 8.
A. B. Owen, Monte Carlo theory, methods and examples, 2013, chapter 9 (effective sample size).

"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log

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
        (sum w)^2 / sum w^2, from 1 (one draw has all the weight) to the number of draws.
    standard_error
        Standard deviation of the value over repetitions, nats; computed as the relative standard
        error of the mean weight.

    Examples
    --------
    >>> weights = WeightSum()
    >>> weights.add(torch.tensor([[1.0], [3.0]], dtype=torch.float64).log())
    >>> round(weights.estimate().effective_sample_size.item(), 6)
    1.6

    """

    value: Tensor
    effective_sample_size: Tensor
    standard_error: Tensor


class WeightSum:
    """
    The sum of importance weights, chunk by chunk.

    Examples
    --------
    >>> weights = WeightSum()
    >>> for chunk in ([[1.0], [3.0]], [[2.0]]):  # (draws, batch)
    ...     weights.add(torch.tensor(chunk, dtype=torch.float64).log())
    >>> round(weights.estimate().value.exp().item(), 6)
    2.0

    """

    def __init__(self) -> None:
        self._draws = 0
        self._log_sum = self._log_sum_of_squares = torch.tensor(-torch.inf, dtype=torch.float64)

    def add(self, log_weights: Tensor) -> None:
        """Add a chunk of log weights, float64 ``(draws, batch)``."""
        squares = (2 * log_weights).logsumexp(0)
        self._draws += len(log_weights)
        self._log_sum = torch.logaddexp(self._log_sum, log_weights.logsumexp(0))
        self._log_sum_of_squares = torch.logaddexp(self._log_sum_of_squares, squares)

    def estimate(self) -> Estimate:
        """Return the logarithm of the mean weight; two or more draws are needed."""
        effective = (2 * self._log_sum - self._log_sum_of_squares).exp()
        effective = effective.clamp(1, self._draws)  # rounding may exceed the bounds
        relative_variance = (self._draws / effective - 1) / (self._draws - 1)
        return Estimate(self._log_sum - log(self._draws), effective, relative_variance.sqrt())


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
) -> Iterator[tuple[Tensor, Tensor]]:
    """
    Yield draws from a proposal's encoder and the log weights that make them draws of p(z|x_S).

    Their shapes are ``(draws, batch, latent)`` and, in float64, ``(draws, batch)``. Sensors and
    proposal are subsets in the model's order, the rest is as in `estimators.log_likelihood`.

    Examples
    --------
    >>> from m2vae_ros.specs import SensorSpec
    >>> from m2vae_ros.vae import M2VAE, SensorBatch
    >>> camera = SensorSpec('camera', 'image', 'image_raw', 'camera', (3, 4, 4))
    >>> model, valid = M2VAE([camera]).eval(), torch.ones(5, 4, 4, dtype=torch.bool)
    >>> batch = {'camera': SensorBatch(torch.rand(5, 3, 4, 4), valid, valid)}
    >>> draws = importance_draws(
    ...     model, batch, model.names, samples=100, generator=None, proposal=model.names
    ... )
    >>> [tuple(log_weights.shape) for _, log_weights in draws]
    [(64, 5), (36, 5)]

    """
    posterior = model.encode(batch, proposal)
    precise = DiagonalGaussian(posterior.mean.double(), posterior.log_variance.double())
    prior = DiagonalGaussian.standard_like(precise)
    for latents, log_likelihood in decoded_draws(
        model, batch, sensors, posterior, samples=samples, generator=generator, chunk=chunk
    ):
        z = latents.double()
        yield latents, log_likelihood + (prior.log_prob(z) - precise.log_prob(z))


@torch.no_grad()
def decoded_draws(
    model: MultimodalVAE,
    batch: Batch,
    sensors: Subset,
    posterior: DiagonalGaussian,
    *,
    samples: int,
    generator: torch.Generator | None,
    chunk: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """
    Yield draws from a posterior with their log p(x_S|z), the shapes as in `importance_draws`.

    Raises
    ------
    ValueError
        If samples is below 2 or chunk below 1.

    Examples
    --------
    >>> from m2vae_ros.specs import SensorSpec
    >>> from m2vae_ros.vae import M2VAE, SensorBatch
    >>> camera = SensorSpec('camera', 'image', 'image_raw', 'camera', (3, 4, 4))
    >>> model, valid = M2VAE([camera]).eval(), torch.ones(5, 4, 4, dtype=torch.bool)
    >>> batch = {'camera': SensorBatch(torch.rand(5, 3, 4, 4), valid, valid)}
    >>> q = model.encode(batch, model.names)
    >>> draws = decoded_draws(model, batch, model.names, q, samples=9, generator=None, chunk=9)
    >>> [tuple(log_likelihood.shape) for _, log_likelihood in draws]
    [(9, 5)]

    """
    if samples < 2 or chunk < 1:
        raise ValueError(
            f'{samples} draws, {chunk} at once: two or more are needed for an error bar, '
            f'and one or more at once'
        )
    for start in range(0, samples, chunk):
        size = min(chunk, samples - start)
        latents = torch.stack([posterior.rsample(generator) for _ in range(size)])
        total = torch.zeros(latents.shape[:-1], dtype=torch.float64, device=latents.device)
        for name in sensors:
            total = total + model.decode(latents, name).log_prob(batch[name])
        yield latents, total

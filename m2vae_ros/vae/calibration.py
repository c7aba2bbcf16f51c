# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
r"""
Whether posteriors are as sure as they may be, and one temperature per subset that mends it.

The reference of a sample is one draw of :math:`p(z|x_M)`. Over many samples it is distributed
given :math:`x_S` as :math:`p(z|x_S)`, as far as the model is right, so it judges every subset.
The region of q_S with probability r holds the z whose squared Mahalanobis distance

.. math:: d^2 = \sum_i (z_i - \mu_i)^2 / \sigma_i^2

lies below the chi-square quantile r with as many degrees of freedom as there are dimensions.

With few effective draws (networks with thousands of measured numbers) the reference is little
more than a draw of q_M itself. Temperatures then make the other subsets agree with q_M, and that
of M stays near 1 whatever its error: read them beside the effective sample size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from m2vae_ros.vae.estimators import Estimate, importance_draws, WeightSum
from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.multimodal import Batch, MultimodalVAE

REGIONS = (0.5, 0.9, 0.95)  # of which a summary tells the coverage
CURVE = tuple(percent / 100 for percent in range(1, 100))


@dataclass(frozen=True, eq=False)
class Reference:
    """
    One draw of p(z|x_M) for every sample.

    Parameters
    ----------
    latents
        Shape ``(batch, latent)``.
    log_likelihood
        The estimate of log p(x_M) of the same draws. Its effective sample size tells how far the
        reference can be trusted.

    """

    latents: Tensor
    log_likelihood: Estimate


@dataclass(frozen=True, eq=False)
class Coverage:
    """
    Share of the references within the regions of their posteriors.

    Parameters
    ----------
    nominal
        Probabilities r of the regions, float64 ``(levels,)``.
    observed
        Share within the region of all dimensions, ``(levels,)``.
    per_dimension
        Share within the interval of each dimension, ``(latent, levels)``. One temperature cannot
        mend what differs between dimensions.

    """

    nominal: Tensor
    observed: Tensor
    per_dimension: Tensor

    @property
    def expected_calibration_error(self) -> float:
        """Mean of abs(observed - nominal) over the levels."""
        return float((self.observed - self.nominal).abs().mean())


@torch.no_grad()
def draw_reference(
    model: MultimodalVAE,
    batch: Batch,
    *,
    samples: int = 1000,
    generator: torch.Generator | None = None,
) -> Reference:
    r"""
    Draw from p(z|x_M) by importance resampling of the largest trained subset's encoder.

    Of draws with weights w_k the one with the largest :math:`\log w_k + g_k` is kept, g_k from
    the standard Gumbel distribution: its index is distributed as :math:`w_k / \sum_j w_j`
    (E. J. Gumbel, Statistical theory of extreme values, 1954), without keeping the others.

    Parameters
    ----------
    model, batch, samples, generator
        As in `estimators.log_likelihood`, for all sensors of the model.

    """
    weights = WeightSum()
    winners = []  # of each chunk
    for draws in importance_draws(
        model, batch, model.names, samples=samples, generator=generator,
        proposal=model.trained_subsets[-1],
    ):
        weights.add(draws.log_weights)
        scores = draws.log_weights + _gumbel(draws.log_weights, generator)
        winners.append(_highest(draws.latents, scores))
    latents, _ = _highest(*(torch.stack(each) for each in zip(*winners, strict=True)))
    return Reference(latents, weights.estimate())


def fit_temperature(posterior: DiagonalGaussian, latents: Tensor) -> float:
    r"""
    Return the factor on the variances that makes the mean log q(z) of references largest.

    It is the mean of :math:`(z - \mu)^2 / \sigma^2` over samples and dimensions: with t for the
    temperature and d dimensions the mean of log q is
    :math:`-\frac{1}{2} (d \log t + E[d^2] / t)` but for a constant.

    Parameters
    ----------
    posterior, latents
        Of held-out samples, ``(batch, latent)``.

    """
    return float(_squared_errors(posterior, latents).mean())


def coverage(
    posterior: DiagonalGaussian, latents: Tensor, levels: tuple[float, ...] = CURVE
) -> Coverage:
    """
    Return how many references lie within which region of their posterior.

    Parameters
    ----------
    posterior, latents
        Of held-out samples, ``(batch, latent)``.
    levels
        Probabilities of the regions, in 0..1.

    """
    squared = _squared_errors(posterior, latents)
    nominal = torch.tensor(levels, dtype=torch.float64, device=squared.device)
    smallest = _chi_square(squared.sum(-1), squared.shape[-1])  # region that holds z, (batch,)
    intervals = _chi_square(squared, 1)  # (batch, latent)
    return Coverage(
        nominal,
        (smallest.unsqueeze(-1) <= nominal).double().mean(0),
        (intervals.unsqueeze(-1) <= nominal).double().mean(0),
    )


def _squared_errors(posterior: DiagonalGaussian, latents: Tensor) -> Tensor:
    """Return (z - mu)^2 / sigma^2, float64 ``(batch, latent)``."""
    error = (latents.double() - posterior.mean.double()).square()
    return error * (-posterior.log_variance.double()).exp()


def _chi_square(squared: Tensor, degrees: int) -> Tensor:
    """Return the probability of less than a squared distance, for degrees of freedom."""
    half = torch.full_like(squared, degrees / 2)
    probability: Tensor = torch.special.gammainc(half, squared / 2)
    return probability


def _highest(latents: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return, for each sample, the latent with the highest score of its column, and the score."""
    highest, index = scores.max(0)
    return latents[index, torch.arange(len(index), device=index.device)], highest


def _gumbel(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return standard Gumbel numbers in the shape of a tensor."""
    return -torch.empty_like(like).exponential_(generator=generator).log()

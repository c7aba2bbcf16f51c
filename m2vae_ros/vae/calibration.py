# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
r"""
Whether posteriors are as certain as they should be, and a temperature per subset to correct it.

The reference of a sample is one draw of :math:`p(z|x_M)`. Over many samples, and as far as the
model is right, references given :math:`x_S` are distributed as :math:`p(z|x_S)`; so the same
references serve every subset. The region of q_S with probability r holds the z whose squared
Mahalanobis distance

.. math:: d^2 = \sum_i (z_i - \mu_i)^2 / \sigma_i^2

is below the chi-square quantile r with one degree of freedom per latent dimension.

With few effective draws (sensors with thousands of numbers) a reference is little more than a draw
of q_M itself. Temperatures then make the other subsets agree with q_M, and that of M stays near 1
whatever its error: read them together with the effective sample size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.importance import Estimate, importance_draws, WeightSum
from m2vae_ros.vae.multimodal import Batch, MultimodalVAE

REGIONS = (0.5, 0.9, 0.95)  # the levels of a summary
CURVE = tuple(percent / 100 for percent in range(1, 100))  # the levels of a curve


@dataclass(frozen=True, eq=False)
class Reference:
    """
    One draw of p(z|x_M) for every sample, as `draw_reference` returns it.

    Parameters
    ----------
    latents
        Shape ``(batch, latent)``.
    log_likelihood
        The estimate of log p(x_M) from the same draws. Its effective sample size says how far
        the reference can be trusted.

    """

    latents: Tensor
    log_likelihood: Estimate


@dataclass(frozen=True, eq=False)
class Coverage:
    """
    The share of references that lie within the regions of their posteriors.

    Parameters
    ----------
    nominal
        Probabilities r of the regions, float64 ``(levels,)``.
    observed
        Share within the region of all dimensions, ``(levels,)``.
    per_dimension
        Share within the interval of each dimension, ``(latent, levels)``. One temperature cannot
        correct what differs between dimensions.

    Examples
    --------
    >>> half = torch.tensor([0.5])
    >>> Coverage(half, torch.tensor([0.75]), half.expand(8, 1)).expected_calibration_error
    0.25

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

    Of draws with weights w_k, the one with the largest :math:`\log w_k + g_k` is kept, with
    standard Gumbel numbers g_k: its index is distributed as :math:`w_k / \sum_j w_j` (E. J.
    Gumbel, Statistical theory of extreme values, 1954), and no other draw need be stored.

    Parameters
    ----------
    model, batch, samples, generator
        As in `estimators.log_likelihood`, for all sensors of the model.

    Examples
    --------
    >>> from m2vae_ros.specs import SensorSpec
    >>> from m2vae_ros.vae import Architecture, M2VAE, SensorBatch
    >>> camera = SensorSpec('camera', 'image', 'image_raw', 'camera', (3, 4, 4))
    >>> model, valid = M2VAE([camera], Architecture(latent_size=2)), torch.ones(5, 4, 4).bool()
    >>> batch = {'camera': SensorBatch(torch.rand(5, 3, 4, 4), valid, valid)}
    >>> draw_reference(model.eval(), batch, samples=100).latents.shape
    torch.Size([5, 2])

    """
    weights = WeightSum()
    winners = []  # (latents, scores) of each chunk
    for latents, log_weights in importance_draws(
        model, batch, model.names, samples=samples, generator=generator,
        proposal=model.trained_subsets[-1],
    ):
        weights.add(log_weights)
        scores = log_weights + _gumbel(log_weights, generator)
        winners.append(_highest(latents, scores))
    latents, _ = _highest(*(torch.stack(tensors) for tensors in zip(*winners, strict=True)))
    return Reference(latents, weights.estimate())


def fit_temperature(posterior: DiagonalGaussian, latents: Tensor) -> float:
    r"""
    Return the factor on the variances that maximises the mean log q(z) of references.

    With the temperature t and D dimensions that mean is, up to a constant,
    :math:`-\frac{1}{2} (D \log t + E[d^2] / t)`. So the best t is the mean of
    :math:`(z - \mu)^2 / \sigma^2` over samples and dimensions.

    Parameters
    ----------
    posterior, latents
        Of held-out samples, ``(batch, latent)``.

    Examples
    --------
    >>> posterior = DiagonalGaussian(torch.zeros(2, 1), torch.zeros(2, 1))
    >>> fit_temperature(posterior, torch.tensor([[-2.0], [2.0]]))
    4.0

    """
    return float(_squared_errors(posterior, latents).mean())


def coverage(
    posterior: DiagonalGaussian, latents: Tensor, levels: tuple[float, ...] = CURVE
) -> Coverage:
    """
    Return the share of references within each region of their posterior.

    Parameters
    ----------
    posterior, latents
        Of held-out samples, ``(batch, latent)``.
    levels
        Probabilities of the regions, in 0..1.

    Examples
    --------
    >>> posterior = DiagonalGaussian(torch.zeros(4, 1), torch.zeros(4, 1))
    >>> latents = torch.tensor([[0.1], [-0.3], [0.5], [3.0]])
    >>> coverage(posterior, latents, levels=(0.5, 0.9)).observed.tolist()
    [0.75, 0.75]

    """
    squared = _squared_errors(posterior, latents)
    nominal = torch.tensor(levels, dtype=torch.float64, device=squared.device)
    regions = _chi_square(squared.sum(-1), squared.shape[-1])  # smallest that hold z, (batch,)
    intervals = _chi_square(squared, 1)  # (batch, latent)
    return Coverage(
        nominal,
        (regions.unsqueeze(-1) <= nominal).double().mean(0),
        (intervals.unsqueeze(-1) <= nominal).double().mean(0),
    )


def _squared_errors(posterior: DiagonalGaussian, latents: Tensor) -> Tensor:
    """Return (z - mu)^2 / sigma^2, float64 ``(batch, latent)``."""
    error = (latents.double() - posterior.mean.double()).square()
    return error * (-posterior.log_variance.double()).exp()


def _chi_square(squared: Tensor, degrees: int) -> Tensor:
    """Return the probability below a squared distance of the chi-square distribution."""
    half = torch.full_like(squared, degrees / 2)
    probability: Tensor = torch.special.gammainc(half, squared / 2)
    return probability


def _highest(latents: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return, for each sample, the draw with the highest score, and that score."""
    highest, index = scores.max(0)
    return latents[index, torch.arange(len(index), device=index.device)], highest


def _gumbel(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return standard Gumbel numbers with the shape and device of a tensor."""
    return -torch.empty_like(like).exponential_(generator=generator).log()

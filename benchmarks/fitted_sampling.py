# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Importance sampling of integrals over latent vectors, with a proposal fitted to each sample.

It estimates the log of the integral of f(z) dz, where f is a product of likelihoods and a density.
Draws of a model's posterior alone rarely meet the small region in which sharp likelihoods of other
sensors agree; the log of their mean is then many nats too low, by an amount that depends on the
model. So a Gaussian is fitted to f, sample by sample, by the evidence lower bound, and the draws
come from a mixture of it and the given proposals. No weight can exceed a fixed multiple of that
under the given proposals alone. The estimate of the integral is unbiased, so its logarithm is on
average too low; the effective sample size says how far it can be trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

LogIntegrand = Callable[[Tensor], Tensor]  # latents (draws, batch, latent) -> (draws, batch)

_START_CANDIDATES = 64  # draws of each given proposal; the best one is the start of the fit
_INITIAL_SCALE = 0.14  # standard deviation, about that of a posterior of a few sharp sensors
_WIDENING = 1.15  # scale of the proposal over that of the fit, which is rather too narrow


class Estimate(NamedTuple):
    """The log of the integral and the effective sample size, both ``(batch,)``."""

    value: Tensor
    effective: Tensor


def log_integral(
    log_integrand: LogIntegrand,
    proposals: Sequence[Distribution],
    *,
    samples: int,
    steps: int = 150,
    draws: int = 8,
    chunk: int = 64,
) -> Estimate:
    """
    Return the log of the integral of a function over latent vectors.

    Parameters
    ----------
    log_integrand
        Logarithm of the function; it must be differentiable.
    proposals
        Distributions over latent vectors, one per sample: batch shape ``(batch,)``.
    samples
        Number of draws: half of them from the fitted Gaussian, the rest from the given proposals.
    steps, draws
        Steps of the fit by Adam, and draws in each step.
    chunk
        Draws that are evaluated together.

    """
    fitted = _fit(log_integrand, proposals, steps, draws, chunk)
    components = [fitted, *proposals]
    shares = [0.5, *(0.5 / len(proposals) for _ in proposals)]
    with torch.no_grad():
        latents = torch.cat([
            component.sample((max(1, round(share * samples)),))
            for component, share in zip(components, shares, strict=True)
        ])
        scores = _in_chunks(latents, log_integrand, chunk)
        weights = scores - _log_mixture(components, shares, latents)
        total = weights.logsumexp(0)
        effective = (2 * total - (2 * weights).logsumexp(0)).exp()
        return Estimate(total - log(len(latents)), effective)


def _fit(
    log_integrand: LogIntegrand, proposals: Sequence[Distribution], steps: int, draws: int,
    chunk: int,
) -> Distribution:
    """Return a Gaussian fitted to each sample's integrand, starting at the best of some draws."""
    with torch.no_grad():
        tried = torch.cat([proposal.sample((_START_CANDIDATES,)) for proposal in proposals])
        equal = [1 / len(proposals)] * len(proposals)
        weights = _in_chunks(tried, log_integrand, chunk) - _log_mixture(proposals, equal, tried)
        rows = weights.argmax(0)[None, :, None].expand(1, -1, tried.shape[-1])
        start = tried.gather(0, rows)[0]
    mean = start.clone().requires_grad_()
    log_scale = torch.full_like(start, log(_INITIAL_SCALE)).requires_grad_()
    optimizer = torch.optim.Adam([mean, log_scale], lr=0.03)
    for _ in range(steps):
        latents = Normal(mean, log_scale.exp()).rsample((draws,))
        bound = log_integrand(latents).mean(0) + log_scale.sum(-1)
        mean.grad, log_scale.grad = torch.autograd.grad(-bound.sum(), [mean, log_scale])
        optimizer.step()
    return Independent(Normal(mean.detach(), _WIDENING * log_scale.detach().exp()), 1)


def _log_mixture(
    components: Sequence[Distribution], shares: Sequence[float], latents: Tensor
) -> Tensor:
    """Return the log density of a mixture at latents ``(draws, batch, latent)``."""
    return torch.stack([
        log(share) + component.log_prob(latents)
        for component, share in zip(components, shares, strict=True)
    ]).logsumexp(0)


def _in_chunks(latents: Tensor, log_integrand: LogIntegrand, chunk: int) -> Tensor:
    return torch.cat([log_integrand(part) for part in latents.split(chunk)])

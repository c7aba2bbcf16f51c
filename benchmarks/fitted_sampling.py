# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Importance sampling of integrals over latent vectors with a proposal that is fitted to each sample.

log of the integral of f(z) dz, where f is a product of likelihoods and a density. Draws of a
model's posterior alone meet the little region where sharp likelihoods of other sensors agree so
seldom that the logarithm of their mean lies many nats too low, by how much depends on the model.
So a Gaussian is fitted to f, sample by sample, by the evidence lower bound with its entropy, and
draws come from a mixture of it and the given proposals: no weight can exceed a multiple of what
the given proposals alone would give. The estimate of the integral is unbiased, so that of its
logarithm is too low if anything; the effective sample size says how far it can be trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

LogIntegrand = Callable[[Tensor], Tensor]  # latents (draws, batch, latent) -> (draws, batch)

_SCOUTS = 64  # draws of each given proposal among which the fit's start is looked for
_FIRST_SCALE = 0.14  # of the fit, about what a few sharp sensors leave open
_WIDER = 1.15  # than its fit the proposal is: the bound's fit is rather too narrow


class Estimate(NamedTuple):
    """The log of the integral, and the effective sample size, both ``(batch,)``."""

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
        Logarithm of the function; its gradient is wanted.
    proposals
        Distributions over latent vectors, one per sample: batch shape ``(batch,)``.
    samples
        Draws in all: half of them of the fitted Gaussian, the rest of the given proposals.
    steps, draws
        Of the fit by Adam, and draws in each.
    chunk
        Draws that are looked at at once.

    """
    fitted = _fit(log_integrand, proposals, steps, draws, chunk)
    components = [fitted, *proposals]
    shares = [0.5, *(0.5 / len(proposals) for _ in proposals)]
    with torch.no_grad():
        latents = torch.cat([
            component.sample((max(1, round(share * samples)),))
            for component, share in zip(components, shares, strict=True)
        ])
        weights = _over(latents, log_integrand, chunk) - _mixture(components, shares, latents)
        total = weights.logsumexp(0)
        effective = (2 * total - (2 * weights).logsumexp(0)).exp()
        return Estimate(total - log(len(latents)), effective)


def _fit(
    log_integrand: LogIntegrand, proposals: Sequence[Distribution], steps: int, draws: int,
    chunk: int,
) -> Distribution:
    """Return a Gaussian near each sample's integrand, begun at the best of some draws."""
    with torch.no_grad():
        scouts = torch.cat([proposal.sample((_SCOUTS,)) for proposal in proposals])
        equal = [1 / len(proposals)] * len(proposals)
        weights = _over(scouts, log_integrand, chunk) - _mixture(proposals, equal, scouts)
        rows = weights.argmax(0)[None, :, None].expand(1, -1, scouts.shape[-1])
        start = scouts.gather(0, rows)[0]
    mean = start.clone().requires_grad_()
    log_scale = torch.full_like(start, log(_FIRST_SCALE)).requires_grad_()
    optimizer = torch.optim.Adam([mean, log_scale], lr=0.03)
    for _ in range(steps):
        latents = Normal(mean, log_scale.exp()).rsample((draws,))
        bound = log_integrand(latents).mean(0) + log_scale.sum(-1)
        slope = torch.autograd.grad(-bound.sum(), [mean, log_scale])
        mean.grad, log_scale.grad = slope
        optimizer.step()
    return Independent(Normal(mean.detach(), _WIDER * log_scale.detach().exp()), 1)


def _mixture(
    components: Sequence[Distribution], shares: Sequence[float], latents: Tensor
) -> Tensor:
    """Return the log density of a mixture."""
    return torch.stack([
        log(share) + component.log_prob(latents)
        for component, share in zip(components, shares, strict=True)
    ]).logsumexp(0)


def _over(latents: Tensor, log_integrand: LogIntegrand, chunk: int) -> Tensor:
    return torch.cat([log_integrand(part) for part in latents.split(chunk)])

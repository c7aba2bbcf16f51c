# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The paper's objectives, written as it states them, and random terms to compare on."""

from __future__ import annotations

import torch
from torch.distributions import kl_divergence, Normal

from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.subsets import lattice, without

LATENT = 3


def random_terms(n, batch, seed):
    """Draw posteriors and log-likelihoods of all subsets of n sensors in float64."""
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    subsets = lattice('abcdef'[:n])
    posteriors = {s: DiagonalGaussian(numbers(batch, LATENT), numbers(batch, LATENT))
                  for s in subsets}
    log_likelihoods = {s: {m: numbers(batch) for m in s} for s in subsets}
    return posteriors, log_likelihoods


def random_knobs(n, seed):
    """Draw all knobs from 0..2, with a beta for each subset."""
    generator = torch.Generator().manual_seed(seed)

    def number():
        return 2 * torch.rand((), generator=generator).item()

    return {'beta': {subset: number() for subset in lattice('abcdef'[:n])},
            **{name: number() for name in ('alpha', 'gamma', 'joint_prior_weight')}}


def row_of(posteriors, log_likelihoods, row):
    """Return the terms of one sample of the batch."""
    rows = slice(row, row + 1)
    return (
        {s: DiagonalGaussian(q.mean[rows], q.log_variance[rows]) for s, q in posteriors.items()},
        {s: {m: x[rows] for m, x in scores.items()} for s, scores in log_likelihoods.items()},
    )


def reference_kl(q, p=None):
    """Return torch's KL(q || p), p the standard normal by default."""
    if p is None:
        p = DiagonalGaussian.standard_like(q)
    first, second = (Normal(g.mean, (g.log_variance / 2).exp()) for g in (q, p))
    return kl_divergence(first, second).sum(-1)


def reference_bound(name, sensors, posteriors, log_likelihoods, *, alpha=1, beta=1, gamma=1,
                    joint_prior_weight=1):
    """Follow the paper literally: Eqs. 13, 27, 59/114 and the recursion of Eq. 83."""
    def jvae(subset):
        single = len(subset) == 1
        scale = beta if isinstance(beta, (int, float)) else beta[subset]
        scale = scale * (1 if single else joint_prior_weight)
        value = sum(log_likelihoods[subset][m] for m in subset) * (gamma if single else 1)
        return value - scale * reference_kl(posteriors[subset])

    def jmvae(subset):
        value = jvae(subset)
        if len(subset) > 1:
            for m in subset:
                rest = without(subset, m)
                value = value - alpha * reference_kl(posteriors[subset], posteriors[rest])
        return value

    def m2vae(subset):
        if len(subset) == 1:
            return jvae(subset)
        return (jmvae(subset) + sum(m2vae(without(subset, m)) for m in subset)) / len(subset)

    if name == 'vae':
        return sum(jvae((m,)) for m in sensors)
    return {'jvae': jvae, 'jmvae': jmvae, 'm2vae': m2vae}[name](tuple(sensors))

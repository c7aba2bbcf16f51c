# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The values and the optima of the objectives in a model whose posteriors are all known."""

from __future__ import annotations

from math import log, pi

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest
import torch
from torch.distributions import MultivariateNormal

from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.objectives import bound
from m2vae_ros.vae.subsets import lattice, m2vae_weight, without

BATCH, SIZE = 5, 2


class LinearGaussian:
    """Sensors x_m = w_m z + noise with one latent dimension, so every p(z|x_S) is diagonal."""

    def __init__(self, n, seed):
        generator = torch.Generator().manual_seed(seed)

        def drawn(*shape):
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.names = tuple('abcdefgh'[:n])
        self.weights = {m: drawn(SIZE) for m in self.names}
        self.noise = {m: 0.3 + drawn(1).abs() for m in self.names}
        z = drawn(BATCH, 1)
        self.x = {m: z * self.weights[m] + self.noise[m] * drawn(BATCH, SIZE) for m in self.names}

    def posterior(self, subset, power=1.0):
        """Return p(z) times the likelihood of the subset to a power, normalised."""
        precision = 1 + power * sum(
            self.weights[m].square().sum() / self.noise[m] ** 2 for m in subset)
        mean = power / precision * sum(
            (self.x[m] @ self.weights[m]) / self.noise[m] ** 2 for m in subset)
        return DiagonalGaussian(mean[:, None], -precision.log().expand(BATCH, 1))

    def expected_log_likelihood(self, q, m):
        """Return E_q log p(x_m|z)."""
        squared = (self.x[m] - q.mean * self.weights[m]).square().sum(-1)
        squared = squared + q.log_variance.exp()[:, 0] * self.weights[m].square().sum()
        return -0.5 * (squared / self.noise[m] ** 2 + SIZE * log(2 * pi)
                       + 2 * SIZE * self.noise[m].log())

    def log_likelihood(self, subset):
        """Return log p(x_S)."""
        joined = torch.cat([self.x[m] for m in subset], 1)
        weights = torch.cat([self.weights[m] for m in subset])
        noise = torch.cat([(self.noise[m] ** 2).expand(SIZE) for m in subset])
        covariance = torch.outer(weights, weights) + noise.diag()
        return MultivariateNormal(torch.zeros_like(weights), covariance).log_prob(joined)

    def conditional(self, m):
        """Return log p(x_m | all others)."""
        rest = without(self.names, m)
        return self.log_likelihood(self.names) - (self.log_likelihood(rest) if rest else 0)

    def terms(self, joint=None):
        """Return the exact posteriors (or another for all sensors) and log-likelihoods."""
        posteriors = {s: self.posterior(s) for s in lattice(self.names)}
        if joint is not None:
            posteriors[self.names] = joint
        return posteriors, {s: {m: self.expected_log_likelihood(q, m) for m in s}
                            for s, q in posteriors.items()}


@pytest.fixture(params=[1, 2, 3, 4, 8])
def model(request):
    return LinearGaussian(request.param, seed=request.param)


def same(first, second):
    torch.testing.assert_close(first, second, rtol=0, atol=1e-9)


def test_without_the_joint_prior_m2vae_is_the_joint_likelihood(model):
    everything = model.log_likelihood(model.names)
    same(bound('m2vae', *model.terms(), joint_prior_weight=0), everything)
    same(bound('jvae', *model.terms()), everything)
    same(bound('vae', *model.terms()), sum(model.log_likelihood((m,)) for m in model.names))


def test_the_papers_m2vae_is_loose_by_the_prior_of_the_joint_posteriors(model):
    loose = sum(
        m2vae_weight(len(subset), len(model.names)) * model.posterior(subset).kl_from_standard()
        for subset in lattice(model.names) if len(subset) > 1)
    same(bound('m2vae', *model.terms()), model.log_likelihood(model.names) - loose)


@pytest.mark.parametrize('alpha', [0.0, 0.4, 1.0])
def test_the_joint_prior_at_one_less_alpha_mixes_two_likelihoods(model, alpha):
    value = bound('jmvae', *model.terms(), alpha=alpha, joint_prior_weight=1 - alpha)
    if len(model.names) == 1:
        return same(value, model.log_likelihood(model.names))
    conditionals = sum(model.conditional(m) for m in model.names)
    return same(value, alpha * conditionals + (1 - alpha) * model.log_likelihood(model.names))


KNOB = st.floats(0.1, 2)


@given(n=st.integers(2, 4), alpha=KNOB, beta=KNOB, weight=st.floats(0, 2))
@settings(max_examples=25, deadline=None)
def test_the_best_joint_posterior_counts_the_likelihood_to_a_power(n, alpha, beta, weight):
    model = LinearGaussian(n, seed=n)
    power = (1 + alpha * (n - 1)) / (beta * weight + alpha * n)
    best = model.posterior(model.names, power)
    best = DiagonalGaussian(
        best.mean.clone().requires_grad_(), best.log_variance.clone().requires_grad_())
    knobs = {'alpha': alpha, 'beta': beta, 'joint_prior_weight': weight}
    bound('m2vae', *model.terms(best), **knobs).sum().backward()
    same(best.mean.grad, torch.zeros_like(best.mean))
    same(best.log_variance.grad, torch.zeros_like(best.mean))

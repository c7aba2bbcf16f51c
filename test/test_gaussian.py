# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Operations on posteriors against integrals on a grid and exact linear-Gaussian models."""

from __future__ import annotations

from math import log

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest
import torch
from torch.distributions import Normal

from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.information import (
    bayes_product,
    expected_information_gain,
    fuse_in_place,
    information_gain,
    pointwise_mutual_information,
    product,
)

GRID = torch.linspace(-20, 20, 40001, dtype=torch.float64)
GAUSSIANS = st.tuples(st.floats(-2, 2), st.floats(-3, -0.1))


def gaussian(*numbers):
    means, log_variances = zip(*numbers, strict=True)
    numbers64 = torch.tensor([means, log_variances], dtype=torch.float64)
    return DiagonalGaussian(numbers64[:1], numbers64[1:])


def density(q):
    return Normal(q.mean[0, 0], (q.log_variance[0, 0] / 2).exp()).log_prob(GRID).exp()


def prior():
    return Normal(0.0, 1.0).log_prob(GRID).exp()


def moments(weights):
    weights = weights / weights.sum()
    mean = (weights * GRID).sum()
    return mean, (weights * (GRID - mean).square()).sum()


@given(GAUSSIANS, GAUSSIANS, GAUSSIANS)
@settings(max_examples=30, deadline=None)
def test_a_product_has_the_moments_of_the_multiplied_densities(first, second, third):
    factors = [gaussian(n) for n in (first, second, third)]
    joint = product(factors)
    mean, variance = moments(density(factors[0]) * density(factors[1]) * density(factors[2]))
    assert joint.mean.item() == pytest.approx(mean.item(), abs=1e-9)
    assert joint.log_variance.exp().item() == pytest.approx(variance.item(), rel=1e-8)


@given(GAUSSIANS, GAUSSIANS)
@settings(max_examples=30, deadline=None)
def test_fusion_and_mutual_information_are_the_integrals_they_stand_for(first, second):
    old, new = gaussian(first), gaussian(second)
    inside = GRID.abs() < 15  # beyond, the prior underflows
    ratio = torch.where(inside, density(old) * density(new) / prior().clamp(min=1e-60), 0)
    fused, proper = fuse_in_place(old, new)
    information, finite = pointwise_mutual_information(old, new)
    assert bool(proper.all())
    assert bool(finite.all())
    if fused.log_variance.item() < 1:  # else the grid cuts the tails
        mean, variance = moments(ratio)
        assert fused.mean.item() == pytest.approx(mean.item(), abs=1e-5)
        assert fused.log_variance.exp().item() == pytest.approx(variance.item(), rel=1e-4)
        integral = (ratio.sum() * (GRID[1] - GRID[0])).log()
        assert information.item() == pytest.approx(integral.item(), abs=1e-5)


def test_fusing_exact_posteriors_gives_the_exact_joint_posterior():
    gains, noise, x = (0.7, 1.9, 0.4), (0.5, 0.8, 1.3), (0.3, -1.1, 2.0)

    def exact(*sensors):
        precision = 1 + sum(gains[m] ** 2 / noise[m] ** 2 for m in sensors)
        mean = sum(gains[m] * x[m] / noise[m] ** 2 for m in sensors) / precision
        return gaussian((mean, -log(precision)))

    fused, _ = fuse_in_place(exact(0), exact(1))
    torch.testing.assert_close(fused.mean, exact(0, 1).mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(fused.log_variance, exact(0, 1).log_variance, rtol=0, atol=1e-12)
    three = bayes_product([exact(0), exact(1), exact(2)])
    torch.testing.assert_close(three.mean, exact(0, 1, 2).mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(three.log_variance, exact(0, 1, 2).log_variance, rtol=0, atol=1e-12)
    covariance = torch.tensor([
        [gains[a] * gains[b] + (a == b) * noise[a] ** 2 for b in (0, 1)] for a in (0, 1)
    ], dtype=torch.float64)
    point = torch.tensor(x[:2], dtype=torch.float64)
    zero = torch.zeros(2, dtype=torch.float64)
    joint = torch.distributions.MultivariateNormal(zero, covariance).log_prob(point)
    alone = Normal(zero, covariance.diagonal().sqrt()).log_prob(point).sum()
    information, _ = pointwise_mutual_information(exact(0), exact(1))
    assert information.item() == pytest.approx((joint - alone).item(), abs=1e-9)


def test_what_is_not_a_gaussian_is_marked_per_dimension():
    wide, narrow = gaussian((0.5, 1.0), (0.5, -1.0)), gaussian((0.0, 1.0), (0.0, 1.0))
    fused, proper = fuse_in_place(wide, narrow)
    information, finite = pointwise_mutual_information(wide, narrow)
    assert proper.tolist() == finite.tolist() == [[False, True]]
    assert fused.mean.isnan().tolist() == [[True, False]]
    assert information.isinf().tolist() == [[True, False]]


def test_an_expert_less_certain_than_the_prior_counts_as_no_evidence():
    wide, sharp = gaussian((0.5, 1.0)), gaussian((0.2, -1.0))
    fused = bayes_product([wide, sharp])
    assert bool(fused.mean.isfinite())
    assert fused.log_variance.item() == pytest.approx(-1.0)


def test_contradiction_is_worth_less_than_agreement():
    sensor = gaussian((1.0, -2.0))
    agrees, _ = pointwise_mutual_information(sensor, gaussian((1.1, -2.0)))
    contradicts, _ = pointwise_mutual_information(sensor, gaussian((-1.0, -2.0)))
    assert agrees.item() > 0 > contradicts.item()


def test_the_expected_gain_is_the_mean_gain_over_predicted_measurements():
    generator = torch.Generator().manual_seed(0)
    gain, noise = 1.3, 0.6
    rest = gaussian((0.4, -0.5))
    latents = rest.mean + (0.5 * rest.log_variance).exp() * torch.randn(
        200_000, 1, generator=generator, dtype=torch.float64)
    measured = gain * latents + noise * torch.randn(
        latents.shape, generator=generator, dtype=torch.float64)
    precision = (-rest.log_variance).exp() + gain ** 2 / noise ** 2
    mean = ((-rest.log_variance).exp() * rest.mean + gain * measured / noise ** 2) / precision
    joint = DiagonalGaussian(mean, (-precision.log()).expand_as(mean))
    expected = expected_information_gain(rest, joint.log_variance[:1])
    assert information_gain(joint, rest).mean().item() == pytest.approx(
        expected.item(), abs=0.005)


def test_the_gain_of_an_only_sensor_is_measured_from_the_prior():
    q = gaussian((0.4, -0.5), (1.0, 0.3))
    torch.testing.assert_close(
        information_gain(q), information_gain(q, DiagonalGaussian.standard_like(q)))


def test_a_temperature_scales_the_variance():
    q = gaussian((0.4, -0.5))
    assert q.tempered(2.5).log_variance.exp().item() == pytest.approx(
        2.5 * q.log_variance.exp().item())
    with pytest.raises(ValueError, match='positive'):
        q.tempered(0)
    with pytest.raises(ValueError, match='at least one'):
        product([])

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Temperatures and coverage of a model whose right ones are known."""

from __future__ import annotations

from math import erf, exp, factorial, sqrt

import pytest
import torch

from m2vae_ros.vae.calibration import coverage, CURVE, draw_reference, fit_temperature, REGIONS
from m2vae_ros.vae.gaussian import DiagonalGaussian
from support.exact_model import exact_model, LATENT, measured

SAMPLES = 4000


def references(model, samples=100, count=SAMPLES):
    batch = measured(model, count)
    generator = torch.Generator().manual_seed(5)
    return batch, draw_reference(model, batch, samples=samples, generator=generator)


def within(found, expected, spread, count):
    """Return whether the mean of so many numbers lies within four standard errors."""
    return abs(found - expected) < 4 * spread / sqrt(count)


def test_references_are_draws_of_the_posterior_whatever_proposed_them():
    exact, wide = exact_model(), exact_model(scale=2.0, shift=0.4)
    batch, reference = references(wide, samples=300)
    posterior = exact.encode(batch, exact.names)
    standardised = (reference.latents - posterior.mean) * (-0.5 * posterior.log_variance).exp()
    for dimension in standardised.T:
        assert within(dimension.mean().item(), 0, 1, SAMPLES)
        assert within(dimension.square().mean().item(), 1, sqrt(2), SAMPLES)
    assert within(standardised.prod(1).mean().item(), 0, 1, SAMPLES)
    assert (reference.log_likelihood.effective_sample_size > 100).all()
    again = references(wide, samples=300)[1]
    assert torch.equal(again.latents, reference.latents)


@pytest.mark.parametrize('scale', [1.0, 1.44, 0.8])
def test_the_temperature_undoes_a_wrong_variance_of_every_subset(scale):
    model = exact_model(scale=scale)
    batch, reference = references(model)
    for subset in model.trained_subsets:
        posterior = model.encode(batch, subset)
        temperature = fit_temperature(posterior, reference.latents)
        assert within(temperature * scale, 1, sqrt(2), LATENT * SAMPLES)
        found = coverage(posterior.tempered(temperature), reference.latents, REGIONS)
        for level, joint, single in zip(
            REGIONS, found.observed, found.per_dimension.T, strict=True
        ):
            spread = sqrt(level * (1 - level))
            assert within(joint.item(), level, spread, SAMPLES)
            assert all(within(share.item(), level, spread, SAMPLES) for share in single)


def test_no_other_temperature_makes_references_more_likely():
    model = exact_model(scale=1.7, shift=0.2)
    batch, reference = references(model, count=50)
    posterior = model.encode(batch, ('b',))
    best = fit_temperature(posterior, reference.latents)

    def score(temperature):
        return posterior.tempered(temperature).log_prob(reference.latents).mean()

    assert score(best) > max(score(0.99 * best), score(1.01 * best), score(1.0))


def test_a_posterior_too_wide_covers_too_much():
    model = exact_model(scale=1.44)
    batch, reference = references(model)
    found = coverage(model.encode(batch, model.names), reference.latents)
    right = coverage(model.encode(batch, model.names).tempered(1 / 1.44), reference.latents)
    assert tuple(found.nominal.tolist()) == CURVE
    assert found.observed.shape == (99,)
    assert found.per_dimension.shape == (LATENT, 99)
    # Two dimensions: the region r has d^2 < -2 log(1 - r), the variances are 1.44 too large.
    expected = 1 - (1 - found.nominal) ** 1.44
    assert (found.observed - expected).abs().max() < 4 * 0.5 / sqrt(SAMPLES)
    area = (expected - found.nominal).mean().item()
    assert found.expected_calibration_error == pytest.approx(area, abs=0.02)
    assert right.expected_calibration_error < 0.02 < 0.07 < found.expected_calibration_error


@pytest.mark.parametrize('dimensions', [1, 2, 8, 96])
def test_a_region_ends_at_the_chi_square_quantile(dimensions):
    standard = DiagonalGaussian(torch.zeros(1, dimensions), torch.zeros(1, dimensions))
    for squared in (0.1, 1.0, 7.0, 95.0, 130.0):
        if dimensions == 1:
            probability = erf(sqrt(squared / 2))
        else:  # a Poisson sum, for an even number of dimensions
            probability = 1 - exp(-squared / 2) * sum(
                (squared / 2) ** i / factorial(i) for i in range(dimensions // 2))
        if not 1e-6 < probability < 1 - 1e-6:
            continue
        z = torch.zeros(1, dimensions, dtype=torch.float64)
        z[0, 0] = sqrt(squared)
        levels = (probability - 1e-7, probability + 1e-7)
        assert coverage(standard, z, levels).observed.tolist() == [0, 1]
        if dimensions > 1:  # the rest lie in the middle of their intervals
            inside = coverage(standard, z, (1e-6, 0.5)).per_dimension[1:]
            assert (inside == 1).all()


def test_the_largest_trained_subset_is_the_proposal_where_the_joint_one_is_untrained():
    model = exact_model(scale=3.0, trained_subsets=[('a',), ('b',)])
    batch, reference = references(model, samples=1000, count=500)
    exact = exact_model()
    posterior = exact.encode(batch, exact.names)
    assert fit_temperature(posterior, reference.latents) == pytest.approx(1, abs=0.2)
    assert reference.log_likelihood.effective_sample_size.median() < 500

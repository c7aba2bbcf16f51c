# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Importance-sampled likelihoods against a model whose likelihoods are known."""

from __future__ import annotations

from math import sqrt

import pytest
import torch

from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.vae.estimators import conditional, log_likelihood, predictive, summarise
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.model import Architecture, M2VAE
from m2vae_ros.vae.subsets import lattice
from support.exact_model import exact_log_likelihood, exact_model, measured

DRAWS = 20_000
WRONG = {'scale': 1.4, 'shift': 0.3}  # posteriors wider than the exact ones, and shifted


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def repeated(batch, count):
    """Return the first sample of a batch, many times."""
    return {name: SensorBatch(*(part[:1].expand(count, -1) for part in each))
            for name, each in batch.items()}


def close(found, expected, tolerance=0.01):
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize('n', [1, 2, 3])
def test_two_draws_of_the_exact_posterior_give_the_exact_likelihood(n):
    model = exact_model(n)
    batch = measured(model, 5)
    for subset in model.trained_subsets:
        found = log_likelihood(model, batch, subset, samples=2, generator=seeded())
        close(found.value, exact_log_likelihood(model, batch, subset), 1e-9)
        close(found.effective_sample_size, torch.full((5,), 2.0, dtype=torch.float64), 1e-9)
        close(found.standard_error, torch.zeros(5, dtype=torch.float64), 1e-6)


@pytest.mark.parametrize('subset', lattice('abc'), ids=''.join)
def test_draws_of_a_wrong_posterior_give_the_same_likelihood(subset):
    model = exact_model(**WRONG)
    batch = measured(model, 4)
    found = log_likelihood(model, batch, subset, samples=DRAWS, generator=seeded())
    close(found.value, exact_log_likelihood(model, batch, subset))
    assert (found.effective_sample_size < 0.95 * DRAWS).all()
    assert (found.effective_sample_size > 0.5 * DRAWS).all()


@pytest.mark.parametrize(('sensors', 'proposal'), [('ab', 'b'), ('ab', 'abc'), ('c', 'ac')])
def test_any_trained_subset_can_be_the_proposal(sensors, proposal):
    model = exact_model(scale=4.0, trained_subsets=[tuple(proposal)])
    batch = measured(model, 4)
    found = log_likelihood(
        model, batch, tuple(sensors), samples=2 * DRAWS, generator=seeded(),
        proposal=tuple(proposal))
    assert (found.standard_error < 0.05).all()
    error = (found.value - exact_log_likelihood(model, batch, sensors)).abs()
    assert (error < 4 * found.standard_error).all()


@pytest.mark.parametrize(('target', 'given'), [('a', 'b'), ('ab', 'c'), ('c', 'ab')])
def test_the_conditional_likelihood_is_exact_whatever_the_encoder(target, given):
    model = exact_model(**WRONG)
    batch = measured(model, 4)
    found = conditional(model, batch, target, given, samples=DRAWS, generator=seeded())
    close(found.value, exact_log_likelihood(model, batch, sorted(target + given))
          - exact_log_likelihood(model, batch, given))


@pytest.mark.parametrize(('target', 'given'), [('a', 'b'), ('ab', 'c'), ('c', 'ab')])
def test_the_predictive_likelihood_is_that_of_the_encoder(target, given):
    exact, wide = exact_model(), exact_model(scale=3.0)
    batch = measured(exact, 50)
    truth = exact_log_likelihood(exact, batch, sorted(target + given)) \
        - exact_log_likelihood(exact, batch, given)
    found = predictive(exact, batch, target, given, samples=2 * DRAWS, generator=seeded())
    assert (found.value - truth).mean().abs() < 0.01
    assert ((found.value - truth).abs() < 5 * found.standard_error).all()
    worse = predictive(wide, batch, target, given, samples=2000, generator=seeded())
    assert worse.value.mean() < truth.mean() - 0.05


def test_the_standard_error_is_that_of_repetitions():
    model = exact_model(scale=1.8, shift=0.5)
    batch = repeated(measured(model, 1), 2000)
    for found in (
        log_likelihood(model, batch, 'abc', samples=100, generator=seeded()),
        conditional(model, batch, 'b', 'ac', samples=100, generator=seeded()),
        predictive(model, batch, 'b', 'ac', samples=100, generator=seeded()),
    ):
        spread = found.value.std()
        assert 0.01 < spread < 0.3
        assert found.standard_error.mean() == pytest.approx(spread.item(), rel=0.1)


def test_the_chunk_affects_memory_and_nothing_else():
    model = exact_model(**WRONG)
    batch = measured(model, 3)
    decoded = []
    model.decoders['a'].register_forward_hook(
        lambda _, latents, __: decoded.append(latents[0].shape))
    whole = log_likelihood(model, batch, 'ab', samples=100, generator=seeded(), chunk=100)
    assert decoded == [(100, 3, 2)]
    for chunk in (1, 7, 64, 1000):
        decoded.clear()
        parts = log_likelihood(model, batch, 'ab', samples=100, generator=seeded(), chunk=chunk)
        assert max(draws for draws, *_ in decoded) <= chunk
        assert sum(draws for draws, *_ in decoded) == 100
        for part, all_at_once in zip(vars(parts).values(), vars(whole).values(), strict=True):
            close(part, all_at_once, 1e-9)


def test_the_generator_decides_the_draws():
    model = exact_model(**WRONG)
    batch = measured(model, 3)
    first, second, third = (
        log_likelihood(model, batch, 'abc', samples=10, generator=seeded(seed)).value
        for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.isclose(first, third).any()


def test_a_measurement_that_hardly_any_draw_explains_has_a_finite_estimate():
    model = exact_model(**WRONG)
    batch = {name: each._replace(values=each.values + 1e3)
             for name, each in measured(model, 3).items()}
    found = log_likelihood(model, batch, 'abc', samples=100, generator=seeded(), proposal='a')
    assert (found.value < -1e5).all()
    assert found.value.isfinite().all()
    assert (found.effective_sample_size < 3).all()


def test_single_precision_networks_are_summed_in_double():
    torch.manual_seed(0)
    model = M2VAE(SENSORS, Architecture(8, 16, 16)).eval()
    batch = {}
    for spec in SENSORS:
        seen = torch.ones(2, *spec.spatial_shape, dtype=torch.bool)
        batch[spec.name] = SensorBatch(torch.rand(2, *spec.shape), seen, seen)
    for found in (
        log_likelihood(model, batch, model.names, samples=6, generator=seeded(), chunk=4),
        conditional(model, batch, ['lidar'], ['camera'], samples=6, generator=seeded()),
        predictive(model, batch, ['depth'], ['lidar', 'camera'], samples=6, generator=seeded()),
    ):
        for tensor in vars(found).values():
            assert tensor.shape == (2,)
            assert tensor.dtype == torch.float64
            assert not tensor.requires_grad
            assert tensor.isfinite().all()


def test_a_data_set_gets_an_error_bar():
    model = exact_model(**WRONG)
    batch = measured(model, 900)
    parts = [{name: SensorBatch(*(part[rows] for part in each)) for name, each in batch.items()}
             for rows in (slice(0, 500), slice(500, 900))]
    summary = summarise(
        log_likelihood(model, part, 'abc', samples=50, generator=seeded()) for part in parts)
    truth = exact_log_likelihood(model, batch, 'abc')
    assert summary.samples == 900
    assert summary.mean == pytest.approx(truth.mean().item(), abs=0.02)
    assert summary.standard_error == pytest.approx(truth.std().item() / sqrt(900), rel=0.05)
    assert 25 < summary.effective_sample_size < 50
    with pytest.raises(ValueError, match='1 samples'):
        summarise([log_likelihood(model, measured(model, 1), 'a', samples=2)])


@pytest.mark.parametrize(('call', 'reason'), [
    (lambda m, x: log_likelihood(m, x, ['sonar'], samples=9), 'sonar'),
    (lambda m, x: log_likelihood(m, x, [], samples=9), 'one or more of a, b, c'),
    (lambda m, x: log_likelihood(m, x, 'ab', samples=9), 'no trained encoder'),
    (lambda m, x: log_likelihood(m, x, 'ab', samples=1, proposal='a'), '1 draws'),
    (lambda m, x: log_likelihood(m, x, 'a', samples=9, chunk=0), '0 at once'),
    (lambda m, x: conditional(m, x, 'ab', 'a', samples=9), 'a: cannot be both'),
    (lambda m, x: predictive(m, x, 'ab', 'b', samples=9), 'b: cannot be both'),
    (lambda m, x: predictive(m, x, 'a', '', samples=9), 'one or more'),
])
def test_wrong_arguments_are_rejected_with_their_reason(call, reason):
    model = exact_model(trained_subsets=[('a',)])
    with pytest.raises(ValueError, match=reason):
        call(model, measured(model, 2))

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The objectives against independent references: the paper's recursion and torch's Gaussians."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest
import torch
from torch.distributions import Normal

from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.objectives import bound, normalised_beta
from m2vae_ros.vae.subsets import lattice, m2vae_weight
from m2vae_ros.vae.terms import OBJECTIVES, reconstructions, required_subsets
from support.objective_reference import (
    LATENT,
    random_knobs,
    random_terms,
    reference_bound,
    reference_kl,
    row_of,
)


@pytest.mark.parametrize('name', OBJECTIVES)
@pytest.mark.parametrize('n', range(1, 7))
def test_a_bound_equals_the_papers_recursion(name, n):
    posteriors, log_likelihoods = random_terms(n, 4, seed=n)
    for knobs in ({}, random_knobs(n, 10 + n), random_knobs(n, 20 + n)):
        value = bound(name, posteriors, log_likelihoods, **knobs)
        expected = reference_bound(name, 'abcdef'[:n], posteriors, log_likelihoods, **knobs)
        assert value.shape == (4,)
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-9)


@given(n=st.integers(1, 4), seed=st.integers(0, 1000), name=st.sampled_from(OBJECTIVES))
@settings(max_examples=40, deadline=None)
def test_a_sample_gets_the_objective_of_the_sensors_it_has(n, seed, name):
    masks = [m for m in product([False, True], repeat=n) if any(m)]
    terms, knobs = random_terms(n, len(masks), seed), random_knobs(n, seed)
    value = bound(name, *terms, available=torch.tensor(masks), **knobs)
    for row, mask in enumerate(masks):
        sensors = [m for m, has in zip('abcdef', mask, strict=False) if has]
        expected = reference_bound(name, sensors, *row_of(*terms, row), **knobs)
        torch.testing.assert_close(value[row:row + 1], expected, rtol=0, atol=1e-9)


def test_terms_of_absent_sensors_may_be_nan_in_value_and_gradient():
    posteriors, log_likelihoods = random_terms(2, 2, seed=0)
    for subset in (('b',), ('a', 'b')):
        posteriors[subset].mean[0] = torch.nan
        posteriors[subset].log_variance[0] = torch.nan
        for scores in log_likelihoods[subset].values():
            scores[0] = torch.nan
    leaves = [q.mean.requires_grad_() for q in posteriors.values()]
    leaves += [q.log_variance.requires_grad_() for q in posteriors.values()]
    leaves += [x.requires_grad_() for d in log_likelihoods.values() for x in d.values()]
    available = torch.tensor([[True, False], [True, True]])
    value = bound('m2vae', posteriors, log_likelihoods, available=available)
    value.sum().backward()
    assert value.isfinite().all()
    assert all(leaf.grad.isfinite().all() for leaf in leaves)
    assert (posteriors['a', 'b'].mean.grad[0] == 0).all()
    assert (posteriors['a', 'b'].mean.grad[1] != 0).all()


def test_the_weights_add_up_to_the_harmonic_number():
    for n in range(1, 9):
        total = sum(m2vae_weight(len(subset), n) for subset in lattice('abcdefgh'[:n]))
        assert total == pytest.approx(sum(1 / k for k in range(1, n + 1)))


@pytest.mark.parametrize('name', OBJECTIVES)
def test_a_step_needs_no_more_than_is_listed(name):
    posteriors, log_likelihoods = random_terms(3, 3, seed=0)
    available = torch.tensor([[True, False, True], [False, True, False], [True, False, True]])
    for options in ({}, {'available': available}):
        needed = reconstructions(name, ('a', 'b', 'c'), **options)
        value = bound(
            name, {subset: posteriors[subset] for subset in needed},
            {s: {m: log_likelihoods[s][m] for m in sensors} for s, sensors in needed.items()},
            names=('a', 'b', 'c'), **options)
        assert torch.equal(value, bound(name, posteriors, log_likelihoods, **options))
        for subset in needed:
            fewer = {other: q for other, q in posteriors.items() if other != subset}
            with pytest.raises(ValueError, match='needs the posterior'):
                bound(name, fewer, log_likelihoods, names=('a', 'b', 'c'), **options)


def test_an_objective_trains_the_subsets_it_needs():
    assert required_subsets('vae', ('a', 'b', 'c')) == [('a',), ('b',), ('c',)]
    assert required_subsets('jvae', ('a', 'b')) == [('a', 'b')]
    assert required_subsets('jmvae', ('a', 'b', 'c')) == lattice('abc')[3:]
    assert required_subsets('m2vae', ('a', 'b', 'c')) == lattice('abc')
    assert required_subsets('jmvae', ('a',)) == [('a',)]
    assert reconstructions('jmvae', ('a', 'b')) == {('a',): (), ('b',): (), ('a', 'b'): ('a', 'b')}


def test_beta_follows_the_size_of_the_data():
    beta = normalised_beta(0.5, {'a': 30, 'b': 10}, 4)
    assert beta == {('a',): 3.75, ('b',): 1.25, ('a', 'b'): 5.0}
    posteriors, log_likelihoods = random_terms(2, 2, seed=0)
    with pytest.raises(ValueError, match='beta has no number'):
        bound('m2vae', posteriors, log_likelihoods, beta={('a',): 1.0})


def test_wrong_input_is_rejected_with_its_reason():
    posteriors, log_likelihoods = random_terms(2, 2, seed=0)
    with pytest.raises(ValueError, match='must be one of vae, jvae'):
        bound('mvae', posteriors, log_likelihoods)
    with pytest.raises(ValueError, match='without any sensor'):
        bound('m2vae', posteriors, log_likelihoods,
              available=torch.tensor([[True, True], [False, False]]))
    with pytest.raises(ValueError, match=r'shape \(2, 3\): must be \(batch, 2\)'):
        bound('m2vae', posteriors, log_likelihoods, available=torch.ones(2, 3).bool())
    with pytest.raises(ValueError, match='3 samples, the posteriors 2'):
        bound('m2vae', posteriors, log_likelihoods, available=torch.ones(3, 2).bool())
    with pytest.raises(ValueError, match='log-likelihood of b'):
        bound('m2vae', posteriors, {**log_likelihoods, ('a', 'b'): {'a': torch.zeros(2)}})
    with pytest.raises(ValueError, match='give names'):
        bound('vae', {('a',): posteriors['a',], ('b', 'c'): posteriors['b',]}, log_likelihoods)


def test_a_gaussian_agrees_with_torch():
    posteriors, _ = random_terms(2, 5, seed=4)
    q, p = posteriors['a',], posteriors['b',]
    torch.testing.assert_close(q.kl(p), reference_kl(q, p))
    torch.testing.assert_close(q.kl_from_standard(), reference_kl(q))
    normal = Normal(q.mean, (q.log_variance / 2).exp())
    torch.testing.assert_close(q.log_prob(p.mean), normal.log_prob(p.mean).sum(-1))
    many = DiagonalGaussian(q.mean.expand(20000, 5, LATENT), q.log_variance)
    drawn = many.rsample(torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mean(0), q.mean, rtol=0, atol=0.1)
    torch.testing.assert_close(drawn.var(0).log(), q.log_variance, rtol=0, atol=0.1)

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The objectives against independent references: the paper's recursion and torch's Gaussians."""

from __future__ import annotations

from itertools import pairwise, permutations, product

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest
import torch
from torch.distributions import kl_divergence, Normal

from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.objectives import bound, OBJECTIVES, required_subsets
from m2vae_ros.vae.subsets import lattice, m2vae_weight

LATENT = 3


def random_terms(n, batch, seed, *, requires_grad=False):
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape):
        drawn = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return drawn.requires_grad_(requires_grad)

    subsets = lattice('abcdef'[:n])
    posteriors = {s: DiagonalGaussian(numbers(batch, LATENT), numbers(batch, LATENT))
                  for s in subsets}
    log_likelihoods = {s: {m: numbers(batch) for m in s} for s in subsets}
    return posteriors, log_likelihoods


def reference_kl(q, p=None):
    if p is None:
        p = DiagonalGaussian(torch.zeros_like(q.mean), torch.zeros_like(q.mean))
    first, second = (Normal(g.mean, (g.log_variance / 2).exp()) for g in (q, p))
    return kl_divergence(first, second).sum(-1)


def reference(name, sensors, posteriors, log_likelihoods, alpha=1, beta=1, gamma=1, weight=1):
    """Follow the paper word for word: Eqs. 13, 27, 59/114 and the recursion 83."""
    def jvae(subset):
        single = len(subset) == 1
        value = sum(log_likelihoods[subset][m] for m in subset) * (gamma if single else 1)
        return value - beta * (1 if single else weight) * reference_kl(posteriors[subset])

    def jmvae(subset):
        value = jvae(subset)
        if len(subset) > 1:
            for m in subset:
                rest = tuple(other for other in subset if other != m)
                value = value - alpha * reference_kl(posteriors[subset], posteriors[rest])
        return value

    def m2vae(subset):
        if len(subset) == 1:
            return jvae(subset)
        smaller = sum(m2vae(tuple(o for o in subset if o != m)) for m in subset)
        return (jmvae(subset) + smaller) / len(subset)

    if name == 'vae':
        return sum(jvae((m,)) for m in sensors)
    return {'jvae': jvae, 'jmvae': jmvae, 'm2vae': m2vae}[name](sensors)


@pytest.mark.parametrize('name', OBJECTIVES)
@pytest.mark.parametrize('n', range(1, 7))
def test_a_bound_is_what_the_papers_recursion_gives(name, n):
    posteriors, log_likelihoods = random_terms(n, 4, seed=n)
    knobs = torch.rand(4, generator=torch.Generator().manual_seed(10 + n)).tolist()
    value = bound(name, posteriors, log_likelihoods, alpha=knobs[0], beta=knobs[1],
                  gamma=knobs[2], joint_prior_weight=knobs[3])
    expected = reference(name, tuple('abcdef'[:n]), posteriors, log_likelihoods, *knobs)
    assert value.shape == (4,)
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-9)


@given(n=st.integers(1, 4), seed=st.integers(0, 1000), name=st.sampled_from(OBJECTIVES))
@settings(max_examples=40, deadline=None)
def test_a_sample_gets_the_objective_of_the_sensors_it_has(n, seed, name):
    names = 'abcdef'[:n]
    masks = [m for m in product([False, True], repeat=n) if any(m)]
    posteriors, log_likelihoods = random_terms(n, len(masks), seed)
    value = bound(name, posteriors, log_likelihoods, available=torch.tensor(masks))
    for row, mask in enumerate(masks):
        sensors = tuple(m for m, has in zip(names, mask, strict=True) if has)
        one = {s: DiagonalGaussian(q.mean[row:row + 1], q.log_variance[row:row + 1])
               for s, q in posteriors.items()}
        scores = {s: {m: x[row:row + 1] for m, x in d.items()}
                  for s, d in log_likelihoods.items()}
        expected = reference(name, sensors, one, scores)
        torch.testing.assert_close(value[row:row + 1], expected, rtol=0, atol=1e-9)


def test_what_a_sample_lacks_may_be_nan_in_value_and_gradient():
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
    assert (posteriors[('a', 'b')].mean.grad[0] == 0).all()
    assert (posteriors[('a', 'b')].mean.grad[1] != 0).all()


def test_the_weights_add_up_to_the_harmonic_number():
    for n in range(1, 9):
        total = sum(m2vae_weight(len(subset), n) for subset in lattice('abcdefgh'[:n]))
        assert total == pytest.approx(sum(1 / k for k in range(1, n + 1)))


def test_the_mean_over_all_orderings_is_the_closed_form():
    posteriors, log_likelihoods = random_terms(4, 2, seed=3)
    values = []
    for ordering in permutations('abcd'):
        prefixes = [tuple(sorted(ordering[:k])) for k in range(1, 5)]
        value = 0
        for subset in prefixes:
            value = value + bound('jvae', {subset: posteriors[subset]}, log_likelihoods) / len(
                subset)
        for smaller, larger in pairwise(prefixes):
            value = value - reference_kl(posteriors[larger], posteriors[smaller])
        values.append(value)
    closed = bound('m2vae', posteriors, log_likelihoods)
    torch.testing.assert_close(torch.stack(values).mean(0), closed, rtol=0, atol=1e-9)


def test_wrong_input_is_refused_with_its_reason():
    posteriors, log_likelihoods = random_terms(2, 2, seed=0)
    with pytest.raises(ValueError, match='must be one of vae, jvae'):
        bound('mvae', posteriors, log_likelihoods)
    with pytest.raises(ValueError, match='without any sensor'):
        bound('m2vae', posteriors, log_likelihoods,
              available=torch.tensor([[True, True], [False, False]]))
    with pytest.raises(ValueError, match='shape'):
        bound('m2vae', posteriors, log_likelihoods, available=torch.ones(2, 3).bool())
    del posteriors['a',]
    with pytest.raises(ValueError, match='needs the posterior'):
        bound('m2vae', posteriors, log_likelihoods)


def test_an_objective_trains_the_subsets_it_needs():
    assert required_subsets('vae', ('a', 'b', 'c')) == [('a',), ('b',), ('c',)]
    assert required_subsets('jvae', ('a', 'b')) == [('a', 'b')]
    assert len(required_subsets('jmvae', ('a', 'b', 'c'))) == 4
    assert len(required_subsets('m2vae', ('a', 'b', 'c'))) == 7
    assert required_subsets('jmvae', ('a',)) == [('a',)]


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

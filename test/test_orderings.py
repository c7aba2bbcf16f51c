# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The objective estimated from one ordering of the sensors: it is unbiased and needs little."""

from __future__ import annotations

from itertools import permutations, product

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest
import torch

from m2vae_ros.vae.objectives import bound
from m2vae_ros.vae.terms import reconstructions
from support.objective_reference import random_knobs, random_terms, reference_kl, row_of


@pytest.mark.parametrize('n', range(1, 6))
def test_the_mean_over_all_orderings_is_the_objective(n):
    posteriors, log_likelihoods = random_terms(n, 3, seed=n)
    for knobs in ({}, random_knobs(n, n)):
        values = [bound('m2vae', posteriors, log_likelihoods, ordering=ordering, **knobs)
                  for ordering in permutations('abcdef'[:n])]
        closed = bound('m2vae', posteriors, log_likelihoods, **knobs)
        torch.testing.assert_close(torch.stack(values).mean(0), closed, rtol=0, atol=1e-9)


@given(n=st.integers(1, 4), seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_it_is_unbiased_whatever_sensors_a_sample_has(n, seed):
    masks = torch.tensor([m for m in product([False, True], repeat=n) if any(m)])
    posteriors, log_likelihoods = random_terms(n, len(masks), seed)
    options = {'available': masks, **random_knobs(n, seed)}
    values = [bound('m2vae', posteriors, log_likelihoods, ordering=ordering, **options)
              for ordering in permutations('abcdef'[:n])]
    closed = bound('m2vae', posteriors, log_likelihoods, **options)
    torch.testing.assert_close(torch.stack(values).mean(0), closed, rtol=0, atol=1e-9)


def by_hand(ordering, posteriors, log_likelihoods, alpha, beta, gamma, joint_prior_weight):
    """Sum the terms of the prefixes of an ordering, one after the other."""
    value, before = 0, None
    for size, last in enumerate(ordering, start=1):
        subset = tuple(sorted(ordering[:size]))
        score = log_likelihoods[subset][last] * (gamma if size == 1 else 1)
        scale = beta[subset] * (joint_prior_weight if size > 1 else 1)
        value = value + score - scale * reference_kl(posteriors[subset]) / size
        if before is not None:
            value = value - alpha * reference_kl(posteriors[subset], posteriors[before])
        before = subset
    return value


@pytest.mark.parametrize('ordering', ['abc', 'cab', 'bca'])
def test_a_sample_skips_the_sensors_that_it_lacks(ordering):
    masks = [m for m in product([False, True], repeat=3) if any(m)]
    terms, knobs = random_terms(3, len(masks), 0), random_knobs(3, 0)
    value = bound('m2vae', *terms, ordering=ordering, available=torch.tensor(masks), **knobs)
    for row, mask in enumerate(masks):
        has = {name for name, there in zip('abc', mask, strict=True) if there}
        kept = [name for name in ordering if name in has]
        expected = by_hand(kept, *row_of(*terms, row), **knobs)
        torch.testing.assert_close(value[row:row + 1], expected, rtol=0, atol=1e-9)


def test_an_ordering_needs_one_subset_and_one_reconstruction_for_each_sensor():
    assert reconstructions('m2vae', ('a', 'b', 'c'), ordering='cab') == {
        ('c',): ('c',), ('a', 'c'): ('a',), ('a', 'b', 'c'): ('b',)}
    available = torch.tensor([[True, True, False], [True, True, True], [False, True, False]])
    assert reconstructions('m2vae', ('a', 'b', 'c'), ordering='cab', available=available) == {
        ('a',): ('a',), ('b',): ('b',), ('c',): ('c',),
        ('a', 'b'): ('b',), ('a', 'c'): ('a',), ('a', 'b', 'c'): ('b',)}


def test_what_is_needed_is_enough():
    posteriors, log_likelihoods = random_terms(3, 2, seed=0)
    available = torch.tensor([[True, False, True], [False, True, True]])
    for options in ({}, {'available': available}):
        options['ordering'] = ('b', 'c', 'a')
        needed = reconstructions('m2vae', ('a', 'b', 'c'), **options)
        value = bound(
            'm2vae', {subset: posteriors[subset] for subset in needed},
            {s: {m: log_likelihoods[s][m] for m in sensors} for s, sensors in needed.items()},
            names=('a', 'b', 'c'), **options)
        assert torch.equal(value, bound('m2vae', posteriors, log_likelihoods, **options))


def test_a_wrong_ordering_is_rejected_with_its_reason():
    posteriors, log_likelihoods = random_terms(2, 2, seed=0)
    for ordering in ('a', 'aab', 'ac'):
        with pytest.raises(ValueError, match='must have each of'):
            bound('m2vae', posteriors, log_likelihoods, ordering=ordering)
    with pytest.raises(ValueError, match='jmvae has no orderings'):
        bound('jmvae', posteriors, log_likelihoods, ordering='ab')

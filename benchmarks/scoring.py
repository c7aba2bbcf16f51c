# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Scores that hold for every model that `multivae_models.build` makes, whatever its posterior.

One importance-sampled estimate for all: each model's own posterior is the proposal, a mixture
with the density of a mixture, and each model's own prior is its prior. All are means over the
batch, in nats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log

from compared_networks import Batch, Model
import torch
from torch import Tensor
from torch.distributions import Distribution

from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.subsets import Subset, without

_CHUNK = 64  # draws decoded at once


def criterion(model: Model, batch: Batch, samples: int) -> dict[str, float]:
    """Return what a setting is chosen by: ``joint`` and ``other_given_one`` of `likelihoods`."""
    names = tuple(model.names)
    joint, _ = log_likelihood(model, batch, names, samples)
    singles = [(name,) for name in names]
    return {
        'joint': float(joint.mean()),
        'other_given_one': _predictive_mean(model, batch, singles, samples),
    }


def likelihoods(model: Model, batch: Batch, samples: int) -> dict[str, float]:
    """
    Return the likelihoods that the models are compared by.

    ``joint`` is log p(x_M), with the number of draws that count as ``effective_samples``.
    ``other_given_one`` and ``one_given_rest``, means over the sensors, are predictive: the log of
    the mean of p(x_T|z) over z ~ q_S. The same with ``conditional_`` in front is the generative
    model's own, log p(x_M) - log p(x_S), each importance-sampled; a posterior that is wrong lowers
    the first, while the second can only suffer from too few draws.
    """
    names = tuple(model.names)
    joint, effective = log_likelihood(model, batch, names, samples)
    scores = {'joint': float(joint.mean()), 'effective_samples': float(effective.mean())}
    for title, given in (
        ('other_given_one', [(name,) for name in names]),
        ('one_given_rest', [without(names, name) for name in names]),
    ):
        scores[title] = _predictive_mean(model, batch, given, samples)
        scores[f'conditional_{title}'] = _mean([
            joint - log_likelihood(model, batch, subset, samples)[0] for subset in given
        ])
    return scores


def _predictive_mean(
    model: Model, batch: Batch, given: Sequence[Subset], samples: int
) -> float:
    """Return the mean of log p(x_T|x_S), predictive, of the subsets S; T is what S lacks."""
    return _mean([
        predictive(
            model, batch, tuple(name for name in model.names if name not in subset), subset,
            samples,
        )
        for subset in given
    ])


@torch.no_grad()
def log_likelihood(
    model: Model, batch: Batch, subset: Subset, samples: int
) -> tuple[Tensor, Tensor]:
    """Return the estimate of log p(x_S) with z ~ q_S and its effective sample size, per sample."""
    posterior = model.posterior(batch, subset)
    prior = model.prior()

    def weights(latents: Tensor) -> Tensor:
        explained = _score(model, batch, subset, latents)
        return explained + prior.log_prob(latents) - posterior.log_prob(latents)

    log_weights = _over_draws(posterior, samples, weights)
    total = log_weights.logsumexp(0)
    effective = (2 * total - (2 * log_weights).logsumexp(0)).exp()
    return total - log(samples), effective


@torch.no_grad()
def predictive(
    model: Model, batch: Batch, target: Subset, given: Subset, samples: int
) -> Tensor:
    """Return the log of the mean of p(x_T|z) over z ~ q_S, per sample."""
    scores = _over_draws(
        model.posterior(batch, given), samples, lambda z: _score(model, batch, target, z)
    )
    return scores.logsumexp(0) - log(samples)


def _over_draws(
    posterior: Distribution, samples: int, score: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return the scores of draws, ``(samples, batch)``, with bounded memory."""
    sizes = [min(_CHUNK, samples - start) for start in range(0, samples, _CHUNK)]
    return torch.cat([score(posterior.sample((size,))) for size in sizes])


def _score(model: Model, batch: Batch, sensors: Sequence[str], latents: Tensor) -> Tensor:
    """Return log p(x_T|z)."""
    total = torch.zeros(latents.shape[:-1])
    for name in sensors:
        total += model.decode(latents, name).log_prob(batch[name])
    return total


def _mean(scores: Sequence[Tensor]) -> float:
    return float(torch.stack(list(scores)).mean())


def select(batch: Batch, rows: Tensor | slice) -> dict[str, SensorBatch]:
    """Return some samples of a batch."""
    return {name: SensorBatch(*(part[rows] for part in each)) for name, each in batch.items()}

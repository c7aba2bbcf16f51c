# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Scores for every model that `multivae_models.build` makes, whatever its posterior.

All are estimated by `fitted_sampling.log_integral`, with each model's own posterior as a proposal,
a mixture if it is one, and each model's own prior. They are means over the batch, in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from compared_networks import Batch, Model
from fitted_sampling import Estimate, log_integral
import torch
from torch import Tensor
from torch.distributions import Distribution

from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.subsets import Subset, without


@dataclass(frozen=True)
class Effort:
    """
    How much to compute for the estimates of likelihoods.

    Parameters
    ----------
    samples
        Draws for each integral.
    fit_steps, fit_draws
        Steps and draws of the fit of a proposal, see `fitted_sampling.log_integral`.

    """

    samples: int = 512
    fit_steps: int = 150
    fit_draws: int = 8


def criterion(model: Model, batch: Batch, effort: Effort) -> dict[str, float]:
    """Return the figures by which a setting is chosen, ``joint`` and ``other_given_one``."""
    return {
        'joint': float(joint(model, batch, effort).value.mean()),
        'other_given_one': _mean([
            predictive(model, batch, (name,), effort).value for name in model.names
        ]),
    }


def likelihoods(model: Model, batch: Batch, effort: Effort) -> dict[str, float]:
    """
    Return the likelihoods that the models are compared by.

    ``joint`` is log p(x_M), which depends on the generative model alone. ``other_given_one`` and
    ``one_given_rest`` are predictive, the log of the integral of p(x_T|z) q_S(z), and means over
    the sensors. ``drawn_other_given_one`` estimates the first of them as the log of a mean over
    draws of q_S, as many as the other estimates have; it lacks what the draws do not meet. The
    effective sample sizes are medians over the samples; that of the predictive is the smallest of
    all sensors.
    """
    names = tuple(model.names)
    whole = joint(model, batch, effort)
    others = [predictive(model, batch, (name,), effort) for name in names]
    rest = [predictive(model, batch, without(names, name), effort) for name in names]
    return {
        'joint': float(whole.value.mean()),
        'other_given_one': _mean([estimate.value for estimate in others]),
        'one_given_rest': _mean([estimate.value for estimate in rest]),
        'drawn_other_given_one': _mean([
            drawn(model, batch, (name,), effort.samples) for name in names
        ]),
        'joint_effective_samples': float(whole.effective.median()),
        'other_effective_samples': min(float(each.effective.median()) for each in others),
    }


def joint(model: Model, batch: Batch, effort: Effort) -> Estimate:
    """Return log p(x_M) of every sample."""
    prior = model.prior()
    return log_integral(
        lambda z: _log_likelihood(model, batch, model.names, z) + prior.log_prob(z),
        [_posterior(model, batch, tuple(model.names))],
        samples=effort.samples, steps=effort.fit_steps, draws=effort.fit_draws,
    )


def predictive(model: Model, batch: Batch, given: Subset, effort: Effort) -> Estimate:
    """Return the predictive log p(x_T|x_S) of every sample; T is what S lacks."""
    posterior, target = _posterior(model, batch, given), _missing_from(model, given)
    return log_integral(
        lambda z: _log_likelihood(model, batch, target, z) + posterior.log_prob(z),
        [posterior, _posterior(model, batch, tuple(model.names))],
        samples=effort.samples, steps=effort.fit_steps, draws=effort.fit_draws,
    )


@torch.no_grad()
def drawn(model: Model, batch: Batch, given: Subset, samples: int, chunk: int = 64) -> Tensor:
    """Return the log of the mean of p(x_T|z) over draws of q_S, per sample."""
    posterior, target = model.posterior(batch, given), _missing_from(model, given)
    sizes = [min(chunk, samples - start) for start in range(0, samples, chunk)]
    scores = torch.cat([
        _log_likelihood(model, batch, target, posterior.sample((size,))) for size in sizes
    ])
    return scores.logsumexp(0) - log(samples)


@torch.no_grad()
def _posterior(model: Model, batch: Batch, subset: Subset) -> Distribution:
    return model.posterior(batch, subset)


def _missing_from(model: Model, given: Subset) -> Subset:
    return tuple(name for name in model.names if name not in given)


def _log_likelihood(model: Model, batch: Batch, sensors: Sequence[str], latents: Tensor) -> Tensor:
    """Return log p(x_T|z)."""
    total = torch.zeros(latents.shape[:-1])
    for name in sensors:
        total = total + model.decode(latents, name).log_prob(batch[name])
    return total


def _mean(scores: Sequence[Tensor]) -> float:
    return float(torch.stack(list(scores)).mean())


def select(batch: Batch, rows: Tensor | slice) -> dict[str, SensorBatch]:
    """Return some samples of a batch."""
    return {name: SensorBatch(*(part[rows] for part in each)) for name, each in batch.items()}

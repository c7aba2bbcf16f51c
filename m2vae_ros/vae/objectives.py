# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The four objectives of the paper as pure functions of posteriors and log-likelihoods.

`m2vae_ros.vae.terms` says which terms each of them has, and with which weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.subsets import lattice, Subset
from m2vae_ros.vae.terms import make_plan, Plan


@dataclass(frozen=True, eq=False)
class Parts:
    """
    The parts of a bound, per sample, in nats; weights and knobs are applied.

    Parameters
    ----------
    kl_prior
        Sum of the divergences from the prior, ``(batch,)``.
    scored
        (subset, sensor) of each reconstruction.
    scores
        The reconstruction terms, ``(reconstructions, batch)``.
    kl_mutual
        Sum of the mutual divergences, ``(batch,)``; None for objectives that have none.

    Examples
    --------
    >>> q = DiagonalGaussian(torch.ones(1, 2), torch.zeros(1, 2))
    >>> found = parts('vae', {('imu',): q}, {('imu',): {'imu': torch.tensor([-3.0])}}, Knobs())
    >>> found.reconstruction('imu').tolist(), found.kl_prior.tolist(), found.bound().tolist()
    ([-3.0], [1.0], [-4.0])

    """

    kl_prior: Tensor
    scored: Sequence[tuple[Subset, str]]
    scores: Tensor
    kl_mutual: Tensor | None

    def bound(self) -> Tensor:
        """Return the reconstruction terms minus the divergences, ``(batch,)``."""
        value = self.scores.sum(0) - self.kl_prior
        return value if self.kl_mutual is None else value - self.kl_mutual

    def reconstruction(self, sensor: str) -> Tensor:
        """Return the sum of one sensor's reconstruction terms, ``(batch,)``."""
        rows = [row for row, (_, scored) in enumerate(self.scored) if scored == sensor]
        return self.scores[rows].sum(0)


@dataclass(frozen=True)
class Knobs:
    """
    The weights of an objective's terms; the defaults are the paper's objectives.

    Parameters
    ----------
    alpha
        Scales the mutual divergences KL(q_S || q_{S without m}).
    beta
        Scales the divergence from the prior, KL(q_S || p): one number, or one for each subset
        (see `normalised_beta`).
    gamma
        Scales the reconstruction terms of single-sensor subsets.
    joint_prior_weight
        Scales KL(q_S || p) of subsets of two or more sensors, in addition to beta.

    Examples
    --------
    >>> knobs = Knobs(beta=0.5, joint_prior_weight=0)
    >>> knobs.prior_weight(('lidar',)), knobs.prior_weight(('camera', 'lidar'))
    (0.5, 0.0)

    """

    alpha: float = 1
    beta: float | Mapping[Subset, float] = 1
    gamma: float = 1
    joint_prior_weight: float = 1

    def prior_weight(self, subset: Subset) -> float:
        """
        Return the weight of KL(q_S || p).

        Raises
        ------
        ValueError
            If beta is a mapping that lacks the subset.

        """
        beta = self.beta
        if isinstance(beta, Mapping):
            if subset not in beta:
                raise ValueError(f'beta has no number for {subset}, only for {list(beta)}')
            beta = beta[subset]
        return beta * (self.joint_prior_weight if len(subset) > 1 else 1)

    def reconstruction_weight(self, subset: Subset) -> float:
        """Return the weight of E_{q_S} log p(x_m|z), the same for every m."""
        return self.gamma if len(subset) == 1 else 1


def bound(
    name: str,
    posteriors: Mapping[Subset, DiagonalGaussian],
    log_likelihoods: Mapping[Subset, Mapping[str, Tensor]],
    *,
    names: Sequence[str] | None = None,
    available: Tensor | None = None,
    ordering: Sequence[str] | None = None,
    **knobs: Any,
) -> Tensor:
    """
    Return the bound of an objective, to be maximised: shape ``(batch,)``, nats.

    Parameters
    ----------
    name
        ``vae``, ``jvae``, ``jmvae`` or ``m2vae``.
    posteriors
        Subset (sensor names in the model's order) -> q(z|x_S), tensors ``(batch, latent)``, for
        the subsets that `terms.reconstructions` lists.
    log_likelihoods
        Subset -> sensor of the subset -> estimate of E_{q_S} log p(x_m|z), shape ``(batch,)``.
    names
        All sensors in the model's order; None = those of the largest posterior, or of the
        single-sensor ones.
    available
        bool ``(batch, N)``, columns as in names: which sensors each sample has; None = all. Each
        sample gets the objective of its own sensors. All other terms are masked in value and
        gradient, so they may hold anything, NaN included.
    ordering
        A permutation of the names, for m2vae: estimates the objective from N posteriors,
        N - 1 mutual divergences and N reconstructions. Over uniformly drawn orderings the
        estimate is unbiased, whatever the knobs. None = the objective itself.
    knobs
        ``alpha``, ``beta``, ``gamma`` and ``joint_prior_weight``, see `Knobs`.

    Raises
    ------
    ValueError
        If the objective is unknown, a sample has no sensor, the ordering or the names do not
        fit, or a posterior or log-likelihood that the objective needs is missing.

    Examples
    --------
    >>> posteriors = {('imu',): DiagonalGaussian(torch.ones(1, 2), torch.zeros(1, 2))}
    >>> log_likelihoods = {('imu',): {'imu': torch.tensor([-3.0])}}
    >>> bound('vae', posteriors, log_likelihoods).tolist()
    [-4.0]
    >>> bound('vae', posteriors, log_likelihoods, beta=0.5).tolist()
    [-3.5]

    """
    return parts(
        name, posteriors, log_likelihoods, Knobs(**knobs), names=names, available=available,
        ordering=ordering,
    ).bound()


def parts(
    name: str,
    posteriors: Mapping[Subset, DiagonalGaussian],
    log_likelihoods: Mapping[Subset, Mapping[str, Tensor]],
    knobs: Knobs,
    *,
    names: Sequence[str] | None = None,
    available: Tensor | None = None,
    ordering: Sequence[str] | None = None,
) -> Parts:
    """
    Return the parts of `bound`, which has the same parameters and errors.

    Examples
    --------
    >>> prior = DiagonalGaussian(torch.zeros(1, 2), torch.zeros(1, 2))
    >>> joint = DiagonalGaussian(torch.ones(1, 2), torch.zeros(1, 2))
    >>> posteriors = {('a',): prior, ('b',): prior, ('a', 'b'): joint}
    >>> scores = {('a', 'b'): {'a': torch.zeros(1), 'b': torch.zeros(1)}}
    >>> parts('jmvae', posteriors, scores, Knobs(alpha=0.5)).kl_mutual.tolist()
    [1.0]

    """
    names = _model_order(posteriors) if names is None else tuple(names)
    plan, weights = make_plan(name, names, available, ordering)
    _check_complete(name, plan, posteriors, log_likelihoods)
    like = next(iter(posteriors.values())).mean
    if available is not None and len(available) != len(like):
        raise ValueError(f'available has {len(available)} samples, the posteriors {len(like)}')
    share = {subset: len(subset) / len(chosen) for subset, chosen in plan.sensors.items()}
    factors = [knobs.prior_weight(subset) for subset in plan.sensors]
    factors += [share[subset] * knobs.reconstruction_weight(subset) for subset, _ in plan.scored]
    factors += [knobs.alpha * share[larger] for larger, _ in plan.pairs]
    w = weights[plan.rows] * torch.tensor(factors, dtype=weights.dtype).unsqueeze(1)
    w_prior, w_scores, w_mutual = w.to(like).split_with_sizes(
        [len(plan.sensors), len(plan.scored), len(plan.pairs)]
    )
    masked = available is not None or not all(factors)  # else no weight is 0

    row_of = {subset: row for row, subset in enumerate(plan.needed)}
    stacked = _stack([posteriors[subset] for subset in row_of])

    def select(subsets: Iterable[Subset], w: Tensor) -> DiagonalGaussian:
        """Return the posteriors of subsets, replaced by the prior where their weight is 0."""
        rows = [row_of[subset] for subset in subsets]
        selected = stacked if rows == list(range(len(row_of))) else stacked[rows]
        return selected.where(w != 0) if masked else selected

    kl_prior = (w_prior * select(plan.sensors, w_prior).kl_from_standard()).sum(0)
    scores = torch.stack([log_likelihoods[subset][sensor] for subset, sensor in plan.scored])
    scores = w_scores * (torch.where(w_scores != 0, scores, 0) if masked else scores)
    kl_mutual = None
    if plan.pairs:
        q_larger, q_smaller = (select(side, w_mutual) for side in zip(*plan.pairs, strict=True))
        kl_mutual = (w_mutual * q_larger.kl(q_smaller)).sum(0)
    return Parts(kl_prior, plan.scored, scores, kl_mutual)


def normalised_beta(
    beta_norm: float, sizes: Mapping[str, int], latent_size: int
) -> dict[Subset, float]:
    r"""
    Return Korthals' beta for every subset, beta_norm D_x / D_z.

    The larger the data, the more the reconstruction outweighs the divergence from the prior. With
    this beta, the same beta_norm means the same for data and latent vectors of any size.

    Parameters
    ----------
    beta_norm
        Relative weight of the divergence from the prior.
    sizes
        Sensor, in the model's order -> how many numbers it measures; D_x is the sum over the
        subset.
    latent_size
        Dimensions of the latent vector, D_z.

    Examples
    --------
    >>> normalised_beta(0.5, {'camera': 48, 'lidar': 16}, latent_size=8)
    {('camera',): 3.0, ('lidar',): 1.0, ('camera', 'lidar'): 4.0}

    """
    return {
        subset: beta_norm * sum(sizes[sensor] for sensor in subset) / latent_size
        for subset in lattice(list(sizes))
    }


def _model_order(posteriors: Mapping[Subset, DiagonalGaussian]) -> Subset:
    """Return all sensors of the subsets, in the order of the largest or of the single ones."""
    named = {sensor for subset in posteriors for sensor in subset}
    singles = tuple(sensor for subset in posteriors if len(subset) == 1 for sensor in subset)
    for order in (*posteriors, singles):
        if named and len(order) == len(named):
            return order
    raise ValueError(f'posteriors of {list(posteriors)}: give names, the order of all sensors')


def _check_complete(
    name: str,
    plan: Plan,
    posteriors: Mapping[Subset, DiagonalGaussian],
    log_likelihoods: Mapping[Subset, Mapping[str, Tensor]],
) -> None:
    for subset in plan.needed:
        if subset not in posteriors:
            raise ValueError(
                f'objective {name} needs the posterior of {subset}, given are {list(posteriors)}'
            )
    for subset, sensor in plan.scored:
        if sensor not in log_likelihoods.get(subset, {}):
            raise ValueError(
                f'objective {name} needs the log-likelihood of {sensor} from {subset}'
            )


def _stack(gaussians: Sequence[DiagonalGaussian]) -> DiagonalGaussian:
    return DiagonalGaussian(
        torch.stack([gaussian.mean for gaussian in gaussians]),
        torch.stack([gaussian.log_variance for gaussian in gaussians]),
    )

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The four objectives of the paper as pure functions of posteriors and log-likelihoods.

What each of them sums up, and with which weights, is in `m2vae_ros.vae.terms`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.subsets import lattice, Subset
from m2vae_ros.vae.terms import Plan, plan


@dataclass(frozen=True, eq=False)
class Parts:
    """
    What a bound is the sum of, per sample, in nats, with the weights and knobs of the objective.

    Parameters
    ----------
    kl_prior
        Divergences of the posteriors from the prior, ``(batch,)``.
    scored
        (subset, sensor) of each reconstruction.
    scores
        Their parts, ``(reconstructions, batch)``.
    kl_mutual
        Divergences between posteriors, ``(batch,)``; None for objectives that have none.

    """

    kl_prior: Tensor
    scored: Sequence[tuple[Subset, str]]
    scores: Tensor
    kl_mutual: Tensor | None

    def bound(self) -> Tensor:
        """Return the sum, ``(batch,)``."""
        total = self.scores.sum(0) - self.kl_prior
        return total if self.kl_mutual is None else total - self.kl_mutual

    def reconstruction(self, sensor: str) -> Tensor:
        """Return what one sensor's reconstructions contribute, ``(batch,)``."""
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
        Scales the prior's divergence KL(q_S || p): a number, or a number for each subset (see
        `normalised_beta`).
    gamma
        Scales the reconstruction terms of single-sensor subsets.
    joint_prior_weight
        Scales KL(q_S || p) for subsets of two sensors and more, on top of beta.

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
            If there is a beta for each subset, but none for this one.

        """
        beta = self.beta
        if isinstance(beta, Mapping):
            if subset not in beta:
                raise ValueError(f'beta has no number for {subset}, only for {list(beta)}')
            beta = beta[subset]
        return beta * (self.joint_prior_weight if len(subset) > 1 else 1)

    def reconstruction_weight(self, subset: Subset) -> float:
        """Return the weight of E_{q_S} log p(x_m|z)."""
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
    Return the bound of an objective per sample, shape ``(batch,)``, in nats, to be maximised.

    Parameters
    ----------
    name
        ``vae``, ``jvae``, ``jmvae`` or ``m2vae``.
    posteriors
        Subset (sensor names in the model's order) -> q(z|x_S), tensors ``(batch, latent)``; those
        that `terms.reconstructions` lists.
    log_likelihoods
        Subset -> sensor of it -> estimate of E_{q_S} log p(x_m|z), shape ``(batch,)``.
    names
        All sensors in the model's order; None = those of the largest posterior, or of the
        single-sensor ones.
    available
        bool ``(batch, N)`` in that order: what each sample measured; None = all. Each sample
        gets the objective of the sensors it has. What belongs to other subsets is selected away,
        in value and gradient, so it may hold anything, NaN included.
    ordering
        A permutation of the names, for m2vae: an estimate of the objective from N posteriors,
        N - 1 mutual divergences and N reconstructions. Over uniformly drawn orderings it is
        unbiased, whatever the knobs. None = the objective itself.
    knobs
        ``alpha``, ``beta``, ``gamma`` and ``joint_prior_weight``, see `Knobs`.

    Raises
    ------
    ValueError
        If the objective is unknown, a sample has no sensor, the ordering or the names do not
        fit, or something that the objective needs is missing.

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
    """Return the parts that `bound` adds up; its parameters and errors."""
    names = _model_order(posteriors) if names is None else tuple(names)
    needs, weight = plan(name, names, available, ordering)
    _check_complete(name, needs, posteriors, log_likelihoods)
    like = next(iter(posteriors.values())).mean
    if available is not None and len(available) != len(like):
        raise ValueError(f'available has {len(available)} samples, the posteriors {len(like)}')
    share = {subset: len(subset) / len(chosen) for subset, chosen in needs.sensors.items()}
    factors = [knobs.prior_weight(subset) for subset in needs.sensors]
    factors += [share[subset] * knobs.reconstruction_weight(subset) for subset, _ in needs.scored]
    factors += [knobs.alpha * share[larger] for larger, _ in needs.pairs]
    w = weight[needs.rows] * torch.tensor(factors, dtype=weight.dtype).unsqueeze(1)
    w_prior, w_scores, w_mutual = w.to(like).split_with_sizes(
        [len(needs.sensors), len(needs.scored), len(needs.pairs)]
    )
    masked = available is not None or not all(factors)  # else no term counts for nothing

    place = {subset: index for index, subset in enumerate(needs.needed)}
    stacked = _stack([posteriors[subset] for subset in place])

    def gathered(subsets: Iterable[Subset], w: Tensor) -> DiagonalGaussian:
        """Return some of the posteriors; the prior where they count for nothing."""
        rows = [place[subset] for subset in subsets]
        chosen = stacked if rows == list(range(len(place))) else stacked[rows]
        return chosen.where(w != 0) if masked else chosen

    prior = (w_prior * gathered(needs.sensors, w_prior).kl_from_standard()).sum(0)
    scores = torch.stack([log_likelihoods[subset][sensor] for subset, sensor in needs.scored])
    scores = w_scores * (torch.where(w_scores != 0, scores, 0) if masked else scores)
    mutual = None
    if needs.pairs:
        q_larger, q_smaller = (
            gathered(side, w_mutual) for side in zip(*needs.pairs, strict=True)
        )
        mutual = (w_mutual * q_larger.kl(q_smaller)).sum(0)
    return Parts(prior, needs.scored, scores, mutual)


def normalised_beta(
    beta_norm: float, sizes: Mapping[str, int], latent_size: int
) -> dict[Subset, float]:
    r"""
    Return Korthals' beta for every subset, beta_norm D_x / D_z.

    The larger the data, the more a reconstruction weighs against the divergence; this makes the
    same beta_norm mean the same for any sizes.

    Parameters
    ----------
    beta_norm
        Relative weight of the divergence from the prior.
    sizes
        Sensor, in the model's order -> how many numbers it measures. D_x is their sum over the
        subset's sensors.
    latent_size
        Dimensions of the latent vector, D_z.

    """
    return {
        subset: beta_norm * sum(sizes[sensor] for sensor in subset) / latent_size
        for subset in lattice(list(sizes))
    }


def _model_order(posteriors: Mapping[Subset, DiagonalGaussian]) -> Subset:
    """Return all sensors that the subsets name, as the largest subset or the single ones do."""
    named = {sensor for subset in posteriors for sensor in subset}
    singles = tuple(sensor for subset in posteriors if len(subset) == 1 for sensor in subset)
    for order in (*posteriors, singles):
        if named and len(order) == len(named):
            return order
    raise ValueError(f'posteriors of {list(posteriors)}: give names, the order of all sensors')


def _check_complete(
    name: str,
    needs: Plan,
    posteriors: Mapping[Subset, DiagonalGaussian],
    log_likelihoods: Mapping[Subset, Mapping[str, Tensor]],
) -> None:
    for subset in needs.needed:
        if subset not in posteriors:
            raise ValueError(
                f'objective {name} needs the posterior of {subset}, given are {list(posteriors)}'
            )
    for subset, sensor in needs.scored:
        if sensor not in log_likelihoods.get(subset, {}):
            raise ValueError(
                f'objective {name} needs the log-likelihood of {sensor} from {subset}'
            )


def _stack(gaussians: Sequence[DiagonalGaussian]) -> DiagonalGaussian:
    return DiagonalGaussian(
        torch.stack([gaussian.mean for gaussian in gaussians]),
        torch.stack([gaussian.log_variance for gaussian in gaussians]),
    )

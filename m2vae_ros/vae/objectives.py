# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The four objectives of the paper as pure functions of posteriors and log-likelihoods.

What each of them sums up, and with which weights, is in `m2vae_ros.vae.terms`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.subsets import lattice, Subset
from m2vae_ros.vae.terms import divergences, weights


@dataclass(frozen=True, eq=False)
class Parts:
    """
    What a bound is the sum of, per sample, in nats, with the weights and knobs of the objective.

    Parameters
    ----------
    prior
        Divergences of the posteriors from the prior, ``(batch,)``.
    scores
        (subset, sensor) -> part of its reconstruction, ``(batch,)`` each.
    mutual
        Divergences between posteriors, ``(batch,)``; None for objectives that have none.

    """

    prior: Tensor
    scores: Mapping[tuple[Subset, str], Tensor]
    mutual: Tensor | None

    def bound(self) -> Tensor:
        """Return the sum, ``(batch,)``."""
        total = -self.prior + torch.stack(list(self.scores.values())).sum(0)
        return total if self.mutual is None else total - self.mutual

    def reconstruction(self, sensor: str) -> Tensor:
        """Return what one sensor's reconstructions contribute, ``(batch,)``."""
        found = [score for (_, scored), score in self.scores.items() if scored == sensor]
        return torch.stack(found).sum(0) if found else torch.zeros_like(self.prior)


def bound(
    name: str,
    posteriors: Mapping[Subset, DiagonalGaussian],
    log_likelihoods: Mapping[Subset, Mapping[str, Tensor]],
    *,
    names: Sequence[str] | None = None,
    available: Tensor | None = None,
    ordering: Sequence[str] | None = None,
    alpha: float = 1,
    beta: float | Mapping[Subset, float] = 1,
    gamma: float = 1,
    joint_prior_weight: float = 1,
) -> Tensor:
    """
    Return the bound of an objective per sample, shape ``(batch,)``, in nats, to be maximised.

    The defaults of the four knobs are the paper's objectives.

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
    alpha
        Scales the mutual divergences KL(q_S || q_{S without m}).
    beta
        Scales the prior's divergence KL(q_S || p): one number, or one for each subset (see
        `normalised_beta`).
    gamma
        Scales the reconstruction terms of single-sensor subsets.
    joint_prior_weight
        Scales KL(q_S || p) for subsets of two sensors and more, on top of beta.

    Raises
    ------
    ValueError
        If the objective is unknown, a sample has no sensor, the ordering or the names do not
        fit, or something that the objective needs is missing.

    """
    return parts(
        name, posteriors, log_likelihoods, names=names, available=available, ordering=ordering,
        alpha=alpha, beta=beta, gamma=gamma, joint_prior_weight=joint_prior_weight,
    ).bound()


def parts(
    name: str,
    posteriors: Mapping[Subset, DiagonalGaussian],
    log_likelihoods: Mapping[Subset, Mapping[str, Tensor]],
    *,
    names: Sequence[str] | None = None,
    available: Tensor | None = None,
    ordering: Sequence[str] | None = None,
    alpha: float = 1,
    beta: float | Mapping[Subset, float] = 1,
    gamma: float = 1,
    joint_prior_weight: float = 1,
) -> Parts:
    """Return what `bound` is the sum of; parameters and errors are its own."""
    names = _model_order(posteriors) if names is None else tuple(names)
    sensors, weight = weights(name, names, available, ordering)
    _check_complete(name, sensors, posteriors, log_likelihoods)
    like = next(iter(posteriors.values())).mean
    if available is not None and len(available) != len(like):
        raise ValueError(f'available has {len(available)} samples, the posteriors {len(like)}')
    weight = weight.to(like)
    row = {subset: index for index, subset in enumerate(sensors)}
    share = {subset: len(subset) / len(chosen) for subset, chosen in sensors.items()}

    def weighted(factors: list[tuple[Subset, float]]) -> tuple[Tensor, Tensor | None]:
        """Return the subsets' weights times a factor for each, (terms, batch), and which count."""
        scales = weight.new_tensor([factor for _, factor in factors])
        scaled = weight[[row[subset] for subset, _ in factors]] * scales.unsqueeze(1)
        all_count = available is None and all(factor for _, factor in factors)
        return scaled, None if all_count else scaled != 0

    w, present = weighted([
        (subset, _of(beta, subset) * (joint_prior_weight if len(subset) > 1 else 1))
        for subset in sensors
    ])
    prior = _chosen([posteriors[subset] for subset in sensors], present).kl_from_standard()
    prior = (w * prior).sum(0)

    scored = [(subset, sensor) for subset in sensors for sensor in sensors[subset]]
    w, present = weighted([(s, share[s] * (gamma if len(s) == 1 else 1)) for s, _ in scored])
    scores = torch.stack([log_likelihoods[subset][sensor] for subset, sensor in scored])
    scores = w * (scores if present is None else torch.where(present, scores, 0))

    mutual = None
    pairs = divergences(name, sensors)
    if pairs:
        w, present = weighted([(larger, alpha * share[larger]) for larger, _ in pairs])
        q_larger, q_smaller = (
            _chosen([posteriors[subset] for subset in side], present)
            for side in zip(*pairs, strict=True)
        )
        mutual = (w * q_larger.kl(q_smaller)).sum(0)
    return Parts(prior, dict(zip(scored, scores.unbind(), strict=True)), mutual)


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
    sensors: Mapping[Subset, Subset],
    posteriors: Mapping[Subset, DiagonalGaussian],
    log_likelihoods: Mapping[Subset, Mapping[str, Tensor]],
) -> None:
    smaller = [subset for _, subset in divergences(name, sensors)]
    for subset in (*sensors, *smaller):
        if subset not in posteriors:
            raise ValueError(
                f'objective {name} needs the posterior of {subset}, given are {list(posteriors)}'
            )
    for subset, chosen in sensors.items():
        for sensor in chosen:
            if sensor not in log_likelihoods.get(subset, {}):
                raise ValueError(
                    f'objective {name} needs the log-likelihood of {sensor} from {subset}'
                )


def _of(beta: float | Mapping[Subset, float], subset: Subset) -> float:
    """Return the beta of a subset."""
    if not isinstance(beta, Mapping):
        return beta
    if subset not in beta:
        raise ValueError(f'beta has no number for {subset}, only for {list(beta)}')
    return beta[subset]


def _chosen(gaussians: Sequence[DiagonalGaussian], present: Tensor | None) -> DiagonalGaussian:
    """Stack Gaussians; those that are not present become the prior, None = all are."""
    stacked = DiagonalGaussian(
        torch.stack([gaussian.mean for gaussian in gaussians]),
        torch.stack([gaussian.log_variance for gaussian in gaussians]),
    )
    return stacked if present is None else stacked.where(present)

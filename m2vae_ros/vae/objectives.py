# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
r"""
The four objectives of the paper as pure functions of posteriors and log-likelihoods.

All are sums over subsets S of a weight times the bound of S (all are maximised, in nats):

.. math::
    L_{JM}(S) = \sum_{m \in S} E_{q_S} \log p(x_m|z) - KL(q_S || p)
                - \sum_{m \in S} KL(q_S || q_{S \setminus m})

where the last sum stands only from two sensors on. An objective is the choice of the weights:

=========  ==============================================  ========================  ===========
objective  weighted subsets of the sensors A of a sample    weight                    equation
=========  ==============================================  ========================  ===========
vae        each sensor alone                               1                         13
jvae       A alone, without the mutual divergences         1                         27
jmvae      A alone                                         1                         59, 114
m2vae      every subset                                    1 / (|S| C(|A|, |S|))     74, 83, 126
=========  ==============================================  ========================  ===========

References
----------
T. Korthals, M2VAE - Derivation of a Multi-Modal Variational Autoencoder Objective from the
Marginal Joint Log-Likelihood.

"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.subsets import lattice, m2vae_weight, Subset, without

OBJECTIVES = ('vae', 'jvae', 'jmvae', 'm2vae')


def required_subsets(name: str, names: tuple[str, ...]) -> list[Subset]:
    """
    List the subsets whose encoders an objective trains on complete samples, in lattice order.

    Raises
    ------
    ValueError
        If the objective is unknown.

    """
    _check_name(name)
    n = len(names)
    smallest, largest = {'vae': (1, 1), 'jvae': (n, n), 'jmvae': (max(1, n - 1), n)}.get(
        name, (1, n)
    )
    return [subset for subset in lattice(names) if smallest <= len(subset) <= largest]


def bound(
    name: str,
    posteriors: Mapping[Subset, DiagonalGaussian],
    log_likelihoods: Mapping[Subset, Mapping[str, Tensor]],
    *,
    available: Tensor | None = None,
    alpha: float = 1,
    beta: float = 1,
    gamma: float = 1,
    joint_prior_weight: float = 1,
) -> Tensor:
    """
    Return the bound of an objective per sample, shape ``(batch,)``, in nats, to be maximised.

    Parameters
    ----------
    name
        ``vae``, ``jvae``, ``jmvae`` or ``m2vae``.
    posteriors
        Subset (sensor names in the model's order) -> q(z|x_S), tensors ``(batch, latent)``.
    log_likelihoods
        Subset -> sensor of it -> estimate of E_{q_S} log p(x_m|z), shape ``(batch,)``.
    available
        bool ``(batch, N)`` in the model's order: what each sample measured; None = all. Each
        sample gets the objective of the sensors it has. Terms of other subsets are selected
        away, in value and gradient, so they may hold anything, NaN included.
    alpha
        Scales the mutual divergences KL(q_S || q_{S without m}).
    beta
        Scales the prior's divergence KL(q_S || p).
    gamma
        Scales the reconstruction terms of single-sensor subsets.
    joint_prior_weight
        Scales KL(q_S || p) for subsets of two sensors and more, on top of beta.

    Raises
    ------
    ValueError
        If the objective is unknown, a sample has no sensor, or a posterior that a sample's
        objective needs is missing.

    """
    _check_name(name)
    names = _model_order(posteriors)
    batch = next(iter(posteriors.values())).mean.shape[0]
    first = next(iter(posteriors.values())).mean
    if available is None:
        available = torch.ones(batch, len(names), dtype=torch.bool, device=first.device)
    elif available.shape != (batch, len(names)):
        raise ValueError(
            f'available has shape {tuple(available.shape)}: must be {(batch, len(names))}, '
            f'one column per sensor of {names}'
        )
    elif not bool(available.any(1).all()):
        raise ValueError('available has a row without any sensor: drop such samples')

    total = first.new_zeros(batch)
    for subset in lattice(names):
        weight = _weight(name, subset, names, available, first.dtype)
        if weight is None:
            continue
        present = weight > 0
        neighbours = (
            [without(subset, sensor) for sensor in subset]
            if name in ('jmvae', 'm2vae') and len(subset) > 1
            else []
        )
        missing = [needed for needed in (subset, *neighbours) if needed not in posteriors]
        if missing:
            if bool(present.any()):
                raise ValueError(
                    f'objective {name} of sensors {names} needs the posterior of {missing[0]}, '
                    f'given are {list(posteriors)}'
                )
            continue
        posterior = posteriors[subset].where(present)
        reconstruction = torch.stack(
            [torch.where(present, log_likelihoods[subset][m], 0) for m in subset]
        ).sum(0)
        single = len(subset) == 1
        term = (gamma if single else 1) * reconstruction
        term = term - beta * (1 if single else joint_prior_weight) * posterior.kl_from_standard()
        for neighbour in neighbours:
            term = term - alpha * posterior.kl(posteriors[neighbour].where(present))
        total = total + weight * term
    return total


def _check_name(name: str) -> None:
    if name not in OBJECTIVES:
        raise ValueError(f'objective {name!r}: must be one of {", ".join(OBJECTIVES)}')


def _model_order(posteriors: Mapping[Subset, DiagonalGaussian]) -> Subset:
    """Return all sensors named by the subsets; the largest subset that has all gives the order."""
    names = tuple(dict.fromkeys(name for subset in posteriors for name in subset))
    if not names:
        raise ValueError('posteriors is empty: at least one subset is needed')
    return next((subset for subset in posteriors if len(subset) == len(names)), names)


def _weight(
    name: str, subset: Subset, names: Subset, available: Tensor, dtype: torch.dtype
) -> Tensor | None:
    """Return the subset's weight per sample, 0 where absent; None where nobody needs it."""
    if name == 'vae' and len(subset) > 1:
        return None
    columns = [names.index(sensor) for sensor in subset]
    present = available[:, columns].all(1)
    count = available.sum(1)
    if name in ('jvae', 'jmvae'):
        return (present & (count == len(subset))).to(dtype)
    if name == 'vae':
        return present.to(dtype)
    by_count = [0.0] * len(subset) + [
        m2vae_weight(len(subset), n) for n in range(len(subset), len(names) + 1)
    ]
    table = torch.tensor(by_count, dtype=dtype, device=available.device)
    return torch.where(present, table[count], 0)

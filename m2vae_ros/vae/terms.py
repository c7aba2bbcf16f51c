# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
r"""
The terms of an objective: which subsets it sums over, and with which weights.

All objectives have one form; each has its own subsets S, weights w_S and sensors T_S:

.. math::
    \sum_S w_S \Bigl[ \frac{|S|}{|T_S|} \sum_{m \in T_S}
        \bigl( E_{q_S} \log p(x_m|z) - KL(q_S || q_{S \setminus m}) \bigr)
        - KL(q_S || p) \Bigr]

where only ``jmvae`` and ``m2vae`` have the mutual divergences KL(q_S || q_{S \ m}), and only for
subsets of two or more sensors. With A the sensors that the sample has:

==============  =====================  ======================  =============  ===========
objective       subsets S              w_S                     T_S            equation
==============  =====================  ======================  =============  ===========
vae             each sensor of A       1                       S              13
jvae            A                      1                       S              27
jmvae           A                      1                       S              59, 114
m2vae           every subset of A      1 / (|S| C(|A|, |S|))   S              74, 83, 126
m2vae, ordered  the prefixes of an     1 / |S|                 the last       83
                ordering of A                                  sensor of S
==============  =====================  ======================  =============  ===========

Averaged over all orderings, the last row is the row above it: a subset is a prefix of one in
C(|A|, |S|) orderings, and in these each of its sensors is equally often the last.

References
----------
T. Korthals, M2VAE - Derivation of a Multi-Modal Variational Autoencoder Objective from the
Marginal Joint Log-Likelihood.

"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from m2vae_ros.vae.subsets import lattice, m2vae_weight, Subset, without

OBJECTIVES = ('vae', 'jvae', 'jmvae', 'm2vae')


class Term(NamedTuple):
    """
    The weight of a subset S in an objective and the sensors that its sums run over.

    Examples
    --------
    >>> terms('jvae', ('camera', 'lidar'))
    {('camera', 'lidar'): Term(weight=1.0, sensors=('camera', 'lidar'))}

    """

    weight: float  # w_S
    sensors: Subset  # T_S


def terms(
    name: str, sensors: Subset, ordering: Sequence[str] | None = None
) -> dict[Subset, Term]:
    """
    Return the terms of an objective for a sample that has exactly these sensors.

    Parameters
    ----------
    name
        ``vae``, ``jvae``, ``jmvae`` or ``m2vae``.
    sensors
        The sensors of the sample, in the model's order.
    ordering
        An ordering of all sensors, for m2vae; those that the sample lacks are skipped.

    Raises
    ------
    ValueError
        If the objective is unknown, or an ordering is given for another one than m2vae.

    Examples
    --------
    >>> terms('m2vae', ('camera', 'lidar'))['camera', 'lidar']
    Term(weight=0.5, sensors=('camera', 'lidar'))
    >>> terms('m2vae', ('camera', 'lidar'), ordering=('lidar', 'camera'))['camera', 'lidar']
    Term(weight=0.5, sensors=('camera',))

    """
    if name not in OBJECTIVES:
        raise ValueError(f'objective {name!r}: must be one of {", ".join(OBJECTIVES)}')
    if ordering is not None:
        if name != 'm2vae':
            raise ValueError(f'objective {name} has no orderings, only m2vae has')
        ordered = [sensor for sensor in ordering if sensor in sensors]
        return {
            tuple(m for m in sensors if m in ordered[:size]): Term(1 / size, (last,))
            for size, last in enumerate(ordered, start=1)
        }
    if name == 'vae':
        return {(sensor,): Term(1.0, (sensor,)) for sensor in sensors}
    if name == 'm2vae':
        n = len(sensors)
        return {s: Term(m2vae_weight(len(s), n), s) for s in lattice(sensors)}
    return {sensors: Term(1.0, sensors)}


def _mutual_pairs(name: str, sensors: Mapping[Subset, Subset]) -> list[tuple[Subset, Subset]]:
    """List the pairs (S, S without m), m in T_S, of the mutual divergences, from S -> T_S."""
    if name not in ('jmvae', 'm2vae'):
        return []
    return [
        (subset, without(subset, sensor))
        for subset, chosen in sensors.items() if len(subset) > 1
        for sensor in chosen
    ]


class Plan(NamedTuple):
    """
    The terms of a training step, for a batch whose samples have certain patterns of sensors.

    Parameters
    ----------
    sensors
        Subset S -> T_S, for all subsets of the sum.
    weights
        w_S, float64 ``(subsets, patterns)`` on the CPU; 0 where samples of a pattern have no
        such term.
    scored
        (S, m) of each reconstruction, m in T_S.
    pairs
        (S, S without m) of each mutual divergence, m in T_S.
    needed
        Subset -> sensors to reconstruct, in lattice order: every posterior that is needed.
    rows
        Row of the weights for each term: the subsets, then `scored`, then `pairs`.

    Examples
    --------
    >>> plan, _ = make_plan('jmvae', ('camera', 'lidar'))
    >>> plan.needed
    {('camera',): (), ('lidar',): (), ('camera', 'lidar'): ('camera', 'lidar')}

    """

    sensors: Mapping[Subset, Subset]
    weights: Tensor
    scored: Sequence[tuple[Subset, str]]
    pairs: Sequence[tuple[Subset, Subset]]
    needed: Mapping[Subset, Subset]
    rows: Tensor


def make_plan(
    name: str,
    names: Subset,
    available: Tensor | None = None,
    ordering: Sequence[str] | None = None,
) -> tuple[Plan, Tensor]:
    """
    Return the terms of a batch and the weights of its samples.

    Plans are cached and shared between batches: do not modify them.

    Parameters
    ----------
    name
        ``vae``, ``jvae``, ``jmvae`` or ``m2vae``.
    names
        All sensors, in the model's order.
    available
        bool ``(batch, N)``, columns as in names: which sensors each sample has; None = all.
    ordering
        A permutation of the names, for m2vae: its prefixes instead of all subsets.

    Returns
    -------
    plan, weights
        The weights are the plan's, by sample: ``(subsets, batch)``, or ``(subsets, 1)`` where
        every sample has all sensors.

    Raises
    ------
    ValueError
        If the objective is unknown, the ordering does not fit, or `available` has the wrong
        shape or a sample without any sensor.

    Examples
    --------
    >>> plan, weights = make_plan(
    ...     'm2vae', ('camera', 'lidar'), torch.tensor([[True, True], [False, True]])
    ... )
    >>> dict(zip(plan.sensors, weights.tolist(), strict=True))
    {('lidar',): [0.5, 1.0], ('camera',): [0.5, 0.0], ('camera', 'lidar'): [0.5, 0.0]}

    """
    if ordering is not None and sorted(ordering) != sorted(names):
        raise ValueError(f'ordering {tuple(ordering)}: must have each of {names} once')
    order = None if ordering is None else tuple(ordering)
    if available is None:
        plan = _cached_plan(name, (names,), names, order)
        return plan, plan.weights
    patterns, pattern_of = _patterns(names, available)
    plan = _cached_plan(name, tuple(patterns), names, order)
    return plan, plan.weights[:, pattern_of]


@lru_cache(maxsize=128)  # one for each ordering and each collection of patterns in a batch
def _cached_plan(
    name: str, patterns: tuple[Subset, ...], names: Subset, ordering: tuple[str, ...] | None
) -> Plan:
    tables = [terms(name, pattern, ordering) for pattern in patterns]
    sensors = {subset: term.sensors for table in tables for subset, term in table.items()}
    absent = Term(0.0, ())
    weights = torch.tensor(
        [[table.get(subset, absent).weight for table in tables] for subset in sensors],
        dtype=torch.float64,
    )
    scored = [(subset, sensor) for subset, chosen in sensors.items() for sensor in chosen]
    pairs = _mutual_pairs(name, sensors)
    needed: dict[Subset, Subset] = {smaller: () for _, smaller in pairs}
    needed.update(sensors)
    index = {sensor: position for position, sensor in enumerate(names)}
    ordered = sorted(needed, key=lambda subset: (len(subset), [index[m] for m in subset]))
    row_of = {subset: row for row, subset in enumerate(sensors)}
    larger = (*sensors, *(subset for subset, _ in scored), *(subset for subset, _ in pairs))
    return Plan(
        sensors, weights, scored, pairs, {subset: needed[subset] for subset in ordered},
        torch.tensor([row_of[subset] for subset in larger]),
    )


def reconstructions(
    name: str,
    names: Subset,
    *,
    available: Tensor | None = None,
    ordering: Sequence[str] | None = None,
) -> dict[Subset, Subset]:
    """
    Return what a step needs: subset -> which of its sensors to reconstruct, in lattice order.

    It is the ``reconstruct`` of `MultimodalVAE.forward`. Of a subset with nothing to reconstruct,
    only the posterior is needed. Parameters and errors are those of `make_plan`.

    Examples
    --------
    >>> reconstructions('m2vae', ('camera', 'lidar'), ordering=('lidar', 'camera'))
    {('lidar',): ('lidar',), ('camera', 'lidar'): ('camera',)}

    """
    return dict(make_plan(name, names, available, ordering)[0].needed)


def required_subsets(name: str, names: Subset) -> list[Subset]:
    """
    List the subsets whose encoders an objective trains on complete samples.

    Examples
    --------
    >>> required_subsets('jmvae', ('a', 'b', 'c'))
    [('a', 'b'), ('a', 'c'), ('b', 'c'), ('a', 'b', 'c')]

    """
    return list(reconstructions(name, names))


def _patterns(names: Subset, available: Tensor) -> tuple[list[Subset], Tensor]:
    """Return the distinct sets of sensors in a batch and which of them each sample has."""
    if available.dim() != 2 or available.shape[1] != len(names):
        raise ValueError(
            f'available has shape {tuple(available.shape)}: must be (batch, {len(names)}), one '
            f'column for each of {names}'
        )
    masks, pattern_of = torch.unique(available.cpu(), dim=0, return_inverse=True)
    patterns = [
        tuple(name for name, has in zip(names, mask, strict=True) if has)
        for mask in masks.tolist()
    ]
    if () in patterns:
        raise ValueError('available has a row without any sensor: drop such samples')
    return patterns, pattern_of

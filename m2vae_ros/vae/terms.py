# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
r"""
Which subsets an objective weighs, for the sensors that a sample has.

All objectives have one form, with weights w_S and, for the sums, sensors T_S of their own:

.. math::
    \sum_S w_S \Bigl[ \frac{|S|}{|T_S|} \sum_{m \in T_S}
        \bigl( E_{q_S} \log p(x_m|z) - KL(q_S || q_{S \setminus m}) \bigr)
        - KL(q_S || p) \Bigr]

where the mutual divergences KL(q_S || q_{S \ m}) stand in ``jmvae`` and ``m2vae`` only, and only
from two sensors on. With A the sensors that the sample has:

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

The mean of the last row over all orderings is the row above it: a subset is a prefix of one in
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
    """The part that a subset S has in an objective."""

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
        What the sample has, in the model's order.
    ordering
        Of all sensors, for m2vae; the sensors that the sample lacks are passed over.

    Raises
    ------
    ValueError
        If the objective is unknown, or has no orderings.

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


def divergences(name: str, sensors: Mapping[Subset, Subset]) -> list[tuple[Subset, Subset]]:
    """List the pairs (S, S without m), m in T_S, of the mutual divergences; given is S -> T_S."""
    if name not in ('jmvae', 'm2vae'):
        return []
    return [
        (subset, without(subset, sensor))
        for subset, chosen in sensors.items() if len(subset) > 1
        for sensor in chosen
    ]


class Plan(NamedTuple):
    """
    What a step adds up, for a batch whose samples have some sets of sensors.

    Parameters
    ----------
    sensors
        Subset S -> T_S, for all subsets that are weighed.
    weights
        Their weights in the same order, ``(subsets, sets of sensors)``, float64 on the CPU; 0
        where a sample with these sensors has no such term.
    scored
        (S, sensor of T_S) of each reconstruction.
    pairs
        (S, S without m) of each mutual divergence, see `divergences`.
    needed
        Subset -> sensors to reconstruct, in lattice order: all that has a part in the above.
    rows
        The row of the weights for each subset, each of `scored` and each pair, in this order.

    """

    sensors: Mapping[Subset, Subset]
    weights: Tensor
    scored: Sequence[tuple[Subset, str]]
    pairs: Sequence[tuple[Subset, Subset]]
    needed: Mapping[Subset, Subset]
    rows: Tensor


def plan(
    name: str,
    names: Subset,
    available: Tensor | None = None,
    ordering: Sequence[str] | None = None,
) -> tuple[Plan, Tensor]:
    """
    Return what a batch needs, and the weights of its samples.

    A plan is made once and shared by all batches alike; do not change what it holds.

    Parameters
    ----------
    name
        ``vae``, ``jvae``, ``jmvae`` or ``m2vae``.
    names
        All sensors, in the model's order.
    available
        bool ``(batch, N)`` in that order: what each sample has; None = all.
    ordering
        A permutation of the names, for m2vae: its prefixes instead of all subsets.

    Returns
    -------
    plan, weights
        The weights are those of the plan, ``(subsets, batch)`` or, where every sample has all
        sensors, ``(subsets, 1)``.

    Raises
    ------
    ValueError
        If the objective is unknown, the ordering does not fit, or `available` has another shape
        or a sample without any sensor.

    """
    if ordering is not None and sorted(ordering) != sorted(names):
        raise ValueError(f'ordering {tuple(ordering)}: must have each of {names} once')
    order = None if ordering is None else tuple(ordering)
    if available is None:
        made = _plan(name, (names,), names, order)
        return made, made.weights
    patterns, rows = _patterns(names, available)
    made = _plan(name, tuple(patterns), names, order)
    return made, made.weights[:, rows]


@lru_cache(maxsize=128)  # the same all along, or one of N! orderings, or of patterns
def _plan(
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
    pairs = divergences(name, sensors)
    needed: dict[Subset, Subset] = {smaller: () for _, smaller in pairs}
    needed.update(sensors)
    place = {sensor: index for index, sensor in enumerate(names)}
    ordered = sorted(needed, key=lambda subset: (len(subset), [place[m] for m in subset]))
    row = {subset: index for index, subset in enumerate(sensors)}
    rows = [row[subset] for subset in (*sensors, *(s for s, _ in scored), *(s for s, _ in pairs))]
    return Plan(
        sensors, weights, scored, pairs, {subset: needed[subset] for subset in ordered},
        torch.tensor(rows),
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

    It is what `MultimodalVAE.forward` takes as ``reconstruct``. A subset that has nothing to
    reconstruct still needs its posterior. Parameters and errors are those of `plan`.
    """
    return dict(plan(name, names, available, ordering)[0].needed)


def required_subsets(name: str, names: Subset) -> list[Subset]:
    """List the subsets whose encoders an objective trains on complete samples."""
    return list(reconstructions(name, names))


def _patterns(names: Subset, available: Tensor) -> tuple[list[Subset], Tensor]:
    """Return the distinct sets of sensors in a batch, and which of them each sample has."""
    if available.dim() != 2 or available.shape[1] != len(names):
        raise ValueError(
            f'available has shape {tuple(available.shape)}: must be (batch, {len(names)}), one '
            f'column for each of {names}'
        )
    masks, rows = torch.unique(available.cpu(), dim=0, return_inverse=True)
    patterns = [
        tuple(name for name, has in zip(names, mask, strict=True) if has)
        for mask in masks.tolist()
    ]
    if () in patterns:
        raise ValueError('available has a row without any sensor: drop such samples')
    return patterns, rows

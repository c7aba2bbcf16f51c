# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The lattice of sensor subsets and the weight of each in the M2VAE objective."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb

Subset = tuple[str, ...]


def lattice(names: Sequence[str]) -> list[Subset]:
    """
    List all 2^N - 1 non-empty subsets, smaller ones first, each in the order of the names.

    Raises
    ------
    ValueError
        If there is no name, or a name occurs twice.

    Examples
    --------
    >>> lattice(['camera', 'lidar'])
    [('camera',), ('lidar',), ('camera', 'lidar')]

    """
    if not names or len(set(names)) != len(names):
        raise ValueError(f'sensor names {list(names)!r}: must be one or more names, each once')
    return [subset for size in range(1, len(names) + 1) for subset in combinations(names, size)]


def m2vae_weight(size: int, n: int) -> float:
    r"""
    Return the weight of a subset's joint bound in the unrolled M2VAE objective.

    .. math:: w(k) = \frac{1}{k \binom{N}{k}}

    It is the recursion of Eq. 83, unrolled; N = 3 gives the weights 1/3, 1/6, 1/3 of Eq. 126.

    Parameters
    ----------
    size
        Number of sensors in the subset, k.
    n
        Number of sensors in the objective, N.

    Raises
    ------
    ValueError
        If not 1 <= size <= n.

    Examples
    --------
    >>> [round(m2vae_weight(size, 3), 3) for size in (1, 2, 3)]
    [0.333, 0.167, 0.333]

    """
    if not 1 <= size <= n:
        raise ValueError(f'subset size {size}: must lie in 1..{n}, the number of sensors')
    return 1 / (size * comb(n, size))


def without(subset: Subset, name: str) -> Subset:
    """
    Return a subset without one of its sensors.

    Examples
    --------
    >>> without(('camera', 'lidar'), 'camera')
    ('lidar',)

    """
    return tuple(other for other in subset if other != name)

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
    List all non-empty subsets, by size, then in the order of the names.

    Raises
    ------
    ValueError
        If there is no name or a name comes twice.

    Examples
    --------
    >>> lattice(['camera', 'lidar'])
    [('camera',), ('lidar',), ('camera', 'lidar')]

    """
    if not names or len(set(names)) != len(names):
        raise ValueError(f'sensor names {list(names)!r}: one or more names, each once, are needed')
    return [subset for size in range(1, len(names) + 1) for subset in combinations(names, size)]


def m2vae_weight(size: int, n: int) -> float:
    r"""
    Return the weight of a subset's joint bound in the unrolled M2VAE objective.

    .. math:: w(k) = \frac{1}{k \binom{N}{k}}

    It unrolls the recursion of Eq. 83 exactly; N = 3 gives the weights 1/3, 1/6, 1/3 of Eq. 126.

    Parameters
    ----------
    size
        Number of sensors in the subset, k.
    n
        Number of sensors of the objective, N.

    Raises
    ------
    ValueError
        If not 1 <= size <= n.

    Examples
    --------
    >>> sum(m2vae_weight(len(subset), 3) for subset in lattice('abc')) == 1 + 1 / 2 + 1 / 3
    True

    """
    if not 1 <= size <= n:
        raise ValueError(f'subset size {size}: must lie in 1..{n}, the number of sensors')
    return 1 / (size * comb(n, size))


def without(subset: Subset, name: str) -> Subset:
    """Return the subset that lacks one of its sensors."""
    return tuple(other for other in subset if other != name)

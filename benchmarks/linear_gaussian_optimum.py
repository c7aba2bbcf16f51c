# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
r"""
The optimum of each objective in a linear-Gaussian model, without torch or sampling.

The latent is one number z ~ N(0, 1), the sensors are x_m = w_m z + e_m with e_m ~ N(0, s_m^2), and
posteriors are q_S = N(a_S^T x_S, v_S). With C the covariance of the measurements, C_S that of the
sensors of S and P the matrix that puts the entries of a_R in their places among those of S, all
expectations over data have a closed form:

.. math::
    E (x_m - w_m z)^2 &= C_{mm} - 2 w_m a_S^T C_{S,m} + w_m^2 (a_S^T C_S a_S + v_S) \\
    2 E KL(q_S || p) &= v_S + a_S^T C_S a_S - \log v_S - 1 \\
    2 E KL(q_S || q_R) &= \log(v_R / v_S)
        + (v_S + (a_S - P a_R)^T C_S (a_S - P a_R)) / v_R - 1

An objective is a weighted sum of these. Given the other posteriors it is quadratic in a_S, and its
derivative in v_S has one positive root. So each posterior is set to its best in turn until none
changes. The weights are derived here again from the recursion of the paper: the code under test is
not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from math import erf, factorial, sqrt

import numpy as np
from numpy.typing import NDArray

Subset = tuple[int, ...]
Array = NDArray[np.float64]
_CHI_SQUARE_90 = 2.705543454095414  # 0.9-quantile, one degree of freedom


@dataclass(frozen=True)
class LinearGaussian:
    """
    The generative model.

    Parameters
    ----------
    gains
        w, ``(sensors,)``.
    noises
        Standard deviations s, ``(sensors,)``.

    """

    gains: Array
    noises: Array

    @property
    def covariance(self) -> Array:
        """Return C, (sensors, sensors)."""
        return np.outer(self.gains, self.gains) + np.diag(self.noises**2)

    def precision(self, subset: Subset) -> float:
        """Return the precision of p(z|x_S)."""
        chosen = list(subset)
        return float(1 + ((self.gains[chosen] / self.noises[chosen]) ** 2).sum())

    def mean_map(self, subset: Subset) -> Array:
        """Return a_S of the exact posterior."""
        chosen = list(subset)
        gain: Array = self.gains[chosen] / self.noises[chosen] ** 2 / self.precision(subset)
        return gain


@dataclass
class Posterior:
    """q_S = N(a^T x_S, v)."""

    mean_map: Array
    variance: float


def subsets(n: int) -> list[Subset]:
    """Return all non-empty subsets of n sensors, by size."""
    return [s for size in range(1, n + 1) for s in combinations(range(n), size)]


def weights(objective: str, n: int) -> dict[Subset, float]:
    """Return the weight of each subset's bound; m2vae's sums over all paths of the recursion."""
    all_sensors = tuple(range(n))
    if objective == 'vae':
        return {(m,): 1.0 for m in range(n)}
    if objective in ('jvae', 'jmvae'):
        return {all_sensors: 1.0}
    return {
        s: factorial(n - len(s)) * factorial(len(s) - 1) / factorial(n) for s in subsets(n)
    }


def optimum(
    model: LinearGaussian, objective: str, *, alpha: float = 1, joint_prior_weight: float = 1
) -> dict[Subset, Posterior]:
    """
    Return the posteriors that maximise the objective's expectation.

    They are those that the objective trains.
    """
    n = len(model.gains)
    weight = weights(objective, n)
    if objective not in ('jmvae', 'm2vae'):
        alpha = 0
    needed = set(weight) | {
        tuple(k for k in s if k != m) for s in weight for m in s if alpha and len(s) > 1
    }
    found = {
        s: Posterior(model.mean_map(s), 1 / model.precision(s))
        for s in subsets(n) if s in needed
    }
    for _ in range(10_000):
        change = 0.0
        for subset, old in found.items():
            new = _best(model, subset, found, weight, alpha, joint_prior_weight)
            change = max(
                change, abs(new.variance - old.variance),
                float(np.abs(new.mean_map - old.mean_map).max()),
            )
            found[subset] = new
        if change < 1e-13:
            return found
    raise RuntimeError(f'{objective}: no optimum found, the last change was {change}')


def _best(
    model: LinearGaussian, subset: Subset, found: Mapping[Subset, Posterior],
    weight: Mapping[Subset, float], alpha: float, joint_prior_weight: float,
) -> Posterior:
    """Return the best posterior of one subset, given those of the others."""
    chosen = list(subset)
    covariance = model.covariance
    inner = covariance[np.ix_(chosen, chosen)]
    own = weight.get(subset, 0.0)
    prior = joint_prior_weight if len(subset) > 1 else 1.0
    likelihood = float(((model.gains[chosen] / model.noises[chosen]) ** 2).sum())
    variance = found[subset].variance

    # Quadratic in the mean map: curvature * C a = pull.
    curvature = own * (likelihood + prior)
    pull = own * inner @ (model.gains[chosen] / model.noises[chosen] ** 2)
    # In the variance: rate + logs / v + squares / v^2 = 0.
    rate, logs, squares = -own * (likelihood + prior), own * prior, 0.0
    smaller = [tuple(k for k in subset if k != m) for m in subset if len(subset) > 1]
    for rest in smaller if own and alpha else []:
        q = found[rest]
        spread = np.array([
            q.mean_map[rest.index(k)] if k in rest else 0.0 for k in subset
        ])
        curvature += own * alpha / q.variance
        pull = pull + own * alpha / q.variance * inner @ spread
        rate -= own * alpha / q.variance
        logs += own * alpha
    larger = [s for s in weight if alpha and len(s) == len(subset) + 1 and set(subset) < set(s)]
    for joint in larger:
        q = found[joint]
        across = covariance[np.ix_(chosen, list(joint))]
        curvature += alpha * weight[joint] / variance
        pull = pull + alpha * weight[joint] / variance * across @ q.mean_map
    mean_map = np.linalg.solve(curvature * inner, pull)
    for joint in larger:
        q = found[joint]
        spread = np.array([
            mean_map[subset.index(k)] if k in subset else 0.0 for k in joint
        ])
        difference = q.mean_map - spread
        outer = covariance[np.ix_(list(joint), list(joint))]
        logs -= alpha * weight[joint]
        squares += alpha * weight[joint] * (q.variance + float(difference @ outer @ difference))
    if rate == 0:
        return Posterior(mean_map, -squares / logs)
    root = sqrt(logs**2 - 4 * rate * squares)
    return Posterior(mean_map, (-logs - root) / (2 * rate))


def coverage_90(model: LinearGaussian, subset: Subset, posterior: Posterior) -> float:
    """Return how often z lies in the 90 % region of q_S."""
    chosen = list(subset)
    difference = posterior.mean_map - model.mean_map(subset)
    inner = model.covariance[np.ix_(chosen, chosen)]
    spread = 1 / model.precision(subset) + difference @ inner @ difference
    return erf(sqrt(_CHI_SQUARE_90 * posterior.variance / spread / 2))

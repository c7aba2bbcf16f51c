# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
r"""
The Gaussian mixture of the FUSION 2019 paper (its Fig. 3a) and its exact figures.

Ten equally likely classes k and two sensors that measure points in the plane, independent and
isotropic given the class:

.. math::
    p(x_S) = \frac{1}{10} \sum_k \prod_{m \in S} N(x_m; \mu_{m,k}, s_m^2 I)

The sensor w sees the classes on a circle, 0 and 9 at the same place; the sensor x sees 5, 6 and 7
at the same place, and 8 and 0. Together they tell all classes apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, pi, sqrt

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CLASSES = 10
SENSORS = ('x', 'w')
NOISES = {'x': 0.06, 'w': 0.1}  # standard deviations
_ANGLES = 2 * pi * np.arange(CLASSES) / 9
MEANS: dict[str, Array] = {  # (classes, 2)
    'x': np.array([
        (1, 0.25), (0, 0.5), (0, 1), (1 / 3, 0.25), (1 / 3, 0.75),
        (2 / 3, 0.5), (2 / 3, 0.5), (2 / 3, 0.5), (1, 0.25), (1, 0.75),
    ]),
    'w': np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1),
}


@dataclass(frozen=True)
class Samples:
    """Measurements by sensor, ``(count, 2)``, and the classes they come from, ``(count,)``."""

    values: Mapping[str, Array]
    classes: NDArray[np.int64]


def draw_samples(count: int, rng: np.random.Generator) -> Samples:
    """Return samples of the mixture."""
    classes = rng.integers(CLASSES, size=count)
    return Samples({
        name: MEANS[name][classes] + NOISES[name] * rng.standard_normal((count, 2))
        for name in SENSORS
    }, classes)


def log_joint(samples: Samples, subset: Sequence[str]) -> Array:
    """Return log p(x_S, k) of all classes, ``(count, classes)``, in nats."""
    total = np.full((len(samples.classes), CLASSES), -log(CLASSES))
    for name in subset:
        difference = samples.values[name][:, None] - MEANS[name]
        variance = NOISES[name] ** 2
        total += -0.5 * (difference**2).sum(-1) / variance - log(2 * pi * variance)
    return total


def log_density(samples: Samples, subset: Sequence[str]) -> Array:
    """Return log p(x_S), ``(count,)``, in nats."""
    joint = log_joint(samples, subset)
    largest = joint.max(1)
    density: Array = largest + np.log(np.exp(joint - largest[:, None]).sum(1))
    return density


def bayes_accuracy(samples: Samples, subset: Sequence[str]) -> float:
    """
    Return the expected share of samples whose class the best classifier finds.

    Among classes that look alike it guesses, so this is the mean of the largest p(k|x_S).
    """
    posterior = log_joint(samples, subset) - log_density(samples, subset)[:, None]
    return float(np.exp(posterior.max(1)).mean())


def entropy(samples: Samples, subset: Sequence[str]) -> Array:
    """Return the entropy of p(k|x_S), ``(count,)``, in nats."""
    posterior = log_joint(samples, subset) - log_density(samples, subset)[:, None]
    total: Array = -(np.exp(posterior) * posterior).sum(1)
    return total


def expected_log_density(samples: Samples, subset: Sequence[str]) -> tuple[float, float]:
    """
    Return E log p(x_S) and its standard error, nats.

    It is E log p(x_S, k), which has a closed form, plus the entropy of the class given x_S, which
    is a mean over the samples.
    """
    closed = -log(CLASSES) - sum(log(2 * pi * NOISES[name] ** 2) + 1 for name in subset)
    mean_entropy, error = mean_and_error(entropy(samples, subset))
    return closed + mean_entropy, error


def mean_and_error(values: Array) -> tuple[float, float]:
    """Return a mean and its standard error."""
    return float(values.mean()), float(values.std(ddof=1)) / sqrt(len(values))

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Two recordings of latents held against each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.fusion.latent_message import Latent
from m2vae_ros.replay.latents import Recording


@dataclass(frozen=True)
class Comparison:
    """
    Two recordings of latents beside each other.

    Parameters
    ----------
    sets_a, sets_b
        Sets in each.
    missing_in_a, missing_in_b
        Sets that only the other has.
    other_members
        Sets of both with the same stamp, fused of different sensors.
    equal_members
        Sets of both with the same stamp and sensors.
    bit_identical
        How many of these have the same bits.
    mean_difference, log_variance_difference
        Largest absolute difference over them.
    symmetric_kl
        Largest (KL(a, b) + KL(b, a)) / 2 over them, nats.
    repeated_a, repeated_b
        Latents that were left out, since their stamp was there already.

    """

    sets_a: int
    sets_b: int
    missing_in_a: int
    missing_in_b: int
    other_members: int
    equal_members: int
    bit_identical: int
    mean_difference: float
    log_variance_difference: float
    symmetric_kl: float
    repeated_a: int
    repeated_b: int

    @property
    def share(self) -> float:
        """Share of the sets of either recording that are in both, of the same sensors."""
        every = self.missing_in_a + self.missing_in_b + self.other_members + self.equal_members
        return self.equal_members / every

    def within(self, tolerance: float) -> bool:
        """Return whether latents of sets with equal members differ by no more than this."""
        return self.mean_difference <= tolerance and self.log_variance_difference <= tolerance


def compare(a: Recording, b: Recording) -> Comparison:
    """
    Hold two recordings against each other; sets belong together by their stamps.

    Raises
    ------
    ValueError
        If their latents have different sizes.

    """
    stamps = sorted(a.latents.keys() & b.latents.keys())
    pairs = [(a.latents[stamp], b.latents[stamp]) for stamp in stamps]
    equal = [(one, other) for one, other in pairs if one.sensors == other.sensors]
    for one, other in equal:
        if one.mean.shape != other.mean.shape:
            raise ValueError(
                f'{a.path} and {b.path}: latents of {len(one.mean)} and {len(other.mean)} '
                'dimensions are of different models'
            )
    return Comparison(
        sets_a=len(a.latents), sets_b=len(b.latents),
        missing_in_a=len(b.latents) - len(pairs), missing_in_b=len(a.latents) - len(pairs),
        other_members=len(pairs) - len(equal), equal_members=len(equal),
        bit_identical=sum(_same_bits(one, other) for one, other in equal),
        mean_difference=_largest(_distance(one.mean, other.mean) for one, other in equal),
        log_variance_difference=_largest(
            _distance(one.log_variance, other.log_variance) for one, other in equal
        ),
        symmetric_kl=_largest(symmetric_kl(one, other) for one, other in equal),
        repeated_a=a.repeated, repeated_b=b.repeated,
    )


def symmetric_kl(a: Latent, b: Latent) -> float:
    """Return (KL(a, b) + KL(b, a)) / 2 of two diagonal Gaussians, nats."""
    mean_a, mean_b = a.mean.astype(np.float64), b.mean.astype(np.float64)
    log_a, log_b = a.log_variance.astype(np.float64), b.log_variance.astype(np.float64)
    apart = (mean_a - mean_b) ** 2
    terms = (
        2 * np.sinh((log_a - log_b) / 2) ** 2  # = (v_a / v_b + v_b / v_a) / 2 - 1
        + apart * (np.exp(-log_a) + np.exp(-log_b)) / 2
    )
    return float(terms.sum() / 2)


def _same_bits(a: Latent, b: Latent) -> bool:
    return (
        a.mean.tobytes() == b.mean.tobytes()
        and a.log_variance.tobytes() == b.log_variance.tobytes()
    )


def _distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.abs(a.astype(np.float64) - b).max())


def _largest(values: Iterable[float]) -> float:
    """Return the largest value, 0 if there is none, NaN if one is."""
    return float(np.max(list(values), initial=0.0))

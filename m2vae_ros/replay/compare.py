# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Two recordings of latents, compared set by set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.fusion.latent_message import Latent
from m2vae_ros.replay.latents import Recording


@dataclass(frozen=True)
class Comparison:
    """
    How two recordings of latents, A and B, differ.

    Parameters
    ----------
    sets_a, sets_b
        Sets in each recording.
    missing_in_a, missing_in_b
        Sets that only the other recording has.
    other_members
        Sets of the same stamp that were fused from different sensors.
    equal_members
        Sets of the same stamp that were fused from the same sensors.
    bit_identical
        How many of the latter have the same bits.
    mean_difference, log_variance_difference
        Largest absolute difference among them.
    symmetric_kl
        Largest (KL(a, b) + KL(b, a)) / 2 among them, nats.
    repeated_a, repeated_b
        Latents that were left out because an earlier one has the same stamp.
    absent_in_a, absent_in_b
        Sensor that was fused in the other recording only -> in how many of its sets.

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
    absent_in_a: Mapping[str, int]
    absent_in_b: Mapping[str, int]

    @property
    def share(self) -> float:
        """Share of all sets, of either recording, that are in both and of the same sensors."""
        total = self.missing_in_a + self.missing_in_b + self.other_members + self.equal_members
        return self.equal_members / total

    def within(self, tolerance: float) -> bool:
        """Return whether no mean and no log variance differs by more than the tolerance."""
        return self.mean_difference <= tolerance and self.log_variance_difference <= tolerance


def compare(a: Recording, b: Recording) -> Comparison:
    """
    Compare two recordings; sets are paired by their stamps.

    Raises
    ------
    ValueError
        If their latents have different sizes.

    """
    stamps = sorted(a.latents.keys() & b.latents.keys())
    pairs = [(a.latents[stamp], b.latents[stamp]) for stamp in stamps]
    equal = [(in_a, in_b) for in_a, in_b in pairs if in_a.sensors == in_b.sensors]
    for in_a, in_b in equal:
        if in_a.mean.shape != in_b.mean.shape:
            raise ValueError(
                f'{a.path} and {b.path}: latents of {len(in_a.mean)} and {len(in_b.mean)} '
                'dimensions are of different models'
            )
    return Comparison(
        sets_a=len(a.latents), sets_b=len(b.latents),
        missing_in_a=len(b.latents) - len(pairs), missing_in_b=len(a.latents) - len(pairs),
        other_members=len(pairs) - len(equal), equal_members=len(equal),
        bit_identical=sum(_same_bits(in_a, in_b) for in_a, in_b in equal),
        mean_difference=_largest(_distance(in_a.mean, in_b.mean) for in_a, in_b in equal),
        log_variance_difference=_largest(
            _distance(in_a.log_variance, in_b.log_variance) for in_a, in_b in equal
        ),
        symmetric_kl=_largest(symmetric_kl(in_a, in_b) for in_a, in_b in equal),
        repeated_a=a.repeated, repeated_b=b.repeated,
        absent_in_a=_absent(a, b), absent_in_b=_absent(b, a),
    )


def _absent(recording: Recording, other: Recording) -> dict[str, int]:
    """Return the sensors that only the other recording has -> in how many of its sets."""
    names = dict(enumerate(recording.names or other.names))
    own = recording.sets_of()
    return {
        names.get(sensor, f'sensor {sensor + 1}'): count
        for sensor, count in other.sets_of().items() if sensor not in own
    }


def symmetric_kl(a: Latent, b: Latent) -> float:
    """Return (KL(a, b) + KL(b, a)) / 2 of two diagonal Gaussians, nats."""
    mean_a, mean_b = a.mean.astype(np.float64), b.mean.astype(np.float64)
    log_a, log_b = a.log_variance.astype(np.float64), b.log_variance.astype(np.float64)
    squared_distance = (mean_a - mean_b) ** 2
    terms = (
        2 * np.sinh((log_a - log_b) / 2) ** 2  # = (v_a / v_b + v_b / v_a) / 2 - 1
        + squared_distance * (np.exp(-log_a) + np.exp(-log_b)) / 2
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
    """Return the largest value; 0 if there is none, NaN if any is NaN."""
    return float(np.max(list(values), initial=0.0))

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Fused sets kept with their measurements: evenly spaced ones of a bag, and batches of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from m2vae_ros.specs import Measurement
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.subsets import Subset

SECOND_NS = 1_000_000_000
_REMEMBERED_NS = 2 * SECOND_NS  # of each sensor; a set is emitted long before that is over
_BATCH_SIZE = 32


@dataclass(frozen=True, eq=False)
class KeptSet:
    """
    A fused set with its measurements.

    Parameters
    ----------
    index
        Its number among all fused sets of the bag, from 0.
    stamp_ns
        Stamp of the set, nanoseconds.
    measurements
        Sensor -> its measurement in the set, in the model's order.
    earlier
        ``last`` -> sensor -> its measurement just before; ``one_second_old`` -> sensor -> its
        newest that was at least a second older. Sensors without one are left out.

    """

    index: int
    stamp_ns: int
    measurements: Mapping[str, Measurement]
    earlier: Mapping[str, Mapping[str, Measurement]]


class EvenSelection:
    """
    Every n-th set of a stream of unknown length; n doubles whenever there are too many.

    Parameters
    ----------
    limit
        Sets that are kept at most.

    """

    def __init__(self, limit: int) -> None:
        self.sets: list[KeptSet] = []
        self._limit = limit
        self._every = 1

    def wants(self, index: int) -> bool:
        """Return whether the set of this number is to be kept."""
        return index % self._every == 0

    def add(self, kept: KeptSet) -> None:
        """Keep a set that was wanted."""
        self.sets.append(kept)
        if len(self.sets) > self._limit:
            self.sets = self.sets[::2]
            self._every *= 2


class RecentMeasurements:
    """Each sensor's measurements of the last two seconds, and the one before these."""

    def __init__(self) -> None:
        self._recent: dict[str, deque[Measurement]] = {}

    def add(self, sensor: str, measurement: Measurement) -> None:
        """Remember a measurement; where the stamps jump back, forget those before the jump."""
        recent = self._recent.setdefault(sensor, deque())
        if recent and measurement.stamp_ns < recent[-1].stamp_ns:
            recent.clear()
        recent.append(measurement)
        while len(recent) > 1 and recent[1].stamp_ns < measurement.stamp_ns - _REMEMBERED_NS:
            recent.popleft()

    def older(
        self, measurements: Mapping[str, Measurement], age_ns: int
    ) -> dict[str, Measurement]:
        """Return each sensor's newest measurement that is at least `age_ns` older than its own."""
        found = {}
        for sensor, measurement in measurements.items():
            older = [
                candidate for candidate in self._recent[sensor]
                if candidate.stamp_ns <= measurement.stamp_ns - age_ns
            ]
            if older:
                found[sensor] = older[-1]
        return found


def spread_evenly(kept: Sequence[KeptSet], count: int) -> list[KeptSet]:
    """
    Return evenly spaced sets, at most `count`.

    They are chosen among those with most sensors, or among all where these are fewer than `count`.
    """
    most = max((len(each.measurements) for each in kept), default=0)
    complete = [each for each in kept if len(each.measurements) == most]
    candidates = complete if len(complete) >= count else list(kept)
    rows = np.unique(np.linspace(0, len(candidates) - 1, count).round().astype(int))
    return [candidates[row] for row in rows] if candidates else []


def batches_with(
    kept: Sequence[KeptSet], sensors: Subset, size: int = _BATCH_SIZE
) -> Iterator[tuple[list[KeptSet], dict[str, SensorBatch]]]:
    """Yield the sets that have all these sensors, and the measurements of these, in batches."""
    having = [each for each in kept if set(sensors) <= set(each.measurements)]
    for start in range(0, len(having), size):
        some = having[start:start + size]
        yield some, {
            name: stack([each.measurements[name] for each in some]) for name in sensors
        }


def stack(measurements: Sequence[Measurement]) -> SensorBatch:
    """Return measurements of one sensor as a batch, ``(measurements, *shape)``."""
    return SensorBatch(*(
        torch.from_numpy(np.stack([getattr(each, part) for each in measurements]))
        for part in ('values', 'valid', 'returned')
    ))

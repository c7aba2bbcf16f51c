# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A bag once through the pipeline, as a live node would see it, and what is kept of that."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
import heapq
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.storage import BagError
from m2vae_ros.evaluation.findings import SensorTraffic
from m2vae_ros.fusion.latent_message import Latent, sensors_mask
from m2vae_ros.fusion.pipeline import Pipeline
from m2vae_ros.fusion.playback import Arrival, play
from m2vae_ros.fusion.synchronizer import FusedSet
from m2vae_ros.specs import Measurement
from m2vae_ros.vae.subsets import Subset

SECOND_NS = 1_000_000_000
_REMEMBERED = 2 * SECOND_NS  # of each sensor; a set leaves long before that is over
_REORDERED = 32  # messages that may come in another order than their stamps


@dataclass(frozen=True, eq=False)
class KeptSet:
    """
    A fused set with its measurements.

    Parameters
    ----------
    index
        Which of all fused sets.
    stamp_ns
        Of the set.
    measurements
        Sensor -> what it saw, in the model's order.
    before
        Predictor (``last``, ``one_second_old``) -> sensor -> its measurement before this one, and
        its newest that was a second old, where there was one.

    """

    index: int
    stamp_ns: int
    measurements: Mapping[str, Measurement]
    before: Mapping[str, Mapping[str, Measurement]]


@dataclass(frozen=True, eq=False)
class Passage:
    """
    What came of a bag.

    Parameters
    ----------
    stamps
        Of all fused sets, nanoseconds, ``(sets,)``.
    fused
        The sensors of each, ``(sets,)``.
    means
        Of their posteriors, float32 ``(sets, latent)``.
    kept
        Some of them, evenly spread.
    traffic
        Of each sensor.
    untrained
        Sensors of a set that no trained subset covers -> how many.

    """

    stamps: NDArray[np.int64]
    fused: list[Subset]
    means: NDArray[np.float32]
    kept: list[KeptSet]
    traffic: list[SensorTraffic]
    untrained: Mapping[Subset, int]


class _Memory:
    """The latest measurements of each sensor."""

    def __init__(self) -> None:
        self._latest: dict[str, deque[Measurement]] = {}

    def note(self, sensor: str, measurement: Measurement) -> None:
        latest = self._latest.setdefault(sensor, deque())
        if latest and measurement.stamp_ns < latest[-1].stamp_ns:
            latest.clear()
        latest.append(measurement)
        while len(latest) > 1 and latest[1].stamp_ns < measurement.stamp_ns - _REMEMBERED:
            latest.popleft()

    def before(
        self, measurements: Mapping[str, Measurement], age_ns: int
    ) -> dict[str, Measurement]:
        """Return each sensor's newest measurement that is older than those by so much."""
        found = {}
        for sensor, measurement in measurements.items():
            older = [
                one for one in self._latest[sensor]
                if one.stamp_ns <= measurement.stamp_ns - age_ns
            ]
            if older:
                found[sensor] = older[-1]
        return found


class _Kept:
    """Every n-th of a stream of unknown length, at most so many."""

    def __init__(self, most: int) -> None:
        self.sets: list[KeptSet] = []
        self._most = most
        self._every = 1

    def wants(self, index: int) -> bool:
        return index % self._every == 0

    def add(self, one: KeptSet) -> None:
        self.sets.append(one)
        if len(self.sets) > self._most:
            self.sets = self.sets[::2]
            self._every *= 2


class _Counts:
    """When the messages of each sensor came."""

    def __init__(self) -> None:
        self.messages: Counter[str] = Counter()
        self._first: dict[str, int] = {}
        self._last: dict[str, int] = {}

    def note(self, sensor: str, receive_ns: int) -> None:
        self.messages[sensor] += 1
        self._first.setdefault(sensor, receive_ns)
        self._last[sensor] = receive_ns

    def rate(self, sensor: str) -> float | None:
        span = self._last.get(sensor, 0) - self._first.get(sensor, 0)
        return (self.messages[sensor] - 1) / (span * 1e-9) if span > 0 else None


def pass_through(
    pipeline: Pipeline,
    bag: Bag,
    topics: Mapping[str, str],
    keep: Callable[[Latent], None],
    *,
    samples: int,
    clock: str = 'receive',
) -> Passage:
    """
    Send a bag through a pipeline; shows a progress bar.

    Parameters
    ----------
    pipeline
        Fresh.
    bag
        Open.
    topics
        Sensor -> its topic in the bag.
    keep
        Called with every latent.
    samples
        Sets whose measurements are kept, at most.
    clock
        ``receive`` or ``header``, see `EvaluationOptions`.

    Raises
    ------
    BagError
        If nothing could be fused; says what became of the messages.

    """
    names = pipeline.engine.model.names
    memory, kept, counts = _Memory(), _Kept(samples), _Counts()
    pipeline.on_measurement = memory.note
    stamps: list[int] = []
    fused: list[Subset] = []
    means: list[NDArray[np.float32]] = []
    arrivals = _arrivals(bag, topics, clock, counts)
    for one in play(pipeline, arrivals):
        result = pipeline.fuse(one)
        if result is None:
            continue
        mean = result.posterior.mean[0].numpy().copy()
        keep(Latent(
            result.stamp_ns, mean, result.posterior.log_variance[0].numpy(),
            sensors_mask(result.sensors, names),
        ))
        if kept.wants(len(stamps)):
            kept.add(_with_memory(one, len(stamps), memory))
        stamps.append(result.stamp_ns)
        fused.append(result.sensors)
        means.append(mean)
    traffic = _traffic(pipeline, topics, counts)
    if not stamps:
        raise BagError(f'{bag.path}: nothing could be fused: {_why(traffic, pipeline.untrained)}')
    return Passage(
        np.array(stamps, np.int64), fused, np.stack(means), kept.sets, traffic, pipeline.untrained
    )


def _with_memory(one: FusedSet, index: int, memory: _Memory) -> KeptSet:
    return KeptSet(index, one.stamp_ns, dict(one.items), {
        'last': memory.before(one.items, 1),
        'one_second_old': memory.before(one.items, SECOND_NS),
    })


def _arrivals(
    bag: Bag, topics: Mapping[str, str], clock: str, counts: _Counts
) -> Iterator[Arrival]:
    arrivals = _received(bag, topics, counts)
    return arrivals if clock == 'receive' else _by_stamp(arrivals)


def _received(bag: Bag, topics: Mapping[str, str], counts: _Counts) -> Iterator[Arrival]:
    sensors = {topic: sensor for sensor, topic in topics.items()}
    seconds = (bag.end_ns - bag.start_ns) * 1e-9
    with tqdm(
        total=seconds, desc=f'fusing {bag.path.name}', unit='s', file=sys.stderr,
        bar_format='{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s of the bag '
                   '[{elapsed}<{remaining}]',
    ) as bar:
        for topic, receive_ns, message in bag.messages(list(topics.values())):
            counts.note(sensors[topic], receive_ns)
            bar.update((receive_ns - bag.start_ns) * 1e-9 - bar.n)
            yield sensors[topic], receive_ns, message


def _by_stamp(arrivals: Iterator[Arrival]) -> Iterator[Arrival]:
    """Give messages in the order of their stamps, which are the time."""
    waiting: list[tuple[int, int, str, Any]] = []
    for count, (sensor, _, message) in enumerate(arrivals):
        stamp = message.header.stamp
        heapq.heappush(waiting, (stamp.sec * 10**9 + stamp.nanosec, count, sensor, message))
        if len(waiting) > _REORDERED:
            stamp_ns, _, earliest, oldest = heapq.heappop(waiting)
            yield earliest, stamp_ns, oldest
    while waiting:
        stamp_ns, _, earliest, oldest = heapq.heappop(waiting)
        yield earliest, stamp_ns, oldest


def _traffic(
    pipeline: Pipeline, topics: Mapping[str, str], counts: _Counts
) -> list[SensorTraffic]:
    dropped = pipeline.synchronizer.statistics.dropped
    return [
        SensorTraffic(
            sensor, topic, counts.messages[sensor], counts.rate(sensor),
            dict(pipeline.invalid[sensor]), dict(dropped[sensor]),
        )
        for sensor, topic in topics.items()
    ]


def _why(traffic: list[SensorTraffic], untrained: Mapping[Subset, int]) -> str:
    """Return what became of the messages, and what to do."""
    fates = [
        f'{one.topic}: {count} {rule}'
        for one in traffic for rule, count in {**one.invalid, **one.dropped}.items()
    ]
    fates += [f'{count} sets of {"+".join(s)} have no encoder' for s, count in untrained.items()]
    return f'{"; ".join(fates)}. Where stamps are of another time use --clock header'

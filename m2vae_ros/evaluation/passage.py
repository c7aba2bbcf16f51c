# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""One passage of a bag through the pipeline, as a live node would fuse it, and what is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
import sys

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.storage import BagError
from m2vae_ros.evaluation.findings import SensorTraffic
from m2vae_ros.evaluation.kept_sets import EvenSelection, KeptSet, RecentMeasurements, SECOND_NS
from m2vae_ros.evaluation.stamp_order import by_stamp
from m2vae_ros.fusion.latent_message import Latent, sensors_mask
from m2vae_ros.fusion.pipeline import Pipeline
from m2vae_ros.fusion.playback import Arrival, play
from m2vae_ros.fusion.refusals import refusals_text, stamp_reasons
from m2vae_ros.fusion.statistics import BAD_STAMPS
from m2vae_ros.fusion.synchronizer import FusedSet
from m2vae_ros.vae.subsets import Subset


@dataclass(frozen=True, eq=False)
class Passage:
    """
    What the pipeline made of a bag.

    Parameters
    ----------
    stamps
        Stamps of all fused sets, nanoseconds, ``(sets,)``.
    fused
        The sensors fused in each, ``(sets,)``.
    means
        Means of their posteriors, float32 ``(sets, latent)``.
    kept
        Evenly spaced sets with their measurements.
    traffic
        Counts of messages, one entry for each sensor.
    untrained
        Sensors of sets that no trained subset covers -> number of such sets.
    unusable
        Sensor of whose messages none can be used -> why.

    """

    stamps: NDArray[np.int64]
    fused: list[Subset]
    means: NDArray[np.float32]
    kept: list[KeptSet]
    traffic: list[SensorTraffic]
    untrained: Mapping[Subset, int]
    unusable: Mapping[str, str]


class _MessageCounts:
    """Count and rate of each sensor's messages."""

    def __init__(self) -> None:
        self.messages: Counter[str] = Counter()
        self._first_ns: dict[str, int] = {}
        self._last_ns: dict[str, int] = {}

    def add(self, sensor: str, receive_ns: int) -> None:
        self.messages[sensor] += 1
        self._first_ns.setdefault(sensor, receive_ns)
        self._last_ns[sensor] = receive_ns

    def rate(self, sensor: str) -> float | None:
        """Return the mean rate in Hz; None for a single message."""
        span = self._last_ns.get(sensor, 0) - self._first_ns.get(sensor, 0)
        return (self.messages[sensor] - 1) / (span * 1e-9) if span > 0 else None


def pass_through(
    pipeline: Pipeline,
    bag: Bag,
    topics: Mapping[str, str],
    on_latent: Callable[[Latent], None],
    *,
    samples: int,
    clock: str = 'receive',
) -> Passage:
    """
    Send a bag through a pipeline; shows a progress bar.

    Parameters
    ----------
    pipeline
        A new one: nothing has been received yet.
    bag
        The open recording.
    topics
        Sensor -> its topic in the bag.
    on_latent
        Called with every latent.
    samples
        Sets that are kept with their measurements, at most.
    clock
        ``receive`` or ``header``, see `EvaluationOptions`.

    Raises
    ------
    BagError
        If nothing could be fused; says what became of the messages.

    """
    names = pipeline.engine.model.names
    recent, selection, counts = RecentMeasurements(), EvenSelection(samples), _MessageCounts()
    pipeline.on_measurement = recent.add
    stamps: list[int] = []
    fused: list[Subset] = []
    means: list[NDArray[np.float32]] = []
    arrivals = _arrivals(pipeline, bag, topics, clock, counts)
    for fused_set in play(pipeline, arrivals):
        result = pipeline.fuse(fused_set)
        if result is None:
            continue
        mean = result.posterior.mean[0].numpy().copy()
        on_latent(Latent(
            result.stamp_ns, mean, result.posterior.log_variance[0].numpy(),
            sensors_mask(result.sensors, names),
        ))
        if selection.wants(len(stamps)):
            selection.add(_with_earlier(fused_set, len(stamps), recent))
        stamps.append(result.stamp_ns)
        fused.append(result.sensors)
        means.append(mean)
    traffic = _traffic(pipeline, topics, counts)
    if not stamps:
        raise BagError(f'{bag.path}: nothing could be fused: {_explain(traffic, pipeline)}')
    return Passage(
        np.array(stamps, np.int64), fused, np.stack(means), selection.sets, traffic,
        pipeline.untrained, {
            each.sensor: f'none of its {each.messages} messages on {each.topic} can be used '
            f'{refusals_text(refused, _reasons(pipeline, each.sensor))}'
            for each in traffic
            if sum((refused := _refused(each)).values()) == each.messages
        },
    )


def _with_earlier(fused_set: FusedSet, index: int, recent: RecentMeasurements) -> KeptSet:
    return KeptSet(index, fused_set.stamp_ns, dict(fused_set.items), {
        'last': recent.older(fused_set.items, 1),
        'one_second_old': recent.older(fused_set.items, SECOND_NS),
    })


def _arrivals(
    pipeline: Pipeline, bag: Bag, topics: Mapping[str, str], clock: str, counts: _MessageCounts
) -> Iterator[Arrival]:
    arrivals = _received(bag, topics, counts)
    if clock == 'receive':
        return arrivals
    return by_stamp(arrivals, bag, topics, pipeline.synchronizer.offsets)


def _received(
    bag: Bag, topics: Mapping[str, str], counts: _MessageCounts
) -> Iterator[Arrival]:
    """Yield the messages in order of receipt; count them and show the progress."""
    sensors = {topic: sensor for sensor, topic in topics.items()}
    seconds = (bag.end_ns - bag.start_ns) * 1e-9
    with tqdm(
        total=seconds, desc=f'fusing {bag.path.name}', unit='s', file=sys.stderr,
        bar_format='{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s of the bag '
                   '[{elapsed}<{remaining}]',
    ) as bar:
        for topic, receive_ns, message in bag.messages(list(topics.values())):
            counts.add(sensors[topic], receive_ns)
            bar.update((receive_ns - bag.start_ns) * 1e-9 - bar.n)
            yield sensors[topic], receive_ns, message


def _traffic(
    pipeline: Pipeline, topics: Mapping[str, str], counts: _MessageCounts
) -> list[SensorTraffic]:
    dropped = pipeline.synchronizer.statistics.dropped
    return [
        SensorTraffic(
            sensor, topic, counts.messages[sensor], counts.rate(sensor),
            dict(pipeline.invalid[sensor]), dict(dropped[sensor]),
        )
        for sensor, topic in topics.items()
    ]


def _refused(traffic: SensorTraffic) -> dict[str, int]:
    """Return rule -> messages of a sensor that broke it, those of their stamps among them."""
    dropped = traffic.dropped
    return {**traffic.invalid, **{rule: dropped[rule] for rule in BAD_STAMPS if rule in dropped}}


def _reasons(pipeline: Pipeline, sensor: str) -> dict[str, str]:
    """Return rule -> what was wrong with a sensor's first message that broke it."""
    return stamp_reasons(pipeline.synchronizer.options) | pipeline.first_invalid[sensor]


def _explain(traffic: list[SensorTraffic], pipeline: Pipeline) -> str:
    """Return what became of the messages, and what to do."""
    fates = [
        f'{each.topic}: {count} {rule}'
        for each in traffic for rule, count in {**each.invalid, **each.dropped}.items()
    ]
    fates += [
        reason for each in traffic for reason in pipeline.first_invalid[each.sensor].values()
    ]
    fates += [
        f'{count} sets of {"+".join(s)} have no encoder'
        for s, count in pipeline.untrained.items()
    ]
    return (
        f'{"; ".join(fates)}. If the stamps are not of the time of recording, use --clock header'
    )

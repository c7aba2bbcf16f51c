# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Which slop, max_wait, timeout and offsets fuse the sensors of a robot, tried before they are said.

What is proposed has passed the synchronizer: the recorded stamps and arrivals were played through
it, and nearly all messages of the slowest sensor left in complete sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import ceil, isnan, nan

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.fusion.options import SynchronizerOptions
from m2vae_ros.fusion.synchronizer import Synchronizer
from m2vae_ros.fusion.timing import measure_all, SensorTiming

ENOUGH = 0.97  # of the slowest sensor's messages in complete sets
_SURE = 0.995  # of them with what is proposed, on what was measured
_FEWEST = 6  # messages of the slowest sensor that are judged
_MARGIN = 1.2  # of what is proposed over what was measured
_SPAN_MARGIN = 1.15  # the same, of the span of stamps
_IN_STEP = 0.001  # periods: two whose ratio is that of integers so closely are driven by one clock
_SILENT_PERIODS = 2.5  # of a sensor, after which it counts as silent
_AT_ONCE = 0.01  # s

Times = Mapping[str, NDArray[np.int64]]  # sensor -> (stamp, arrival), ns, in order of arrival


@dataclass(frozen=True)
class Proposal:
    """
    Options that fuse some sensors.

    Parameters
    ----------
    options
        Of the synchronizer, all of them.
    offsets
        Sensor -> seconds that its stamps are ahead.
    changes
        Names of the options and sensors (as ``lidar.offset``) that differ from the present
        ones -> what to set them to.
    share, present_share
        Share of the slowest sensor's messages that leave in complete sets, with what is proposed
        and at present.
    timings
        Sensor -> its timing, of those that were judged.
    span
        How far apart the nearest stamps of all sensors lie, seconds.

    """

    options: SynchronizerOptions
    offsets: Mapping[str, float]
    changes: Mapping[str, float]
    share: float
    present_share: float
    timings: Mapping[str, SensorTiming] = field(default_factory=dict)
    span: float = 0.0


def complete_share(
    times: Times, options: SynchronizerOptions, offsets: Mapping[str, float] | None = None
) -> float:
    """
    Return the share of the slowest sensor's messages that leave in sets of all sensors.

    Judged are its messages, but for the first, from when all sensors have begun to when the first
    of them ends; nan where there are too few.
    """
    corrected = {
        name: each for name, each in _corrected(times, offsets or {}).items() if len(each)
    }
    names = list(corrected)
    if not names:
        return nan
    judged = set(_judged(corrected, options.slop).tolist())
    if len(judged) < _FEWEST:
        return nan
    slowest = _slowest(corrected)
    synchronizer = Synchronizer(names, **vars(options))
    stamps, arrivals = np.concatenate(list(corrected.values())).T
    sensors = np.repeat(np.arange(len(names)), [len(each) for each in corrected.values()])
    sets = []
    for index in np.argsort(arrivals, kind='stable'):
        stamp, now = int(stamps[index]), int(arrivals[index])
        sets += synchronizer.add(names[sensors[index]], stamp, stamp, now)
    sets += synchronizer.poll(int(arrivals.max()) + round(options.max_wait * 1e9) + 1)
    complete = {one.items[slowest] for one in sets if len(one.items) == len(names)}
    return len(judged & complete) / len(judged)


def propose(
    times: Times, options: SynchronizerOptions, offsets: Mapping[str, float] | None = None
) -> Proposal | None:
    """
    Return the options nearest to the present ones that fuse the sensors; None = too little known.

    Parameters
    ----------
    times
        Sensor -> stamps as sent and arrivals, nanoseconds, ``(messages, 2)``.
    options, offsets
        The present ones.

    """
    offsets = dict(offsets or {})
    timings = measure_all(times)
    if len(timings) < 2:
        return None
    times = {name: times[name] for name in timings}
    present = complete_share(times, options, offsets)
    known = not isnan(present)
    present = present if known else 0.0  # their stamps lie so far apart that they never overlap
    best = Proposal(options, offsets, {}, present, present, timings)
    if present >= ENOUGH:
        return best
    for changed, corrected in _candidates(times, timings, options, offsets):
        share = complete_share(times, changed, corrected)
        if share > best.share:
            best = Proposal(
                changed, corrected, _changes(options, offsets, changed, corrected), share,
                present, timings, widest_span(times, corrected),
            )
        known = known or not isnan(share)
        if share >= _SURE:
            break
    return best if known else None


def _corrected(times: Times, offsets: Mapping[str, float]) -> dict[str, NDArray[np.int64]]:
    """Return the times with stamps corrected by the offsets; stamps of 0 are left out."""
    return {
        name: each[each[:, 0] > 0] - np.array([round(offsets.get(name, 0.0) * 1e9), 0])
        for name, each in times.items()
    }


def _slowest(times: Times) -> str:
    return min(times, key=lambda name: len(times[name]))


def _judged(times: Times, slop: float) -> NDArray[np.int64]:
    """Return the stamps of the slowest sensor around which all sensors were at work."""
    stamps = np.unique(times[_slowest(times)][:, 0])[1:]
    margin = round(slop * 1e9)
    first = max(int(each[:, 0].min()) for each in times.values()) + margin
    last = min(int(each[:, 0].max()) for each in times.values()) - margin
    return stamps[(stamps >= first) & (stamps <= last)]


def widest_span(times: Times, offsets: Mapping[str, float]) -> float:
    """Return how far apart the nearest stamps around those of the slowest sensor lie, s."""
    times = _corrected(times, offsets)
    pivots = _judged(times, 0.0)
    if not len(pivots):
        return 0.0
    oldest, newest = pivots.copy(), pivots.copy()
    for name, each in times.items():
        if name == _slowest(times):
            continue
        stamps = np.unique(each[:, 0])
        after = np.clip(np.searchsorted(stamps, pivots), 1, max(len(stamps) - 1, 1))
        around = stamps[np.stack([after - 1, np.minimum(after, len(stamps) - 1)])]
        nearest = np.take_along_axis(
            around, np.abs(around - pivots).argmin(0)[None], 0)[0]
        oldest, newest = np.minimum(oldest, nearest), np.maximum(newest, nearest)
    return float((newest - oldest).max()) * 1e-9


def _span_in_time(timings: Mapping[str, SensorTiming]) -> float:
    """Return how far apart stamps come to lie that have not, of sensors not in step, s."""
    slowest = max(timing.period for timing in timings.values())
    drifting = [
        timing.period for timing in timings.values()
        if abs(slowest / timing.period - round(slowest / timing.period)) > _IN_STEP
    ]
    return max(drifting, default=0.0) / 2


def _candidates(
    times: Times, timings: Mapping[str, SensorTiming], options: SynchronizerOptions,
    offsets: Mapping[str, float],
) -> Iterator[tuple[SynchronizerOptions, dict[str, float]]]:
    """Yield options and offsets, those that change least first."""
    corrected = dict(offsets)
    sound = [one.delay_p50 for one in timings.values() if not one.clock_is_off]
    usual = float(np.median(sound)) if sound else 0.0
    for name, timing in timings.items():
        if timing.clock_is_off and len(timing.modes) == 1:
            corrected[name] = round(usual - timing.delay_p50, 3)
    timings = measure_all(_corrected(times, corrected))
    slowest_period = max(timing.period for timing in timings.values())
    timeout = options.timeout
    if timeout < _SILENT_PERIODS * slowest_period:
        timeout = _rounded_up(_SILENT_PERIODS * slowest_period)
    span = max(widest_span(times, corrected), _span_in_time(timings))
    slops = [options.slop, max(options.slop, _rounded_up(_SPAN_MARGIN * span))]
    if span > options.slop:
        del slops[0]
    spread = (
        max(timing.delay_p99 for timing in timings.values())
        - min(max(timing.delay_p50, 0.0) for timing in timings.values())
    )
    for slop in dict.fromkeys(slops):
        for wait in dict.fromkeys(
            (options.max_wait, max(options.max_wait, _rounded_up(spread + slop + _AT_ONCE)))
        ):
            yield _with(options, timings, slop, wait, timeout), corrected
    slop = _rounded_up(1.5 * max(slops))
    wait = max(options.max_wait, _rounded_up(1.5 * (spread + slop)))
    yield _with(options, timings, slop, wait, timeout), corrected


def _with(
    options: SynchronizerOptions, timings: Mapping[str, SensorTiming], slop: float,
    max_wait: float, timeout: float,
) -> SynchronizerOptions:
    """Return the options with room for all that may wait."""
    if max_wait > options.max_wait:
        timeout = max(timeout, _rounded_up(2 * max_wait))
    fastest_period = min(timing.period for timing in timings.values())
    room = ceil(_MARGIN * max_wait / fastest_period) + 2
    return replace(
        options, slop=slop, max_wait=max_wait, timeout=timeout,
        queue_size=max(options.queue_size, room),
    )


def _changes(
    options: SynchronizerOptions, offsets: Mapping[str, float], changed: SynchronizerOptions,
    corrected: Mapping[str, float],
) -> dict[str, float]:
    found = {
        name: value for name, value in vars(changed).items() if value != getattr(options, name)
    }
    return found | {
        f'{name}.offset': by for name, by in corrected.items() if by != offsets.get(name, 0.0)
    }


def number_text(value: float) -> str:
    """Return a number as it is to be typed, to a thousandth; an offset may have ten digits."""
    return f'{value:.3f}'.rstrip('0').rstrip('.')


def _rounded_up(seconds: float) -> float:
    """Return seconds rounded up to two digits after the point."""
    return ceil(round(100 * seconds, 6)) / 100

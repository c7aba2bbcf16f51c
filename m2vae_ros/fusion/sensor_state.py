# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the synchronizer knows of one sensor: its queue, until when it is live, its counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from m2vae_ros.fusion.matching import Waiting
from m2vae_ros.fusion.timing import LONGEST_DELAY

NEVER_NS = -(2**63)
_MISSES = 3  # in a row, after which a sensor is not waited for


@dataclass(eq=False)
class SensorState:
    """
    The state of one sensor in the synchronizer; times on the clock of ``now_ns``.

    Parameters
    ----------
    name, index
        Which sensor, and its index in the model's order.
    offset_ns
        How far its stamps are ahead, nanoseconds.
    queue
        Measurements that wait, in order of arrival.
    newest_stamp_ns
        Newest corrected stamp accepted.
    live_until_ns
        The sensor is live until then.
    waited_for_until_ns
        Sets wait for it until then: as long as it is live, unless it cannot meet the others.
    age_ns
        How old the last accepted measurement was on arrival; None if there is none since `reset`.
    heard_stamp_ns
        Newest corrected stamp of all that were plausible, late ones too.
    lag_ns
        How old the last of these was on arrival, negative if it was ahead of the clock.
    step_ns
        How much newer the newest of these was than the one before.
    out_of_reach
        Messages in a row that came too late, or left too early, to meet those of the others.
    accepted
        Measurements accepted.
    dropped
        Reason -> measurements that were rejected on arrival, or dropped from the queue.
    rejected_in_a_row
        Messages rejected for their stamp since the last accepted one.
    rejected_since_ns
        Arrival of the first of these.
    clock_difference_ns
        Stamp of the last of these, as sent, minus its arrival.

    """

    name: str
    index: int
    offset_ns: int
    queue: list[Waiting] = field(default_factory=list)
    newest_stamp_ns: int = NEVER_NS
    live_until_ns: int = NEVER_NS
    waited_for_until_ns: int = NEVER_NS
    age_ns: int | None = None
    heard_stamp_ns: int = NEVER_NS
    lag_ns: int = 0
    step_ns: int = 0
    out_of_reach: int = 0
    accepted: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    rejected_in_a_row: int = 0
    rejected_since_ns: int = NEVER_NS
    clock_difference_ns: int = 0

    def hear(self, stamp_ns: int, now_ns: int, live_until_ns: int) -> None:
        """Take note of a plausible stamp, corrected."""
        self.live_until_ns = live_until_ns
        if self.out_of_reach < _MISSES:
            self.waited_for_until_ns = live_until_ns
        self.lag_ns = now_ns - stamp_ns
        if stamp_ns > self.heard_stamp_ns:
            if self.heard_stamp_ns != NEVER_NS:
                self.step_ns = stamp_ns - self.heard_stamp_ns
            self.heard_stamp_ns = stamp_ns

    def meet(self) -> None:
        """Take note that the sensor can meet the others."""
        self.out_of_reach = 0
        self.waited_for_until_ns = self.live_until_ns

    def miss(self) -> None:
        """Take note of a message that could not meet those of the others."""
        self.out_of_reach += 1
        if self.out_of_reach >= _MISSES:
            self.waited_for_until_ns = NEVER_NS

    def accept(self, measurement: Waiting) -> None:
        """Put a measurement into the queue."""
        self.queue.append(measurement)
        self.accepted += 1
        self.rejected_in_a_row = 0
        self.age_ns = measurement.since_ns - measurement.stamp_ns
        if measurement.stamp_ns > self.newest_stamp_ns:
            self.newest_stamp_ns = measurement.stamp_ns

    def reject(self, reason: str, stamp_ns: int, now_ns: int) -> None:
        """Count a message whose stamp, as sent, is ancient, late or in the future."""
        self.dropped[reason] += 1
        if not self.rejected_in_a_row:
            self.rejected_since_ns = now_ns
        self.rejected_in_a_row += 1
        self.clock_difference_ns = stamp_ns - now_ns

    def lasting_difference_ns(self, now_ns: int, timeout_ns: int) -> int | None:
        """Return the clock difference, if for long all was rejected and no delay explains it."""
        if self.rejected_in_a_row < 2 or now_ns - self.rejected_since_ns < timeout_ns:
            return None
        if -LONGEST_DELAY * 1e9 <= self.clock_difference_ns <= 0:
            return None
        return self.clock_difference_ns

    def drop_oldest(self, reason: str) -> None:
        """Drop the measurement that has waited longest."""
        del self.queue[0]
        self.dropped[reason] += 1

    def clear_through(self, stamp_ns: int, emitted: Waiting | None, reason: str) -> None:
        """Remove what is not newer than an emitted set, and count as dropped what is not in it."""
        if self.queue:
            before = len(self.queue)
            self.queue[:] = [waiting for waiting in self.queue if waiting.stamp_ns > stamp_ns]
            unused = before - len(self.queue) - (emitted is not None)
            if unused:
                self.dropped[reason] += unused

    def reset(self, reason: str) -> None:
        """Drop all that waits and forget that the sensor was heard; the counts stay."""
        if self.queue:
            self.dropped[reason] += len(self.queue)
            self.queue.clear()
        self.newest_stamp_ns = self.heard_stamp_ns = NEVER_NS
        self.live_until_ns = self.waited_for_until_ns = NEVER_NS
        self.age_ns = None
        self.step_ns = self.rejected_in_a_row = self.out_of_reach = 0


def make_states(sensors: Sequence[str], offsets: Mapping[str, float]) -> tuple[SensorState, ...]:
    """
    Return the states of sensors whose stamps are ahead by some offsets, in seconds.

    Raises
    ------
    ValueError
        If there is no sensor or one is named twice, or an offset names no sensor.

    """
    if not sensors or len(set(sensors)) != len(sensors):
        raise ValueError(f'sensors {list(sensors)!r}: must be one or more names, each once')
    unknown = sorted(set(offsets) - set(sensors))
    if unknown:
        raise ValueError(f'offsets name {unknown}: the sensors are {list(sensors)}')
    return tuple(
        SensorState(name, index, round(offsets.get(name, 0) * 1e9))
        for index, name in enumerate(sensors)
    )

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the synchronizer knows of one sensor: its queue, until when it is live, its counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from m2vae_ros.fusion.matching import Waiting

NEVER_NS = -(2**63)


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
        The sensor is live, and so waited for, until then.
    age_ns
        How old the last accepted measurement was on arrival; None if there is none since `reset`.
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
    age_ns: int | None = None
    accepted: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    rejected_in_a_row: int = 0
    rejected_since_ns: int = NEVER_NS
    clock_difference_ns: int = 0

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
        self.newest_stamp_ns = self.live_until_ns = NEVER_NS
        self.age_ns = None
        self.rejected_in_a_row = 0

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Which measurements belong together, and which sensors are live.

A set leaves at once when it has every live sensor with stamps within ``slop``. Where a sensor is
missing, its partners wait for ``max_wait`` and then leave without it, so the output never stops.
Messages of a fast sensor that find no slow partner are dropped while sets keep leaving.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from m2vae_ros.fusion.matching import newest_stamp, partners, Waiting
from m2vae_ros.fusion.options import SynchronizerOptions
from m2vae_ros.fusion.statistics import (
    ANCIENT_STAMP,
    CLOCK_JUMP,
    FUTURE_STAMP,
    LATE,
    OVERFLOW,
    Statistics,
    UNMATCHED,
    ZERO_STAMP,
)

_NEVER = -(2**63)
_LEAST_JUMP = 500_000_000  # ns; messages out of order are late by less, however short `timeout`


@dataclass(frozen=True, eq=False)
class FusedSet:
    """
    Measurements that belong together.

    Parameters
    ----------
    stamp_ns
        The newest corrected stamp in it, nanoseconds.
    items
        Sensor -> item, in the model's order.

    """

    stamp_ns: int
    items: Mapping[str, Any]


@dataclass(eq=False)
class _Sensor:
    """What is known of one sensor."""

    name: str
    place: int  # in the model's order
    offset_ns: int
    queue: list[Waiting] = field(default_factory=list)  # in order of arrival
    newest_ns: int = _NEVER  # newest stamp accepted
    dies_ns: int = _NEVER  # until when it is waited for
    accepted: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    refused: int = 0  # messages in a row whose stamps were of no use
    refused_since_ns: int = _NEVER
    difference_ns: int = 0  # of its latest stamp to the clock


class Synchronizer:
    """
    Match the measurements of several sensors by their stamps.

    It has no thread, timer or clock: ``now_ns`` is given to every call and waits count from the
    ``now_ns`` of `add`. What was due before a call leaves or is dropped as if `poll` had been
    called in time, so what is fused does not depend on how often that is.

    A measurement is accepted if its stamp is newer than the last set's and neither zero, ancient
    nor of the future. A clock that goes back by more than ``slop`` (a recording starts again) is a
    jump: it empties the queues, forgets who is live and is counted. So is it when the stamps alone
    go back, once all that comes has been late for ``timeout``, at least 0.5 s, and still is by as
    much. A smaller step back of the clock counts as no step. While simulation time has not begun,
    ``now_ns`` is 0 and any other stamp lies in the future.

    Parameters
    ----------
    sensors
        Names, in the model's order.
    offsets
        Sensor -> seconds that its stamps are ahead; a stamp is taken as ``stamp - offset``.
    options
        The fields of `SynchronizerOptions`, times in seconds.

    Raises
    ------
    ValueError
        If there is no sensor, an offset names none, or an option breaks its rule.

    """

    def __init__(
        self,
        sensors: Sequence[str],
        *,
        offsets: Mapping[str, float] | None = None,
        **options: float,
    ) -> None:
        self.options = SynchronizerOptions.from_dict(options)
        offsets = offsets or {}
        if not sensors or len(set(sensors)) != len(sensors):
            raise ValueError(f'sensors {list(sensors)!r}: one or more names, each once')
        unknown = sorted(set(offsets) - set(sensors))
        if unknown:
            raise ValueError(f'offsets name {unknown}: the sensors are {list(sensors)}')
        self._slop = round(self.options.slop * 1e9)
        self._max_wait = round(self.options.max_wait * 1e9)
        self._timeout = round(self.options.timeout * 1e9)
        self._oldest_age = round(self.options.max_age * 1e9)
        self._youngest_age = -round(self.options.max_future * 1e9)
        self._all = tuple(
            _Sensor(name, place, round(offsets.get(name, 0) * 1e9))
            for place, name in enumerate(sensors)
        )
        self._sensors = {one.name: one for one in self._all}
        self._queues = [one.queue for one in self._all]
        self._sets: Counter[tuple[str, ...]] = Counter()
        self._clock_jumps = 0
        self._now = _NEVER
        self._last_stamp = _NEVER  # of the last set
        self._last_set = _NEVER  # when it left
        self._unanswered: int | None = None  # since when something accepted has seen no set leave
        self._late_since: int | None = None  # since when all that came was late

    @property
    def next_deadline_ns(self) -> int | None:
        """When `poll` is next due, on the clock of ``now_ns``; None while nothing waits."""
        since = [queue[0].since_ns for queue in self._queues if queue]
        if not since:
            return None
        deadline = min(since) + self._max_wait
        for one in self._all:
            # A sensor that stops being waited for may make what waits complete.
            if self._now < one.dies_ns < deadline:
                deadline = one.dies_ns
        return deadline

    @property
    def statistics(self) -> Statistics:
        """Return what has been counted so far."""
        return Statistics(
            accepted={one.name: one.accepted for one in self._all},
            dropped={one.name: dict(one.dropped) for one in self._all},
            sets=dict(self._sets),
            clock_jumps=self._clock_jumps,
        )

    def live(self, now_ns: int) -> tuple[str, ...]:
        """Return the sensors that are waited for: heard within ``timeout``, late or not."""
        return tuple(one.name for one in self._all if one.dies_ns > now_ns)

    def clock_difference_ns(self, sensor: str, now_ns: int) -> int | None:
        """
        Return by how much a sensor's stamps, as sent, differ from the clock; positive when ahead.

        None unless all its messages have been rejected for longer than ``timeout``, as ancient,
        of the future or late. It is the offset that would bring them to the clock.
        """
        one = self._sensors[sensor]
        if one.refused < 2 or now_ns - one.refused_since_ns < self._timeout:
            return None
        return one.difference_ns

    def add(self, sensor: str, stamp_ns: int, item: Any, now_ns: int) -> list[FusedSet]:
        """
        Take a measurement; return the sets that leave because of it, oldest first.

        Raises
        ------
        ValueError
            If there is no such sensor.

        """
        one = self._sensors.get(sensor)
        if one is None:
            raise ValueError(f'sensor {sensor!r}: the sensors are {list(self._sensors)}')
        left = self.poll(now_ns)
        now = self._now
        stamp = stamp_ns - one.offset_ns
        if not self._is_in_time(one, stamp_ns, now - stamp):
            return left
        one.dies_ns = now + self._timeout
        if stamp <= self._last_stamp and self._is_late(one, stamp_ns):
            return left
        waiting = Waiting(stamp, now, item)
        one.queue.append(waiting)
        one.accepted += 1
        one.refused = 0
        if stamp > one.newest_ns:
            one.newest_ns = stamp
        self._late_since = None
        if self._unanswered is None:
            self._unanswered = now
        for other in self._all:
            if not other.queue and other.dies_ns > now:
                break
        else:
            self._leave_if_complete(one, waiting, left)
        while len(one.queue) > self.options.queue_size:
            self._make_room(one, left)
        return left

    def poll(self, now_ns: int) -> list[FusedSet]:
        """Return the sets whose time is up, oldest first."""
        if now_ns < self._now - self._slop:
            self._jump()
            self._now = now_ns
        left: list[FusedSet] = []
        while (deadline := self.next_deadline_ns) is not None and deadline <= now_ns:
            self._now = deadline
            self._leave_complete(left)
            self._leave_due(left)
        self._now = max(self._now, now_ns)
        return left

    def _jump(self) -> None:
        self._clock_jumps += 1
        for one in self._all:
            if one.queue:
                one.dropped[CLOCK_JUMP] += len(one.queue)
                one.queue.clear()
            one.newest_ns, one.dies_ns, one.refused = _NEVER, _NEVER, 0
        self._last_stamp, self._last_set = _NEVER, _NEVER
        self._unanswered, self._late_since = None, None

    def _is_in_time(self, one: _Sensor, stamp_ns: int, age: int) -> bool:
        """Return whether a stamp is possible at all; count why not."""
        if stamp_ns <= 0:
            one.dropped[ZERO_STAMP] += 1
            return False
        if self._youngest_age <= age <= self._oldest_age:
            return True
        self._refuse(one, stamp_ns, ANCIENT_STAMP if age > 0 else FUTURE_STAMP)
        return False

    def _is_late(self, one: _Sensor, stamp_ns: int) -> bool:
        """Return whether a stamp not newer than the last set's is lost; else all went back."""
        if self._late_since is None:
            self._late_since = self._now
        behind = self._last_stamp - (stamp_ns - one.offset_ns)
        if min(self._now - self._late_since, behind) < max(self._timeout, _LEAST_JUMP):
            self._refuse(one, stamp_ns, LATE)
            return True
        self._jump()
        one.dies_ns = self._now + self._timeout
        return False

    def _refuse(self, one: _Sensor, stamp_ns: int, reason: str) -> None:
        one.dropped[reason] += 1
        if not one.refused:
            one.refused_since_ns = self._now
        one.refused += 1
        one.difference_ns = stamp_ns - self._now

    def _around(self, one: _Sensor, pivot: Waiting) -> list[Waiting | None]:
        """Return what matches a measurement, with as many live sensors as possible."""
        is_live = [other.dies_ns > self._now for other in self._all]
        return partners(self._queues, one.place, pivot, self._slop, is_live)

    def _leave_if_complete(self, one: _Sensor, pivot: Waiting, left: list[FusedSet]) -> bool:
        """Let a measurement go if it has a match of every live sensor; return whether it has."""
        items = self._around(one, pivot)
        for other, waiting in zip(self._all, items, strict=True):
            if waiting is None and other.dies_ns > self._now:
                return False
        left.append(self._leave(items))
        return True

    def _leave_complete(self, left: list[FusedSet]) -> None:
        """Let every set go that is complete, now that a sensor may have died."""
        if any(not one.queue and one.dies_ns > self._now for one in self._all):
            return
        for pivot, one in self._by_stamp():
            if pivot in one.queue:
                self._leave_if_complete(one, pivot, left)

    def _leave(self, items: Sequence[Waiting | None]) -> FusedSet:
        """Let a set go; what is left behind its stamp can never leave and is dropped."""
        stamp = newest_stamp(items)
        for one, waiting in zip(self._all, items, strict=True):
            queue = one.queue
            if queue:
                before = len(queue)
                queue[:] = [other for other in queue if other.stamp_ns > stamp]
                unused = before - len(queue) - (waiting is not None)
                if unused:
                    one.dropped[UNMATCHED] += unused
        self._last_stamp, self._last_set, self._unanswered = stamp, self._now, None
        named = {
            one.name: waiting.item
            for one, waiting in zip(self._all, items, strict=True) if waiting is not None
        }
        self._sets[tuple(named)] += 1
        return FusedSet(stamp, named)

    def _leave_due(self, left: list[FusedSet]) -> None:
        """Let go or drop the measurement that has waited longest, if its time is up."""
        for one in self._all:
            if one.queue and one.queue[0].since_ns + self._max_wait <= self._now:
                self._expire(one, left)
                return

    def _make_room(self, one: _Sensor, left: list[FusedSet]) -> None:
        """Drop the oldest of a full queue; where no set has left for long, let it go instead."""
        if self._unanswered is None or self._now - self._unanswered < self._max_wait:
            del one.queue[0]
            one.dropped[OVERFLOW] += 1
        else:
            self._expire(one, left)

    def _expire(self, owner: _Sensor, left: list[FusedSet]) -> None:
        """Drop the first of a queue or let it go, but before it what would be lost with that."""
        due = owner.queue[0]
        items = self._around(owner, due)
        if self._may_drop(due, items):
            del owner.queue[0]
            owner.dropped[UNMATCHED] += 1
            return
        newest = newest_stamp(items)
        for passed, one in self._by_stamp():
            if passed.stamp_ns >= newest:
                break
            with_passed = self._around(one, passed)
            if passed not in items and not self._may_drop(passed, with_passed):
                items = with_passed
                break
        left.append(self._leave(items))

    def _may_drop(self, due: Waiting, items: Sequence[Waiting | None]) -> bool:
        """Return whether nothing is lost with a measurement, since others carry the output on."""
        if self._now - self._last_set > 2 * self._max_wait:
            return False
        passed = any(
            waiting is None and one.dies_ns > self._now and one.newest_ns > due.stamp_ns
            for one, waiting in zip(self._all, items, strict=True)
        )
        return passed and (self._last_set >= due.since_ns or sum(map(len, self._queues)) > 1)

    def _by_stamp(self) -> list[tuple[Waiting, _Sensor]]:
        entries = ((waiting, one) for one in self._all for waiting in one.queue)
        return sorted(entries, key=lambda entry: entry[0].stamp_ns)

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Which measurements belong together, and which sensors are live.

A set leaves at once when it has every live sensor with stamps within ``slop``. Where a sensor is
missing, its partners wait for ``max_wait`` and then leave without it, so the output never stops.
Messages of a fast sensor that find no slow partner are dropped while complete sets keep leaving.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
class _Waiting:
    """An item that waits: its corrected stamp, when it came, and what it is."""

    __slots__ = ('arrival_ns', 'item', 'stamp_ns')

    stamp_ns: int
    arrival_ns: int
    item: Any


@dataclass(eq=False)
class _Sensor:
    """What is known of one sensor."""

    name: str
    offset_ns: int
    queue: list[_Waiting] = field(default_factory=list)  # by stamp
    newest_ns: int = _NEVER  # newest stamp accepted
    heard_ns: int | None = None  # when the last message was accepted
    accepted: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    wrong_since_ns: int | None = None  # since when all its stamps were too old or too new
    wrong_by_ns: int = 0

    def nearest(self, stamp_ns: int) -> _Waiting | None:
        """Return the waiting item whose stamp is nearest to another."""
        return min(self.queue, key=lambda one: abs(one.stamp_ns - stamp_ns), default=None)


class Synchronizer:
    """
    Match the measurements of several sensors by their stamps.

    It has no thread, timer or clock: ``now_ns`` is given to every call and waits count from the
    ``now_ns`` of `add`. A clock that goes back by more than ``slop`` (a recording starts again)
    empties the queues and is counted; so does one of the stamps alone, once all that comes has
    been too late for longer than ``timeout``. A smaller step back counts as no step.

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
        chosen = SynchronizerOptions.of(options)
        offsets = offsets or {}
        if not sensors or len(set(sensors)) != len(sensors):
            raise ValueError(f'sensors {list(sensors)!r}: one or more names, each once')
        unknown = sorted(set(offsets) - set(sensors))
        if unknown:
            raise ValueError(f'offsets name {unknown}: the sensors are {list(sensors)}')
        self.options = chosen
        self._slop = round(chosen.slop * 1e9)
        self._max_wait = round(chosen.max_wait * 1e9)
        self._timeout = round(chosen.timeout * 1e9)
        self._max_age = round(chosen.max_age * 1e9)
        self._max_future = round(chosen.max_future * 1e9)
        self._sensors = {n: _Sensor(n, round(offsets.get(n, 0) * 1e9)) for n in sensors}
        self._all = tuple(self._sensors.values())
        self._sets: Counter[tuple[str, ...]] = Counter()
        self._clock_jumps = 0
        self._now = _NEVER
        self._last_stamp = _NEVER  # of the last set
        self._last_set = _NEVER  # when it left
        self._unanswered: int | None = None  # since when something accepted has seen no set leave
        self._late_since: int | None = None  # since when all that came was late
        self._deadline: int | None = None

    @property
    def next_deadline_ns(self) -> int | None:
        """When `poll` is next due, on the clock of ``now_ns``; None while nothing waits."""
        return self._deadline

    @property
    def statistics(self) -> Statistics:
        """What has been counted so far."""
        return Statistics(
            accepted={one.name: one.accepted for one in self._all},
            dropped={one.name: dict(one.dropped) for one in self._all},
            sets=dict(self._sets),
            clock_jumps=self._clock_jumps,
        )

    def live(self, now_ns: int) -> tuple[str, ...]:
        """Return the sensors that are waited for: heard within ``timeout``."""
        return tuple(one.name for one in self._all if self._is_live(one, now_ns))

    def clock_difference_ns(self, sensor: str, now_ns: int) -> int | None:
        """
        Return by how much a sensor's stamps differ from ``now_ns``, positive when ahead.

        None unless all its messages have been rejected for their age for longer than ``timeout``.
        """
        one = self._sensors[sensor]
        if one.wrong_since_ns is None or now_ns - one.wrong_since_ns < self._timeout:
            return None
        return one.wrong_by_ns

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
        now = self._step(now_ns)
        stamp = stamp_ns - one.offset_ns
        if not self._accept(one, stamp_ns, stamp, now):
            return self.poll(now)
        one.accepted += 1
        one.heard_ns = now
        one.wrong_since_ns = None
        one.newest_ns = max(one.newest_ns, stamp)
        self._late_since = None
        if self._unanswered is None:
            self._unanswered = now
        _insert(one.queue, _Waiting(stamp, now, item))
        left: list[FusedSet] = []
        self._leave_complete(now, left)
        if len(one.queue) > self.options.queue_size:
            self._overflow(one, now, left)
        if left or self._deadline is None or now >= self._deadline:
            self._leave_due(now, left)
        return left

    def poll(self, now_ns: int) -> list[FusedSet]:
        """Return the sets whose time is up, oldest first."""
        now = self._step(now_ns)
        left: list[FusedSet] = []
        if self._deadline is not None and now >= self._deadline:
            self._leave_complete(now, left)
            self._leave_due(now, left)
        return left

    def _step(self, now_ns: int) -> int:
        """Return the time to go by; a clock that went back empties the queues."""
        if now_ns < self._now - self._slop:
            self._jump()
        else:
            now_ns = max(now_ns, self._now)
        self._now = now_ns
        return now_ns

    def _jump(self) -> None:
        self._clock_jumps += 1
        for one in self._all:
            if one.queue:
                one.dropped[CLOCK_JUMP] += len(one.queue)
                one.queue.clear()
            one.newest_ns, one.heard_ns, one.wrong_since_ns = _NEVER, None, None
        self._last_stamp, self._last_set = _NEVER, _NEVER
        self._unanswered, self._late_since, self._deadline = None, None, None

    def _accept(self, one: _Sensor, raw_ns: int, stamp: int, now: int) -> bool:
        """Return whether a stamp can be used; count why not."""
        age = now - stamp
        if raw_ns <= 0:
            one.dropped[ZERO_STAMP] += 1
            return False
        if age > self._max_age or -age > self._max_future:
            one.dropped[ANCIENT_STAMP if age > 0 else FUTURE_STAMP] += 1
            if one.wrong_since_ns is None:
                one.wrong_since_ns = now
            one.wrong_by_ns = -age
            return False
        if stamp > self._last_stamp:
            return True
        if self._late_since is None:
            self._late_since = now
        if now - self._late_since < self._timeout:
            one.dropped[LATE] += 1
            return False
        self._jump()
        return True

    def _is_live(self, one: _Sensor, now: int) -> bool:
        return one.heard_ns is not None and now - one.heard_ns < self._timeout

    def _leave_complete(self, now: int, left: list[FusedSet]) -> None:
        """Let every set go that has all live sensors within slop."""
        while chosen := self._complete(now):
            left.append(self._leave(chosen, now))

    def _complete(self, now: int) -> dict[str, _Waiting] | None:
        """Return the oldest set over all live sensors, its items as close as they come."""
        live = []
        for one in self._all:
            if one.heard_ns is not None and now - one.heard_ns < self._timeout:
                if not one.queue:
                    return None
                live.append(one)
        if not live:
            return None
        heads = [0] * len(live)
        while True:
            stamps = [one.queue[head].stamp_ns for one, head in zip(live, heads, strict=True)]
            oldest = min(stamps)
            if max(stamps) - oldest <= self._slop:
                break
            behind = stamps.index(oldest)
            heads[behind] += 1
            if heads[behind] == len(live[behind].queue):
                return None
        first = {
            one.name: one.queue[head] for one, head in zip(live, heads, strict=True)
        }
        rarest = min(live, key=lambda one: len(one.queue))
        centre = first[rarest.name].stamp_ns
        closest = {}
        for one in live:
            item = one.nearest(centre) if one is not rarest else first[rarest.name]
            assert item is not None
            closest[one.name] = item
        return closest if self._within_slop(closest) else first

    def _within_slop(self, items: Mapping[str, _Waiting]) -> bool:
        stamps = [item.stamp_ns for item in items.values()]
        return max(stamps) - min(stamps) <= self._slop

    def _leave(self, items: Mapping[str, _Waiting], now: int) -> FusedSet:
        """Let a set go; what is left behind its stamp can never leave and is dropped."""
        stamp = max(item.stamp_ns for item in items.values())
        self._last_stamp, self._last_set, self._unanswered = stamp, now, None
        for one in self._all:
            queue = one.queue
            passed = 0
            while passed < len(queue) and queue[passed].stamp_ns <= stamp:
                passed += 1
            unused = passed - (one.name in items)
            if unused:
                one.dropped[UNMATCHED] += unused
            del queue[:passed]
        subset = tuple(one.name for one in self._all if one.name in items)
        self._sets[subset] += 1
        return FusedSet(stamp, {name: items[name].item for name in subset})

    def _leave_due(self, now: int, left: list[FusedSet]) -> None:
        """Let go or drop what has waited long enough; note when that is next so."""
        while True:
            owner, first = None, None
            for one, waiting in self._waiting():
                if first is None or waiting.arrival_ns < first.arrival_ns:
                    owner, first = one, waiting
            if owner is None or first is None:
                self._deadline = None
                return
            due = first.arrival_ns + self._max_wait
            if now < due:
                break
            self._expire(owner, first, now, left)
        # A sensor that stops being waited for may make what waits complete.
        deaths = (
            one.heard_ns + self._timeout for one in self._all
            if one.heard_ns is not None and self._is_live(one, now)
        )
        self._deadline = min(due, *deaths)

    def _expire(self, owner: _Sensor, due: _Waiting, now: int, left: list[FusedSet]) -> None:
        """Let go or drop an item whose time is up, and before it those that are older."""
        items = self._around(owner, due)
        oldest = min(item.stamp_ns for item in items.values())
        for one, waiting in self._waiting():
            if waiting.stamp_ns < oldest:
                owner, due, oldest = one, waiting, waiting.stamp_ns
                items = self._around(one, waiting)
        if self._may_drop(due, items, now):
            owner.queue.remove(due)
            owner.dropped[UNMATCHED] += 1
        else:
            left.append(self._leave(items, now))
            self._leave_complete(now, left)

    def _may_drop(
        self, due: _Waiting, items: Mapping[str, _Waiting], now: int
    ) -> bool:
        """
        Return whether an item is unmatched for good while sets keep leaving.

        The newest stamp of all is never dropped here, so it carries the output on.
        """
        if now - self._last_set > 2 * self._max_wait:
            return False
        return any(
            one.newest_ns > due.stamp_ns and one.name not in items and self._is_live(one, now)
            for one in self._all
        )

    def _around(self, owner: _Sensor, centre: _Waiting) -> dict[str, _Waiting]:
        """Return an item with all that matches it, the nearest of each sensor."""
        items = {owner.name: centre}
        nearest = [
            (abs(item.stamp_ns - centre.stamp_ns), one.name, item)
            for one in self._all
            if one is not owner and (item := one.nearest(centre.stamp_ns)) is not None
        ]
        for _, name, item in sorted(nearest, key=lambda entry: entry[0]):
            if self._within_slop({**items, name: item}):
                items[name] = item
        return items

    def _overflow(self, one: _Sensor, now: int, left: list[FusedSet]) -> None:
        """Make room in a full queue; where no set has left for long, by letting the oldest go."""
        oldest = one.queue[0]
        if self._unanswered is not None and now - self._unanswered >= self._max_wait:
            left.append(self._leave(self._around(one, oldest), now))
            self._leave_complete(now, left)
        else:
            del one.queue[0]
            one.dropped[OVERFLOW] += 1

    def _waiting(self) -> Iterator[tuple[_Sensor, _Waiting]]:
        return ((one, waiting) for one in self._all for waiting in one.queue)


def _insert(queue: list[_Waiting], waiting: _Waiting) -> None:
    """Put an item into a queue in the order of stamps; most are the newest."""
    place = len(queue)
    while place and queue[place - 1].stamp_ns > waiting.stamp_ns:
        place -= 1
    queue.insert(place, waiting)

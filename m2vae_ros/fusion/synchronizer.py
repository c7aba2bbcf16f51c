# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Which measurements belong together, and which sensors are live.

A set is emitted at once when it has every live sensor with stamps within ``slop``. Where a sensor
is missing, its partners wait for ``max_wait`` and are then emitted without it, so the output never
stops. Messages of a fast sensor that match no slow one are dropped as long as sets are emitted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from m2vae_ros.fusion.lateness import Lateness
from m2vae_ros.fusion.matching import match, newest_stamp, Waiting
from m2vae_ros.fusion.options import SynchronizerOptions
from m2vae_ros.fusion.prospects import Prospects
from m2vae_ros.fusion.sensor_state import make_states, NEVER_NS, SensorState
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


class Synchronizer:
    """
    Match the measurements of several sensors by their stamps.

    It has no thread, timer or clock of its own: every call is given the time, ``now_ns``, and a
    measurement waits from the ``now_ns`` of its `add`. A call first emits or drops what was due
    before it, as if `poll` had been called in time, so the result does not depend on how often
    `poll` is called.

    A measurement is accepted if its stamp is newer than the last set's and neither zero, ancient
    nor in the future. While simulation time has not begun, ``now_ns`` is 0 and every other stamp
    lies in the future.

    A clock jump empties the queues, makes no sensor live, and is counted. It is either of two:
    ``now_ns`` goes back by more than ``slop``, as when a recording starts again (a smaller step
    back is ignored); or the stamps alone go back, see `Lateness`.

    Parameters
    ----------
    sensors
        Names, in the model's order.
    offsets
        Sensor -> seconds that its stamps are ahead; a stamp is corrected to ``stamp - offset``.
    options
        The fields of `SynchronizerOptions`, times in seconds.

    Raises
    ------
    ValueError
        If there is no sensor or one is named twice, an offset names no sensor, or an option
        breaks its rule.

    """

    def __init__(
        self,
        sensors: Sequence[str],
        *,
        offsets: Mapping[str, float] | None = None,
        **options: float,
    ) -> None:
        self.options = SynchronizerOptions.from_dict(options)
        self._slop = round(self.options.slop * 1e9)
        self._max_wait = round(self.options.max_wait * 1e9)
        self._timeout = round(self.options.timeout * 1e9)
        self._max_age = round(self.options.max_age * 1e9)
        self._max_future = round(self.options.max_future * 1e9)
        self._states = make_states(sensors, offsets or {})
        self._by_name = {state.name: state for state in self._states}
        self._queues = [state.queue for state in self._states]
        self._sets: Counter[tuple[str, ...]] = Counter()
        self._clock_jumps = 0
        self._now = NEVER_NS
        self._last_stamp = NEVER_NS  # of the last set
        self._last_emission = NEVER_NS  # when the last set was emitted
        self._without_set_since: int | None = None  # first acceptance after the last set
        self._last_complete = NEVER_NS  # when the last set of all that are waited for was
        self._lateness = Lateness(self._max_wait, self._timeout)
        self._prospects = Prospects(self._states, self._slop, self._max_wait)

    @property
    def next_deadline_ns(self) -> int | None:
        """When `poll` is next due, on the clock of ``now_ns``; None while nothing waits."""
        since = [queue[0].since_ns for queue in self._queues if queue]
        if not since:
            return None
        deadline = min(since) + self._max_wait
        for state in self._states:
            # When a sensor stops being live, what waits may be complete without it.
            if self._now < state.live_until_ns < deadline:
                deadline = state.live_until_ns
        return deadline

    @property
    def offsets(self) -> dict[str, float]:
        """Return sensor -> seconds that its stamps are taken to be ahead."""
        return {state.name: state.offset_ns * 1e-9 for state in self._states}

    @property
    def statistics(self) -> Statistics:
        """Return what has been counted so far."""
        return Statistics(
            accepted={state.name: state.accepted for state in self._states},
            dropped={state.name: dict(state.dropped) for state in self._states},
            sets=dict(self._sets),
            clock_jumps=self._clock_jumps,
        )

    def live(self, now_ns: int) -> tuple[str, ...]:
        """Return the live sensors: heard within ``timeout``, even if late; sets wait for them."""
        return tuple(state.name for state in self._states if state.live_until_ns > now_ns)

    def clock_difference_ns(self, sensor: str, now_ns: int) -> int | None:
        """
        Return how far a sensor's stamps, as sent, are ahead of the clock; negative when behind.

        None unless all its messages have been rejected for longer than ``timeout``, as ancient,
        in the future or late, and by more than a delay explains. It is the offset that would
        correct them.
        """
        return self._by_name[sensor].lasting_difference_ns(now_ns, self._timeout)

    def add(self, sensor: str, stamp_ns: int, item: Any, now_ns: int) -> list[FusedSet]:
        """
        Take a measurement; return the sets that are emitted because of it, oldest first.

        Raises
        ------
        ValueError
            If there is no such sensor.

        """
        state = self._by_name.get(sensor)
        if state is None:
            raise ValueError(f'sensor {sensor!r}: the sensors are {list(self._by_name)}')
        emitted = self.poll(now_ns)
        now = self._now
        stamp = stamp_ns - state.offset_ns
        if not self._is_plausible(state, stamp_ns, now - stamp):
            return emitted
        state.hear(stamp, now, now + self._timeout)
        is_late = stamp <= self._last_stamp
        stepped_back = (is_late or self._lateness.since_ns is not None) and self._lateness.is_jump(
            state, stamp, now, self._last_stamp, self._last_emission
        )
        if is_late and stepped_back:
            self._reset_after_jump()
            state.hear(stamp, now, now + self._timeout)
        if state.lag_ns > self._max_wait or state.out_of_reach:
            self._prospects.judge(state, now)
        if is_late and not stepped_back:
            state.reject(LATE, stamp_ns, now)
            return emitted
        measurement = Waiting(stamp, now, item)
        state.accept(measurement)
        self._lateness.since_ns = None
        if self._without_set_since is None:
            self._without_set_since = now
        if self._all_live_wait():
            self._emit_if_complete(state, measurement, emitted)
        elif stepped_back:  # it made up for the step, and the output has waited long enough
            emitted.append(self._emit(self._match(state, measurement)))
        while len(state.queue) > self.options.queue_size:
            self._make_room(state, emitted)
        return emitted

    def poll(self, now_ns: int) -> list[FusedSet]:
        """Return the sets whose time is up, oldest first."""
        if now_ns < self._now - self._slop:
            self._reset_after_jump()
            self._now = now_ns
        emitted: list[FusedSet] = []
        while (deadline := self.next_deadline_ns) is not None and deadline <= now_ns:
            self._now = deadline
            self._emit_complete(emitted)
            self._expire_oldest(emitted)
        self._now = max(self._now, now_ns)
        return emitted

    def _reset_after_jump(self) -> None:
        self._clock_jumps += 1
        for state in self._states:
            state.reset(CLOCK_JUMP)
        self._last_stamp = self._last_emission = self._last_complete = NEVER_NS
        self._without_set_since = self._lateness.since_ns = None

    def _is_plausible(self, state: SensorState, stamp_ns: int, age: int) -> bool:
        """Return whether a stamp is neither zero, ancient nor in the future; count it if it is."""
        if stamp_ns <= 0:
            state.dropped[ZERO_STAMP] += 1
            return False
        if -self._max_future <= age <= self._max_age:
            return True
        state.reject(ANCIENT_STAMP if age > 0 else FUTURE_STAMP, stamp_ns, self._now)
        return False

    def _all_live_wait(self) -> bool:
        """Return whether every sensor that is waited for has a measurement in its queue."""
        now = self._now
        return not [
            state for state in self._states if not state.queue and state.waited_for_until_ns > now
        ]

    def _match(
        self, state: SensorState, pivot: Waiting, before_ns: int | None = None
    ) -> list[Waiting | None]:
        """Return what matches a measurement, of as many waited-for sensors as possible."""
        queues: Sequence[Sequence[Waiting]] = self._queues
        if before_ns is not None:
            queues = [[item for item in queue if item.stamp_ns < before_ns] for queue in queues]
        waited_for = [other.waited_for_until_ns > self._now for other in self._states]
        return match(queues, state.index, pivot, self._slop, waited_for)

    def _emit_if_complete(
        self, state: SensorState, pivot: Waiting, emitted: list[FusedSet]
    ) -> None:
        """Emit a measurement if it has a match of every live sensor."""
        members = self._match(state, pivot)
        for other, member in zip(self._states, members, strict=True):
            if member is None and other.waited_for_until_ns > self._now:
                return
        self._last_complete = self._now
        emitted.append(self._emit(members))

    def _emit_complete(self, emitted: list[FusedSet]) -> None:
        """Emit every set that is complete, now that a sensor may have stopped being live."""
        if not self._all_live_wait():
            return
        for pivot, state in self._by_stamp():
            if pivot in state.queue:
                self._emit_if_complete(state, pivot, emitted)

    def _emit(self, members: Sequence[Waiting | None]) -> FusedSet:
        """Emit a set, and drop what is older: it could only be emitted out of order."""
        stamp = newest_stamp(members)
        for state, member in zip(self._states, members, strict=True):
            state.clear_through(stamp, member, UNMATCHED)
        self._prospects.note_set(members)
        self._last_stamp, self._last_emission = stamp, self._now
        self._without_set_since = None
        items = {
            state.name: member.item
            for state, member in zip(self._states, members, strict=True) if member is not None
        }
        self._sets[tuple(items)] += 1
        return FusedSet(stamp, items)

    def _expire_oldest(self, emitted: list[FusedSet]) -> None:
        """Expire the first measurement that has waited for ``max_wait``, if there is one."""
        for state in self._states:
            if state.queue and state.queue[0].since_ns + self._max_wait <= self._now:
                self._expire(state, emitted)
                return

    def _make_room(self, state: SensorState, emitted: list[FusedSet]) -> None:
        """Drop the oldest of a full queue, or expire it if a set is overdue."""
        since = self._without_set_since
        if since is None or self._now - since < self._max_wait:
            state.drop_oldest(OVERFLOW)
        else:
            self._expire(state, emitted)

    def _expire(self, state: SensorState, emitted: list[FusedSet]) -> None:
        """
        Drop the first measurement of a queue, or emit it.

        An older measurement that emitting it would drop is emitted in its place, unless that one
        may be dropped.
        """
        due = state.queue[0]
        members = self._match_at_last(state, due)
        if self._may_drop(due, members):
            if due.stamp_ns > self._now:
                state.miss()
            state.drop_oldest(UNMATCHED)
            return
        newest = newest_stamp(members)
        for older, other in self._by_stamp():
            if older.stamp_ns >= newest:
                break
            older_members = self._match_at_last(other, older)
            if older not in members and not self._may_drop(older, older_members):
                members = older_members
                break
        emitted.append(self._emit(members))

    def _match_at_last(self, state: SensorState, due: Waiting) -> list[Waiting | None]:
        """Return what leaves with a measurement whose time is up."""
        members = self._match(state, due)
        spared_from = self._prospects.spared_from(state, due, members, self._now)
        return members if spared_from is None else self._match(state, due, spared_from)

    def _may_drop(self, waiting: Waiting, members: Sequence[Waiting | None]) -> bool:
        """
        Return whether a measurement may be dropped: a live sensor that it lacks has moved on.

        That is, ``members``, all that matches it, lack a live sensor with a newer stamp, and the
        output goes on without it: complete sets are being emitted, and more waits. One of a
        sensor whose clock is ahead may be dropped if emitting it would make the others' late.
        """
        if self._now - self._last_emission > 2 * self._max_wait:
            return False
        if self._prospects.costs_others(waiting, self._now):
            return True
        if self._now - self._last_complete > 2 * self._max_wait:
            return False
        if not self._prospects.have_passed(waiting, members, self._now):
            return False
        return self._last_emission >= waiting.since_ns or sum(map(len, self._queues)) > 1

    def _by_stamp(self) -> list[tuple[Waiting, SensorState]]:
        entries = ((waiting, state) for state in self._states for waiting in state.queue)
        return sorted(entries, key=lambda entry: entry[0].stamp_ns)

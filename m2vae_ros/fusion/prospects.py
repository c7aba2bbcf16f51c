# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What may still come: which sensors can meet the others in time, and what they may complete."""

from __future__ import annotations

from collections.abc import Sequence

from m2vae_ros.fusion.matching import Waiting
from m2vae_ros.fusion.sensor_state import SensorState


class Prospects:
    """
    Foretell from the stamps and delays of sensors' last messages what may still come.

    Parameters
    ----------
    states
        Of all sensors.
    slop_ns, max_wait_ns
        Of the synchronizer.

    """

    def __init__(self, states: Sequence[SensorState], slop_ns: int, max_wait_ns: int) -> None:
        self._states = states
        self._slop = slop_ns
        self._max_wait = max_wait_ns
        self._tolerance = slop_ns // 4  # for what is expected, of jitter

    def judge(self, state: SensorState, now_ns: int) -> None:
        """
        Take note of whether a message that has just arrived could meet those of the others.

        One that is later than all the others' by more than ``max_wait`` and half of ``slop``
        seldom can: what it belongs to has been emitted. Whether one that is ahead of the clock
        can is seen when it is emitted or dropped.
        """
        if state.lag_ns <= self._max_wait:
            if state.lag_ns >= 0:
                state.meet()
            return
        least = min(
            (max(other.lag_ns, 0) for other in self._states
             if other is not state and other.live_until_ns > now_ns),
            default=state.lag_ns,
        )
        if state.lag_ns > least + self._max_wait + self._slop // 2:
            state.miss()
        else:
            state.meet()

    def costs_others(self, waiting: Waiting, now_ns: int) -> bool:
        """Return whether emitting a measurement of a clock ahead would make the others' late."""
        if waiting.stamp_ns - waiting.since_ns <= self._slop:
            return False
        lags = [
            min(state.lag_ns, self._max_wait) for state in self._states
            if state.waited_for_until_ns > now_ns
        ]
        return waiting.stamp_ns >= now_ns - max(lags, default=0)

    def note_set(self, members: Sequence[Waiting | None]) -> None:
        """Take note of sensors that have met others; one that is ahead may do so by chance."""
        if len(members) - members.count(None) < 2:
            return
        for state, member in zip(self._states, members, strict=True):
            if (
                state.out_of_reach and member is not None
                and member.stamp_ns - member.since_ns <= self._slop
            ):
                state.meet()

    def have_passed(
        self, waiting: Waiting, members: Sequence[Waiting | None], now_ns: int
    ) -> bool:
        """Return whether a sensor that a set lacks, and that is waited for, has moved on."""
        return any(
            member is None and state.waited_for_until_ns > now_ns
            and state.newest_stamp_ns > waiting.stamp_ns
            for state, member in zip(self._states, members, strict=True)
        )

    def spared_from(
        self, state: SensorState, due: Waiting, members: Sequence[Waiting | None], now_ns: int
    ) -> int | None:
        """
        Return from which stamp on an incomplete set leaves partners to others; None = never.

        A partner newer than what is due is left if another measurement of the same sensor as what
        is due waits that matches it, and all sensors that the set lacks are expected to complete
        it in time.
        """
        missing = [
            other for other, member in zip(self._states, members, strict=True)
            if member is None and other.waited_for_until_ns > now_ns
        ]
        if not missing:
            return None
        return min((
            partner.stamp_ns for partner in members
            if partner is not None and partner.stamp_ns > due.stamp_ns
            and any(other is not due and abs(other.stamp_ns - partner.stamp_ns) <= self._slop
                    for other in state.queue)
            and all(self._is_expected(other, partner, now_ns) for other in missing)
        ), default=None)

    def _is_expected(self, state: SensorState, partner: Waiting, now_ns: int) -> bool:
        """Return whether a sensor's next stamps, if it goes on so, match a partner in time."""
        if state.step_ns <= 0:
            return False
        earliest = max(partner.stamp_ns - self._slop, now_ns - state.lag_ns) - self._tolerance
        steps = max(1, -(-(earliest - state.heard_stamp_ns) // state.step_ns))
        stamp = state.heard_stamp_ns + steps * state.step_ns
        return (
            stamp <= partner.stamp_ns + self._slop + self._tolerance
            and stamp + state.lag_ns <= partner.since_ns + self._max_wait + self._tolerance
        )

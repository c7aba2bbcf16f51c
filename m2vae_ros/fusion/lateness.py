# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""When measurements that all come too late mean that the stamps have jumped back."""

from __future__ import annotations

from m2vae_ros.fusion.sensor_state import SensorState

_MIN_JUMP = 500_000_000  # ns; messages out of order are late by less, however short `timeout`
_MIN_PATIENCE = 100_000_000  # ns, with stamps that step back, however short `max_wait`


class Lateness:
    """
    Watch the measurements that are not newer than the last set.

    While all are late nothing is accepted, and no set is emitted until the stamps have made up
    for the step. The stamps have jumped if either holds:

    - They stepped back. That has gone on for ``max_wait``, no set was emitted for twice that, and
      every message was older on arrival than its sensor's messages before, and than the last set,
      by twice that or more. ``max_wait`` counts as 0.1 s at least. A sensor with a great latency
      is late too when a faster one dies, but no older than before.
    - Everything has been late for ``timeout``, at least 0.5 s, and still is by as much.

    Parameters
    ----------
    max_wait_ns, timeout_ns
        Of the synchronizer.

    Attributes
    ----------
    since_ns
        Since when all that arrived was late; None = the last measurement was accepted.

    """

    def __init__(self, max_wait_ns: int, timeout_ns: int) -> None:
        self._patience = max(max_wait_ns, _MIN_PATIENCE)
        self._timeout = max(timeout_ns, _MIN_JUMP)
        self.since_ns: int | None = None
        self._step: int | None = None  # by which everything is older than before, at least

    def is_jump(
        self, state: SensorState, stamp_ns: int, now_ns: int, set_stamp_ns: int, emitted_ns: int
    ) -> bool:
        """
        Take a late measurement; return whether the stamps have jumped back.

        Parameters
        ----------
        state
            Its sensor.
        stamp_ns, now_ns
            Its corrected stamp, and its arrival.
        set_stamp_ns, emitted_ns
            Stamp of the last set, and when it was emitted.

        """
        if self.since_ns is None:
            self.since_ns, self._step = now_ns, None
        if state.age_ns is not None:
            step = now_ns - stamp_ns - max(state.age_ns, emitted_ns - set_stamp_ns)
            self._step = step if self._step is None else min(self._step, step)
        late = now_ns - self.since_ns
        if min(late, set_stamp_ns - stamp_ns) >= self._timeout:
            return True
        stepped = self._step is not None and self._step >= 2 * self._patience
        return stepped and late >= self._patience and now_ns - emitted_ns >= 2 * self._patience

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

    - They stepped back. No set was emitted for twice ``max_wait``, and for ``max_wait`` every
      message was older on arrival, by ``max_wait`` or more, than its sensor's last accepted one
      and than the last set, and all by nearly as much. ``max_wait`` counts as 0.1 s at least.
      Where a fast sensor dies, one with a great latency is late too, but no older than before;
      messages out of order are older by this and that. After a smaller step no jump is needed.
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
        self._stepped_since: int | None = None  # since then all was older than before, by as much
        self._step = 0  # by which the first of these was

    def is_jump(
        self, state: SensorState, stamp_ns: int, now_ns: int, set_stamp_ns: int, emitted_ns: int
    ) -> bool:
        """
        Take a late measurement, or the one after late ones; return whether the stamps jumped back.

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
            self.since_ns, self._stepped_since = now_ns, None
        if min(now_ns - self.since_ns, set_stamp_ns - stamp_ns) >= self._timeout:
            return True
        patience, age = self._patience, now_ns - stamp_ns
        if state.age_ns is not None:
            step = age - state.age_ns
            if min(step, age - (emitted_ns - set_stamp_ns)) < patience:
                self._stepped_since = None
            elif self._stepped_since is None or abs(step - self._step) > patience // 4:
                self._stepped_since, self._step = now_ns, step
        return (
            self._stepped_since is not None and now_ns - self._stepped_since >= patience
            and now_ns - emitted_ns >= 2 * patience
        )

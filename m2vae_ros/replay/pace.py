# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""How the time of a bag runs beside the steady clock: rate, pause, and slips where we are late."""

from __future__ import annotations

_FREELY = 50_000_000  # ns of the steady clock that playing may be late before its time slips


class Pace:
    """
    The bag's time as a function of the steady clock.

    Every change begins at the moment that it is made, so the bag's time never goes back by one.

    Parameters
    ----------
    rate
        Seconds of the bag in a second.
    paused
        Whether the bag's time stands still at first.

    Raises
    ------
    ValueError
        If the rate is not positive.

    """

    def __init__(self, rate: float = 1.0, *, paused: bool = False) -> None:
        self._rate = checked_rate(rate)
        self._paused = paused
        self._bag_ns = 0
        self._steady_ns = 0
        self.slipped_ns = 0

    @property
    def paused(self) -> bool:
        """Whether the bag's time stands still."""
        return self._paused

    def begin(self, bag_ns: int, steady_ns: int) -> None:
        """Let it be ``bag_ns`` now."""
        self._bag_ns, self._steady_ns = bag_ns, steady_ns

    def position(self, steady_ns: int) -> int:
        """Return the bag's time, nanoseconds."""
        if self._paused:
            return self._bag_ns
        return self._bag_ns + int((steady_ns - self._steady_ns) * self._rate)

    def wait(self, bag_ns: int, steady_ns: int) -> float | None:
        """Return the seconds until it is ``bag_ns``, None while the time stands still."""
        if self._paused:
            return None
        return max(0, bag_ns - self.position(steady_ns)) / self._rate * 1e-9

    def pause(self, paused: bool, steady_ns: int) -> None:
        """Let the time stand still, or run again."""
        self.begin(self.position(steady_ns), steady_ns)
        self._paused = paused

    def set_rate(self, rate: float, steady_ns: int) -> None:
        """Let the time run at another rate from now on."""
        checked_rate(rate)
        self.begin(self.position(steady_ns), steady_ns)
        self._rate = rate

    def reach(self, bag_ns: int, steady_ns: int) -> None:
        """
        Note that what was due at ``bag_ns`` is done now.

        Who is a little late catches up. Who is very late lets the bag's time slip by that, since
        a burst of messages would overflow the queues of those who listen.
        """
        late_ns = (self.position(steady_ns) - bag_ns) / self._rate
        if late_ns > _FREELY:
            self.slipped_ns += int(late_ns)
            self.begin(bag_ns, steady_ns)


def checked_rate(rate: float) -> float:
    """Return a rate; raise ValueError unless it is positive and finite."""
    if not 0 < rate < float('inf'):
        raise ValueError(f'rate {rate!r}: must be a number above 0')
    return rate

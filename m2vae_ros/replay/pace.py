# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The time of a bag as it is played: its rate, pauses, and slips when playing is late."""

from __future__ import annotations

MIN_RATE, MAX_RATE = 0.001, 1000.0  # seconds of the bag in a second
_MAX_LATENESS = 50_000_000  # ns of the steady clock; what is later lets the bag's time slip


class Pace:
    """
    The bag's time as a function of the steady clock.

    A change of rate, or a pause, applies from the moment that it is made, so the bag's time does
    not jump.

    Parameters
    ----------
    rate
        Seconds of the bag in a second.
    paused
        Whether the bag's time stands still at first.

    Attributes
    ----------
    slipped_ns
        How long playing was late in all, where it was too late to catch up; nanoseconds of the
        steady clock.

    Raises
    ------
    ValueError
        If the rate is not from `MIN_RATE` to `MAX_RATE`.

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
        """Set the bag's time to ``bag_ns``; ``steady_ns`` is now on the steady clock."""
        self._bag_ns, self._steady_ns = bag_ns, steady_ns

    def position(self, steady_ns: int) -> int:
        """Return the bag's time at a time of the steady clock, nanoseconds."""
        if self._paused:
            return self._bag_ns
        return self._bag_ns + int((steady_ns - self._steady_ns) * self._rate)

    def wait(self, bag_ns: int, steady_ns: int) -> float | None:
        """Return the seconds until the bag's time is ``bag_ns``; None while it stands still."""
        if self._paused:
            return None
        return max(0, bag_ns - self.position(steady_ns)) / self._rate * 1e-9

    def pause(self, paused: bool, steady_ns: int) -> None:
        """Pause or resume the bag's time."""
        self.begin(self.position(steady_ns), steady_ns)
        self._paused = paused

    def set_rate(self, rate: float, steady_ns: int) -> None:
        """Change the rate from now on."""
        checked_rate(rate)
        self.begin(self.position(steady_ns), steady_ns)
        self._rate = rate

    def slip_if_late(self, bag_ns: int, steady_ns: int) -> None:
        """
        Let the bag's time slip if what was due at ``bag_ns`` has been played very late.

        If it is only a little late, the next messages catch up. If it is very late, catching up
        would be a burst of messages that overflows the queues of the subscribers.
        """
        late_ns = (self.position(steady_ns) - bag_ns) / self._rate
        if late_ns > _MAX_LATENESS:
            self.slipped_ns += int(late_ns)
            self.begin(bag_ns, steady_ns)


def checked_rate(rate: float) -> float:
    """Return the rate; raise ValueError unless it is from `MIN_RATE` to `MAX_RATE`."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise ValueError(f'rate {rate!r}: must be from {MIN_RATE:g} to {MAX_RATE:g}')
    return rate

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""When the messages of a sensor arrived, and how long results took: what diagnostics count."""

from __future__ import annotations

from collections import Counter, deque
import time

import numpy as np
from rclpy.clock import ROSClock

_WINDOW = 20  # messages whose intervals make a period
_FEWEST = 4  # messages that a period is said of
_RESULTS = 1000  # results whose latencies make a percentile


def elapsing_ns(clock: ROSClock) -> int:
    """
    Return the time by which silence counts, nanoseconds.

    It is simulation time where that is used: while a recording is paused, nobody is silent. Else
    it is the steady clock.
    """
    return int(clock.now().nanoseconds) if clock.ros_time_is_active else time.monotonic_ns()


class Arrivals:
    """
    Arrival times of one sensor's messages, valid or not.

    ``elapsing_ns`` is what the function of that name returns; 0 is simulation time that has not
    begun.
    """

    def __init__(self) -> None:
        self.count = 0
        self._times: deque[int] = deque(maxlen=_WINDOW)
        self._last_ns: int | None = None
        self._heard_by_ns: int | None = None

    def note(self, now_ns: int, elapsing_ns: int) -> None:
        """Count a message that arrived at ``now_ns`` of the node's clock."""
        if self._times and now_ns < self._times[-1]:
            self._times.clear()
        self._times.append(now_ns)
        self.count += 1
        self._last_ns = elapsing_ns

    def note_publishers(self, matched: bool, elapsing_ns: int) -> None:
        """Remember since when a publisher is there that ought to be heard."""
        if not matched:
            self._heard_by_ns = None
        elif not self._heard_by_ns:
            self._heard_by_ns = elapsing_ns

    def restart(self, elapsing_ns: int) -> None:
        """Count silence from now on, since the clock has jumped."""
        self._times.clear()
        if self._last_ns is not None:
            self._last_ns = elapsing_ns
        if self._heard_by_ns is not None:
            self._heard_by_ns = elapsing_ns

    def period(self) -> float | None:
        """Return the median interval in seconds of the node's clock, or None if unknown."""
        if len(self._times) < _FEWEST:
            return None
        return float(np.median(np.diff(self._times))) * 1e-9

    def silence(self, elapsing_ns: int) -> float | None:
        """Return the seconds since the last message, or None if there was none."""
        if not self._last_ns:
            return None
        return (elapsing_ns - self._last_ns) * 1e-9

    def unheard(self, elapsing_ns: int) -> float:
        """Return for how many seconds a publisher has been there and nothing has arrived."""
        if not self._heard_by_ns:
            return 0.0
        return (elapsing_ns - max(self._heard_by_ns, self._last_ns or 0)) * 1e-9


class Results:
    """How many sets were fused, of which sensors, and how long each took."""

    def __init__(self) -> None:
        self.subsets: Counter[tuple[str, ...]] = Counter()
        self.failures = 0
        self.last_failure = ''
        self._latencies: deque[int] = deque(maxlen=_RESULTS)
        self._rated = (0, 0)

    def note(self, sensors: tuple[str, ...], latency_ns: int) -> None:
        """Count a published result."""
        self.subsets[sensors] += 1
        self._latencies.append(latency_ns)

    def note_failure(self, error: Exception) -> None:
        """Count a message or set that raised what it should not."""
        self.failures += 1
        self.last_failure = f'{type(error).__name__}: {error}'

    def rate(self, elapsing_ns: int) -> float:
        """Return the results a second since the last call."""
        count = self.subsets.total()
        before, then_ns = self._rated
        self._rated = (count, elapsing_ns)
        elapsed = (elapsing_ns - then_ns) * 1e-9
        return (count - before) / elapsed if then_ns and elapsed > 0 else 0.0

    def latency(self) -> tuple[float, float] | None:
        """Return p50 and p99 in milliseconds of the latest results, or None if there are none."""
        latencies = list(self._latencies)
        if not latencies:
            return None
        p50, p99 = np.percentile(latencies, [50, 99]) * 1e-6
        return float(p50), float(p99)

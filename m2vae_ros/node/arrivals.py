# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""When messages arrived and how long results took, for the diagnostics."""

from __future__ import annotations

from collections import Counter, deque
import time

import numpy as np
from rclpy.clock import ROSClock

_PERIOD_WINDOW = 20  # newest messages that a period is measured over
_MIN_MESSAGES = 4  # for a period
_LATENCY_WINDOW = 1000  # newest results that a percentile is measured over


def elapsing_ns(clock: ROSClock) -> int:
    """
    Return the time by which silence is measured, nanoseconds.

    It is simulation time where that is used, so that a paused recording makes no sensor silent;
    else it is the steady clock.
    """
    return int(clock.now().nanoseconds) if clock.ros_time_is_active else time.monotonic_ns()


class Arrivals:
    """
    Arrival times of one sensor's messages, valid or not.

    The argument ``elapsing_ns`` is the result of the function of that name; 0 is simulation time
    that has not begun.
    """

    def __init__(self) -> None:
        self.count = 0
        self._times: deque[int] = deque(maxlen=_PERIOD_WINDOW)
        self._last_ns: int | None = None
        self._publisher_since_ns: int | None = None

    def note(self, now_ns: int, elapsing_ns: int) -> None:
        """Count a message that arrived at ``now_ns`` of the node's clock."""
        if self._times and now_ns < self._times[-1]:
            self._times.clear()
        self._times.append(now_ns)
        self.count += 1
        self._last_ns = elapsing_ns

    def note_publishers(self, has_publisher: bool, elapsing_ns: int) -> None:
        """Note since when there has been a matching publisher."""
        if not has_publisher:
            self._publisher_since_ns = None
        elif not self._publisher_since_ns:
            self._publisher_since_ns = elapsing_ns

    def restart(self, elapsing_ns: int) -> None:
        """Measure silence from now on, after a jump of the clock."""
        self._times.clear()
        if self._last_ns is not None:
            self._last_ns = elapsing_ns
        if self._publisher_since_ns is not None:
            self._publisher_since_ns = elapsing_ns

    def period(self) -> float | None:
        """Return the median interval in seconds of the node's clock, or None if unknown."""
        if len(self._times) < _MIN_MESSAGES:
            return None
        return float(np.median(np.diff(self._times))) * 1e-9

    def silence(self, elapsing_ns: int) -> float | None:
        """Return the seconds since the last message, or None if there was none."""
        if not self._last_ns:
            return None
        return (elapsing_ns - self._last_ns) * 1e-9

    def unanswered(self, elapsing_ns: int) -> float:
        """Return the seconds that there has been a publisher and nothing has arrived."""
        if not self._publisher_since_ns:
            return 0.0
        return (elapsing_ns - max(self._publisher_since_ns, self._last_ns or 0)) * 1e-9


class Results:
    """Published sets by their sensors, and their latencies."""

    def __init__(self) -> None:
        self.subsets: Counter[tuple[str, ...]] = Counter()
        self.failures = 0
        self.last_failure = ''
        self._latencies: deque[int] = deque(maxlen=_LATENCY_WINDOW)
        self._last_rate = (0, 0)  # number of results and time at the last call of `rate`

    def note(self, sensors: tuple[str, ...], latency_ns: int) -> None:
        """Count a published result."""
        self.subsets[sensors] += 1
        self._latencies.append(latency_ns)

    def note_failure(self, error: Exception) -> None:
        """Count a message or set that raised an error."""
        self.failures += 1
        self.last_failure = f'{type(error).__name__}: {error}'

    def rate(self, elapsing_ns: int) -> float:
        """Return the results a second since the last call."""
        count = self.subsets.total()
        before, then_ns = self._last_rate
        self._last_rate = (count, elapsing_ns)
        elapsed = (elapsing_ns - then_ns) * 1e-9
        return (count - before) / elapsed if then_ns and elapsed > 0 else 0.0

    def latency(self) -> tuple[float, float] | None:
        """Return p50 and p99 in milliseconds of the latest results, or None if there are none."""
        latencies = list(self._latencies)
        if not latencies:
            return None
        p50, p99 = np.percentile(latencies, [50, 99]) * 1e-6
        return float(p50), float(p99)

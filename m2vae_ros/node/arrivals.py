# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""When the messages of a sensor arrived, and how long results took: what diagnostics count."""

from __future__ import annotations

from collections import Counter, deque

import numpy as np

_WINDOW = 20  # messages whose intervals make a period
_FEWEST = 4  # messages that a period is said of
_RESULTS = 1000  # results whose latencies make a percentile


class Arrivals:
    """Arrival times of one sensor's messages, valid or not."""

    def __init__(self) -> None:
        self.count = 0
        self._times: deque[int] = deque(maxlen=_WINDOW)
        self._last_steady_ns: int | None = None
        self._heard_by_ns: int | None = None

    def note(self, now_ns: int, steady_ns: int) -> None:
        """Count a message that arrived at ``now_ns`` of the node's clock."""
        if self._times and now_ns < self._times[-1]:
            self._times.clear()
        self._times.append(now_ns)
        self.count += 1
        self._last_steady_ns = steady_ns

    def note_publishers(self, matched: bool, steady_ns: int) -> None:
        """Remember since when a publisher is there that ought to be heard."""
        if not matched:
            self._heard_by_ns = None
        elif self._heard_by_ns is None:
            self._heard_by_ns = steady_ns

    def period(self) -> float | None:
        """Return the median interval in seconds of the node's clock, or None if unknown."""
        if len(self._times) < _FEWEST:
            return None
        return float(np.median(np.diff(self._times))) * 1e-9

    def silence(self, steady_ns: int) -> float | None:
        """Return the seconds since the last message, or None if there was none."""
        if self._last_steady_ns is None:
            return None
        return (steady_ns - self._last_steady_ns) * 1e-9

    def unheard(self, steady_ns: int) -> float:
        """Return for how many seconds a publisher has been there and nothing has arrived."""
        if self._heard_by_ns is None:
            return 0.0
        return (steady_ns - max(self._heard_by_ns, self._last_steady_ns or 0)) * 1e-9


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

    def rate(self, steady_ns: int) -> float:
        """Return the results a second since the last call."""
        count = self.subsets.total()
        before, then_ns = self._rated
        self._rated = (count, steady_ns)
        elapsed = (steady_ns - then_ns) * 1e-9
        return (count - before) / elapsed if then_ns and elapsed > 0 else 0.0

    def latency(self) -> tuple[float, float] | None:
        """Return p50 and p99 in milliseconds of the latest results, or None if there are none."""
        latencies = list(self._latencies)
        if not latencies:
            return None
        p50, p99 = np.percentile(latencies, [50, 99]) * 1e-6
        return float(p50), float(p99)

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
When sensors measure and when their messages arrive: rates, delays, clocks that are off.

The node's diagnostics, training and ``m2vae sensors`` judge sensors by the same figures.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

_MIN_MESSAGES = 4  # for a figure
_MODE_GAP_NS = 100_000_000  # delays that lie apart by more are those of two clocks
_RECENT = 100  # messages
_MIN_MODE_SHARE = 0.05
LONGEST_DELAY = 2.0  # s; what is older on arrival was stamped by a clock that is off


@dataclass(frozen=True)
class SensorTiming:
    """
    The timing of one sensor; times in seconds.

    Parameters
    ----------
    messages
        Messages with a stamp.
    period
        From stamp to stamp, the mean where none is lost.
    jitter
        Half of the range that holds 90 % of the steps.
    delay_p50, delay_p99
        Percentiles of arrival minus stamp; negative where stamps are ahead of the clock.
    lost
        Share of messages that a sensor with this period would have sent in between.
    modes
        Delays that lie apart, each with its share of the messages, in order of their first
        message; a clock that was set during the recording makes two.

    """

    messages: int
    period: float
    jitter: float
    delay_p50: float
    delay_p99: float
    lost: float
    modes: tuple[tuple[float, float], ...]

    @property
    def clock_is_off(self) -> bool:
        """Whether its delay is none that a driver or a network makes: it is ahead, or seconds."""
        return self.delay_p50 < 0 or self.delay_p50 > LONGEST_DELAY


class TimingWindow:
    """
    The last stamps and arrivals of some sensors.

    Parameters
    ----------
    sensors
        Names, in the model's order.
    seconds
        How long a message is kept.
    messages
        The most messages that are kept of one sensor.

    """

    def __init__(
        self, sensors: Sequence[str], *, seconds: float = 30.0, messages: int = 2000
    ) -> None:
        self._kept: dict[str, deque[tuple[int, int]]] = {
            name: deque(maxlen=messages) for name in sensors
        }
        self._length = round(seconds * 1e9)

    def note(self, sensor: str, stamp_ns: int, arrival_ns: int) -> None:
        """Keep the stamp of a message, as sent, and its arrival; a stamp of 0 is none."""
        kept = self._kept[sensor]
        if kept and arrival_ns < kept[-1][1]:
            self.clear()
        if stamp_ns > 0:
            kept.append((stamp_ns, arrival_ns))

    def delays(self, sensor: str) -> tuple[float, float] | None:
        """Return the median and the 99th percentile of a sensor's last delays, s; None = none."""
        last = list(islice(reversed(self._kept[sensor]), _RECENT))
        if not last:
            return None
        p50, p99 = np.percentile([arrival - stamp for stamp, arrival in last], (50, 99)) * 1e-9
        return float(p50), float(p99)

    def clear(self) -> None:
        """Forget all, as after a jump of the clock."""
        for kept in self._kept.values():
            kept.clear()

    def times(self, now_ns: int) -> dict[str, NDArray[np.int64]]:
        """Return sensor -> (stamp, arrival) of what has arrived lately, ``(messages, 2)``."""
        return {
            name: np.array([pair for pair in kept if now_ns - pair[1] <= self._length], np.int64)
            .reshape(-1, 2)
            for name, kept in self._kept.items()
        }


def measure(times: NDArray[np.int64]) -> SensorTiming | None:
    """
    Return the timing of one sensor, or None where there are too few messages.

    Parameters
    ----------
    times
        Stamp as sent, and arrival, nanoseconds, ``(messages, 2)``, in order of arrival.

    """
    times = times[times[:, 0] > 0]
    if len(times) < _MIN_MESSAGES:
        return None
    steps = np.diff(np.sort(times[:, 0]))
    steps = steps[steps > 0]
    delays = times[:, 1] - times[:, 0]
    if not len(steps):
        return None
    low, high = np.percentile(steps, (5, 95))
    expected = np.maximum(np.round(steps / np.median(steps)), 1)
    period = float(steps.sum() / expected.sum())
    return SensorTiming(
        messages=len(times),
        period=period * 1e-9,
        jitter=float(high - low) * 0.5e-9,
        delay_p50=float(np.median(delays)) * 1e-9,
        delay_p99=float(np.percentile(delays, 99)) * 1e-9,
        lost=float(1 - len(steps) / expected.sum()),
        modes=tuple(_modes(delays)),
    )


def measure_all(times: Mapping[str, NDArray[np.int64]]) -> dict[str, SensorTiming]:
    """Return the timing of the sensors that have enough messages."""
    found = {name: measure(each) for name, each in times.items()}
    return {name: timing for name, timing in found.items() if timing is not None}


def _modes(delays: NDArray[np.int64]) -> Iterable[tuple[float, float]]:
    """Yield delays that lie apart, in seconds, and the shares of the messages near them."""
    ordered = np.sort(delays)
    groups = np.split(ordered, np.flatnonzero(np.diff(ordered) > _MODE_GAP_NS) + 1)
    groups = [group for group in groups if len(group) >= _MIN_MODE_SHARE * len(delays)]
    for group in sorted(groups, key=lambda group: int(np.argmax(np.isin(delays, group)))):
        yield float(np.median(group)) * 1e-9, len(group) / len(delays)

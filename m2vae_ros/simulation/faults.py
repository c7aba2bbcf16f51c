# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What can happen to a sensor's messages as they are sent: silence, loss and inexact stamps."""

from __future__ import annotations

import math

import numpy as np

STAMP_JITTER = 0.002  # s, of the robot's sensors


class Transmission:
    """
    Decides which messages of one sensor are sent, and with which stamps.

    The attributes may be changed at any time; they apply from the next message on.

    Parameters
    ----------
    rng
        Draws loss and jitter.
    lost
        Share of messages that are lost at random, 0..1.
    jitter
        How far stamps are behind the time, seconds: the absolute value of a normal variable of
        this standard deviation. Stamps still strictly increase, unless time goes back.

    Attributes
    ----------
    silent
        Whether no message is sent at all.

    """

    def __init__(
        self, rng: np.random.Generator, *, lost: float = 0.0, jitter: float = 0.0
    ) -> None:
        self._rng = rng
        self.lost = lost
        self.jitter = jitter
        self.silent = False
        self._last_time = self._last_stamp = -1

    @property
    def lost(self) -> float:
        """Share of messages that are lost; to set it outside 0..1 raises ValueError."""
        return self._lost

    @lost.setter
    def lost(self, share: float) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f'lost: {share!r} must be a share in 0..1')
        self._lost = share

    @property
    def jitter(self) -> float:
        """How far stamps are behind, seconds; to set it below 0 or to inf raises ValueError."""
        return self._jitter

    @jitter.setter
    def jitter(self, seconds: float) -> None:
        if not 0 <= seconds < math.inf:
            raise ValueError(f'jitter: {seconds!r} s must be a finite time from 0 up')
        self._jitter = seconds

    def stamp(self, now_ns: int) -> int | None:
        """
        Return the stamp, in nanoseconds, of a message that is sent now; None if it is not sent.

        Call it before measuring, so that nothing is measured in vain.
        """
        delay = abs(self._rng.standard_normal()) * self._jitter
        lost = self._rng.random() < self._lost
        if self.silent or lost:
            return None
        stamp = now_ns - round(1e9 * delay)
        if now_ns > self._last_time:
            stamp = max(stamp, self._last_stamp + 1)
        self._last_time, self._last_stamp = now_ns, stamp
        return stamp


def transmissions(seed: int, sensors: int, *, jitter: float = 0.0) -> list[Transmission]:
    """Return a `Transmission` for each of a robot's sensors, determined by the robot's seed."""
    return [
        Transmission(rng, jitter=jitter)
        for rng in np.random.default_rng([seed, 3]).spawn(sensors)
    ]

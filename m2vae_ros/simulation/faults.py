# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What may befall a sensor's messages on their way out: silence, loss and inexact stamps."""

from __future__ import annotations

import math

import numpy as np

STAMP_JITTER = 0.002  # s, of the robot's sensors


class Transmission:
    """
    The way of one sensor's messages out of the robot.

    Attributes may be changed at any time; the next message finds them.

    Parameters
    ----------
    rng
        Decides about loss and jitter.
    lost
        Share of messages that are lost at random, 0..1.
    jitter
        By how much a stamp is behind its time, seconds: the absolute value of a normal variable
        of this standard deviation. Stamps strictly increase all the same, unless time goes back.

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
        """Share of messages that are lost; raises ValueError where it is set to no share."""
        return self._lost

    @lost.setter
    def lost(self, share: float) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f'lost: {share!r} is a share and must be in 0..1')
        self._lost = share

    @property
    def jitter(self) -> float:
        """How inexact stamps are, seconds; raises ValueError where it is set below 0."""
        return self._jitter

    @jitter.setter
    def jitter(self, seconds: float) -> None:
        if not 0 <= seconds < math.inf:
            raise ValueError(f'jitter: {seconds!r} s must be a finite time from 0 up')
        self._jitter = seconds

    def stamp(self, now_ns: int) -> int | None:
        """
        Return the stamp in nanoseconds of a message that leaves now, or None if it does not.

        Whoever asks first need not measure what never leaves.
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
    """Return the ways of the messages of a robot's sensors, determined by the robot's seed."""
    return [
        Transmission(rng, jitter=jitter)
        for rng in np.random.default_rng([seed, 3]).spawn(sensors)
    ]

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
How the robot drives: from waypoint to waypoint, along arcs that hit nothing.

A dynamic window: of a fan of arcs, those that stay clear for longer than the robot needs to stop
are considered, and the one that leads best towards the waypoint is driven. If no arc stays clear,
the robot, which is round, turns on the spot.
"""

from __future__ import annotations

import math

import numpy as np

from m2vae_ros.simulation.world import Pose, World

RADIUS = 0.24  # m, of the robot
SPEED = 0.6  # m/s
_TURN_RATES = np.linspace(-1.2, 1.2, 13)  # rad/s, one for each arc
_LOOKAHEAD = np.arange(0.1, 1.45, 0.15)  # s, at which an arc's clearance is checked
_PERIOD = 0.1  # s, between two decisions
_WAYPOINT_TIMEOUT = 15.0  # s
_ARRIVAL_DISTANCE = 0.5  # m, from the waypoint
_WAYPOINT_CLEARANCE = 0.7  # m


def _pose_after(pose: Pose, speed: float, turn_rate: float, seconds: float) -> Pose:
    """Return the pose after driving along an arc, m/s and rad/s, for some seconds."""
    half = turn_rate * seconds / 2
    chord = speed * seconds * (math.sin(half) / half if abs(half) > 1e-9 else 1.0)
    heading = pose.heading + 2 * half
    return Pose(
        pose.x + chord * math.cos(pose.heading + half),
        pose.y + chord * math.sin(pose.heading + half),
        math.atan2(math.sin(heading), math.cos(heading)),
    )


class Driver:
    """
    An endless drive through a world.

    Parameters
    ----------
    world
        Where to drive.
    rng
        Draws the start and the waypoints, and so determines the drive.

    """

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self._world = world
        self._rng = rng
        start = self._free_point(_WAYPOINT_CLEARANCE)
        self.pose = Pose(start[0], start[1], float(rng.uniform(-math.pi, math.pi)))
        self._waypoint = self._free_point(_WAYPOINT_CLEARANCE)
        self._waypoint_age = 0.0
        self._twist = (0.0, 0.0)  # m/s, rad/s
        self._until_decision = 0.0

    def step(self, seconds: float) -> None:
        """
        Drive on for some seconds.

        Raises
        ------
        ValueError
            If the time is negative or not finite.

        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f'step of {seconds!r} s: must be a finite time from 0 up')
        while seconds > 0:
            if self._until_decision <= 1e-9:
                self._decide()
                self._until_decision = _PERIOD
            duration = min(seconds, self._until_decision)
            self.pose = _pose_after(self.pose, *self._twist, duration)
            self._until_decision -= duration
            seconds -= duration

    def _free_point(self, clearance: float) -> tuple[float, float]:
        width, depth = self._world.size
        for margin in (clearance, RADIUS + 0.1):
            points = self._rng.uniform((0, 0), (width, depth), (200, 2))
            free = points[self._world.clearance(points) > margin]
            if len(free):
                return float(free[0, 0]), float(free[0, 1])
        raise RuntimeError(f'world {self._world.seed}: no room for a robot of {RADIUS} m radius')

    def _decide(self) -> None:
        """Choose the waypoint and the arc for the next period."""
        pose = self.pose
        distance = math.hypot(self._waypoint[0] - pose.x, self._waypoint[1] - pose.y)
        self._waypoint_age += _PERIOD
        if distance < _ARRIVAL_DISTANCE or self._waypoint_age > _WAYPOINT_TIMEOUT:
            self._waypoint = self._free_point(_WAYPOINT_CLEARANCE)
            self._waypoint_age = 0.0
        half = _TURN_RATES[:, None] * _LOOKAHEAD / 2  # (arcs, times)
        chord = SPEED * _LOOKAHEAD * np.sinc(half / math.pi)
        x = pose.x + chord * np.cos(pose.heading + half)
        y = pose.y + chord * np.sin(pose.heading + half)
        clearance = self._world.clearance_near(x, y).min(axis=1) - RADIUS
        bearings = np.arctan2(self._waypoint[1] - y[:, -1], self._waypoint[0] - x[:, -1])
        error = bearings - (pose.heading + 2 * half[:, -1])
        score = np.cos(error) + np.minimum(clearance, 0.6) - 0.05 * np.abs(_TURN_RATES)
        score[clearance < 0.05] = -np.inf
        best = int(score.argmax())
        if score[best] > -math.inf:
            self._twist = (SPEED, float(_TURN_RATES[best]))
        elif self._twist[1] == 0 or self._twist[0] > 0:  # keeps turning until an arc is free
            bearing = math.atan2(self._waypoint[1] - pose.y, self._waypoint[0] - pose.x)
            self._twist = (0.0, math.copysign(1.2, math.sin(bearing - pose.heading)))

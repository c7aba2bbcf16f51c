# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The simulated robot, which drives through a world and has three sensors."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.simulation.driving import Driver
from m2vae_ros.simulation.sensing import DEPTH_RANGES, HALF_VIEW, Noise, SCAN_RANGES, Sensing
from m2vae_ros.simulation.world import Pose, World
from m2vae_ros.specs import SensorSpec

SENSORS = (
    SensorSpec('camera', 'image', 'camera/image_raw', 'camera_optical_frame', (3, 48, 64)),
    SensorSpec('lidar', 'laser_scan', 'scan', 'laser', (180,), {
        'angle_min': -math.pi, 'angle_max': math.pi,
        'range_min': SCAN_RANGES[0], 'range_max': SCAN_RANGES[1],
    }),
    SensorSpec('depth', 'point_cloud', 'depth/points', 'depth_optical_frame', (12, 64), {
        'azimuth_min': -HALF_VIEW, 'azimuth_max': HALF_VIEW,
        'elevation_min': -0.35, 'elevation_max': 0.25,
        'range_min': DEPTH_RANGES[0], 'range_max': DEPTH_RANGES[1], 'axes': 'optical',
    }),
)  # of the default model, in its order


class Robot:
    """
    A robot in a world; the world and a seed determine its drive and its measurements.

    Parameters
    ----------
    world
        The world that it drives through.
    seed
        Seed of its drive and of its sensors' noise.
    noise
        Noise of its sensors, by default that of `Noise`.

    """

    def __init__(self, world: World, seed: int = 0, *, noise: Noise | None = None) -> None:
        drive_rng, noise_rng = np.random.default_rng([world.seed, 2, seed]).spawn(2)
        self.world = world
        self._driver = Driver(world, drive_rng)
        self._sensing = Sensing(world, noise_rng, noise or Noise())

    @property
    def pose(self) -> Pose:
        """Where the robot is now, in the world's map."""
        return self._driver.pose

    def step(self, seconds: float) -> None:
        """Drive on for some seconds; raise ValueError if they are negative or not finite."""
        self._driver.step(seconds)

    def image(self) -> NDArray[np.uint8]:
        """Return the camera's image now, uint8 RGB ``(480, 640, 3)``."""
        return self._sensing.image(self.pose)

    def ranges(self) -> NDArray[np.float32]:
        """Return the lidar's ranges now, metres, ``(360,)``, from bearing -pi on."""
        return self._sensing.ranges(self.pose)

    def cloud(self) -> NDArray[np.float32]:
        """Return the depth camera's points now, metres in optical axes, ``(60, 96, 3)``."""
        return self._sensing.cloud(self.pose)

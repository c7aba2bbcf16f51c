# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
What the robot's camera, lidar and depth camera measure, noise included.

Frames (REP-103, REP-105): camera and depth camera are at the same place, level, and look along the
robot's heading. The lidar is in the robot's centre; bearing 0 is along the heading.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from m2vae_ros.simulation.raycasting import measure, photograph, Pinhole, scan
from m2vae_ros.simulation.world import LIDAR_HEIGHT, Pose, World

HALF_VIEW = 0.6  # rad, to either side, of camera and depth camera
CAMERA_FORWARD, CAMERA_HEIGHT = 0.10, 0.45  # m, from the robot's centre on the floor

IMAGE_ROWS, IMAGE_COLUMNS = 480, 640
BEAMS = 360
SCAN_RANGES = (0.1, 10.0)  # m
DEPTH_RANGES = (0.2, 8.0)  # m
_RENDERED = Pinhole(120, 160, 80 / math.tan(HALF_VIEW))
_DEPTH = Pinhole(60, 96, 48 / math.tan(HALF_VIEW))
_BEARINGS = -math.pi + np.arange(BEAMS) * (2 * math.pi / BEAMS)
_NOISE_MARGIN = 64  # rows and columns by which the drawn noise is larger than an image


@dataclass(frozen=True)
class Noise:
    """
    The noise of the sensors; all zeros are perfect sensors.

    Parameters
    ----------
    image
        Standard deviation of a pixel, in grey levels of 255.
    exposure
        Standard deviation of a whole image's brightness, relative.
    scan
        Standard deviation of a lidar range, metres.
    depth
        Standard deviation of a depth at 1 m, metres; it grows with the square of the depth.
    lost
        Share of lidar and depth returns that are lost at random.

    """

    image: float = 4.0
    exposure: float = 0.02
    scan: float = 0.01
    depth: float = 0.002
    lost: float = 0.01

    def __post_init__(self) -> None:
        for name in ('image', 'exposure', 'scan', 'depth', 'lost'):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f'noise {name}: {value!r} must be a finite number from 0 up')
        if self.lost > 1:
            raise ValueError(f'noise lost: {self.lost!r} must be a share, at most 1')


class Sensing:
    """
    The three sensors of one robot.

    Parameters
    ----------
    world
        The world that they see.
    rng
        Draws their noise.
    noise
        How large it is.

    """

    def __init__(self, world: World, rng: np.random.Generator, noise: Noise) -> None:
        self._world = world
        self._rng = rng
        self._noise = noise
        self._brighter, self._darker = _pixel_noise(noise.image)

    def image(self, pose: Pose) -> NDArray[np.uint8]:
        """Return an image, uint8 RGB ``(480, 640, 3)``."""
        colour = photograph(self._world, _camera(pose), CAMERA_HEIGHT, _RENDERED)
        gain = 255 * (1 + self._noise.exposure * self._rng.standard_normal())
        small = np.clip(colour * np.float32(gain) + 0.5, 0, 255).astype(np.uint8)
        image = np.empty((IMAGE_ROWS, IMAGE_COLUMNS, 3), np.uint8)
        cv2.resize(small, (IMAGE_COLUMNS, IMAGE_ROWS), image, interpolation=cv2.INTER_LINEAR)
        row, column = self._rng.integers(0, _NOISE_MARGIN, 2)
        part = (slice(row, row + IMAGE_ROWS), slice(column, column + IMAGE_COLUMNS))
        cv2.add(image, self._brighter[part], dst=image)
        cv2.subtract(image, self._darker[part], dst=image)
        return image

    def ranges(self, pose: Pose) -> NDArray[np.float32]:
        """
        Return a scan, metres, ``(360,)``, counter-clockwise from bearing -pi on.

        By REP-117 a beam without a return is +inf, and a failed measurement NaN.
        """
        ranges, _ = scan(self._world, pose.x, pose.y, LIDAR_HEIGHT, _BEARINGS + pose.heading)
        ranges += self._noise.scan * self._rng.standard_normal(BEAMS)
        ranges[ranges > SCAN_RANGES[1]] = np.inf
        ranges[ranges < SCAN_RANGES[0]] = -np.inf
        lost = self._rng.random(BEAMS)
        ranges[lost < self._noise.lost] = np.inf
        ranges[lost < 0.2 * self._noise.lost] = np.nan
        return ranges.astype(np.float32)

    def cloud(self, pose: Pose) -> NDArray[np.float32]:
        """
        Return an organised cloud, x, y, z in optical axes, metres, ``(60, 96, 3)``.

        All three are NaN where nothing returned: too near, too far, too flat, or lost.
        """
        depth, incidence = measure(self._world, _camera(pose), CAMERA_HEIGHT, _DEPTH)
        up, left = _DEPTH.slopes()
        stretch = np.sqrt(1 + np.square(up)[:, None] + np.square(left)[None, :])
        ranges = depth * stretch
        error = self._rng.standard_normal(depth.shape, dtype=np.float32)
        lost = self._rng.random(depth.shape, dtype=np.float32) < self._noise.lost
        lost |= (ranges > DEPTH_RANGES[1]) | (ranges < DEPTH_RANGES[0]) | (incidence < 0.06)
        depth[lost] = np.nan
        depth += np.float32(self._noise.depth) * np.square(depth) * error
        cloud = np.empty((*depth.shape, 3), np.float32)
        np.multiply(depth, -left[None, :], out=cloud[..., 0], casting='same_kind')
        np.multiply(depth, -up[:, None], out=cloud[..., 1], casting='same_kind')
        cloud[..., 2] = depth
        return cloud


@lru_cache(maxsize=4)
def _pixel_noise(deviation: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """
    Return pixel noise to add and to subtract, larger than an image, to be cut at random offsets.

    Drawing noise for 30 VGA images a second would take most of a core.
    """
    shape = (IMAGE_ROWS + _NOISE_MARGIN, IMAGE_COLUMNS + _NOISE_MARGIN, 3)
    drawn = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    noise = np.rint(drawn * np.float32(deviation))
    return (
        np.clip(noise, 0, 255).astype(np.uint8),
        np.clip(-noise, 0, 255).astype(np.uint8),
    )


def _camera(pose: Pose) -> Pose:
    return Pose(
        pose.x + CAMERA_FORWARD * math.cos(pose.heading),
        pose.y + CAMERA_FORWARD * math.sin(pose.heading),
        pose.heading,
    )

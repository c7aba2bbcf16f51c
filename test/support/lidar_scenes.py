# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What spinning lidars see in a street, as their drivers' clouds."""

from __future__ import annotations

import numpy as np

from support.bag_files import CLASSES
from support.sensor_messages import header

HEIGHT = 1.8  # m above the ground
HDL_32 = np.linspace(10.67, -30.67, 32)  # degrees, from the top down
VLP_16 = np.linspace(15, -15, 16)
# Densest at the horizon, as those of many newer lidars.
UNEVEN = np.array([15, 11, 8, 5, 3, 2, 1.67, 1.33, 1, 0.67, 0.33, 0, -0.33, -0.67, -1, -1.33,
                   -1.67, -2, -3, -4, -5, -6, -8, -10, -13, -16, -19, -25])
_WALLS = ((1, 8.0), (1, -10.0), (0, 40.0), (0, -25.0))  # axis, distance; 7 m high
_FARTHEST = 70.0


def turn(elevations, *, step=0.4, seed=0):
    """
    Return the points of one turn and their rings, ring after ring.

    Parameters
    ----------
    elevations
        Of the rings, degrees.
    step
        Between two measurements of a ring, degrees.
    seed
        Of the noise of the ranges, 2 cm.

    """
    azimuth, elevation = np.meshgrid(
        np.radians(np.arange(-180, 180, step)), np.radians(elevations)
    )
    directions = np.stack([
        np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth),
        np.sin(elevation),
    ], axis=-1).reshape(-1, 3)
    ranges = _street(directions)
    ranges += np.random.default_rng(seed).normal(0, 0.02, len(ranges))
    seen = ranges < _FARTHEST
    ring = np.repeat(np.arange(len(elevations)), azimuth.shape[1])
    return directions[seen] * ranges[seen, None], ring[seen]


def ring_cloud(points, rings=None, *, name='ring', frame='velodyne'):
    """Return a function that makes clouds of points, and a field of their rings, at a stamp."""
    kinds = [(axis, '<f4') for axis in 'xyz'] + [(name, '<u2')] * (rings is not None)
    data = np.zeros(len(points), kinds)
    data['x'], data['y'], data['z'] = np.asarray(points).T
    fields = [CLASSES.PointField(name=axis, offset=4 * i, datatype=7, count=1)
              for i, axis in enumerate('xyz')]
    if rings is not None:
        data[name] = rings
        fields.append(CLASSES.PointField(name=name, offset=12, datatype=4, count=1))
    return lambda now: CLASSES.PointCloud2(
        header=header(now, frame), height=1, width=len(points), fields=fields,
        is_bigendian=False, point_step=data.itemsize, row_step=data.nbytes,
        data=np.frombuffer(data.tobytes(), np.uint8), is_dense=True,
    )


def _street(directions):
    """Return ranges from a lidar between two rows of houses, cars and posts; inf = nothing."""
    ranges = np.full(len(directions), np.inf)

    def hit(distance, top):
        at_height = HEIGHT + distance * directions[:, 2]
        is_hit = (distance > 0) & (at_height < top) & (at_height > -1e-6) & (distance < ranges)
        ranges[is_hit] = distance[is_hit]

    with np.errstate(divide='ignore', invalid='ignore'):
        hit(-HEIGHT / directions[:, 2], 1.0)
        for axis, distance in _WALLS:
            hit(distance / directions[:, axis], 7.0)
        rng = np.random.default_rng(5)
        across = np.square(directions[:, :2]).sum(axis=1)
        for _ in range(25):
            place = np.array([rng.uniform(-20, 35), rng.choice([-1, 1]) * rng.uniform(3, 7)])
            radius, top = rng.choice([0.15, 0.3, 1.0]), rng.choice([1.5, 2.0, 4.0])
            toward = directions[:, :2] @ place
            off = np.square(toward) - across * (place @ place - radius**2)
            hit((toward - np.sqrt(off)) / across, top)
    return ranges

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What drivers write wrongly in a cloud, and what the data says all the same."""

from __future__ import annotations

from math import nan, pi

import numpy as np
import pytest

from m2vae_ros.sensors.kinds import decode
from m2vae_ros.specs import SensorSpec
from support.packed_clouds import FLOAT32, FLOAT64, packed_cloud

LIDAR = SensorSpec('lidar', 'point_cloud', 'points', 'velodyne', (4, 8), {
    'azimuth_min': -pi, 'azimuth_max': pi, 'elevation_min': -0.5, 'elevation_max': 0.5,
    'range_min': 0.5, 'range_max': 50.0, 'axes': 'body',
})


@pytest.mark.parametrize('row_step', [0, 1, 47, 9999, 2**32 - 1])
@pytest.mark.parametrize('names', ['xyz', 'xyzi', 'ixyz'])
def test_the_row_step_of_a_cloud_of_one_row_says_nothing(row_step, names):
    msg = packed_cloud([(4, 1, 1), (1, 5, 0), (nan, 1, 0), (-3, 2, 1)], names=names)
    right = decode(LIDAR, msg)
    msg.row_step = row_step
    stale = decode(LIDAR, msg)
    np.testing.assert_array_equal(stale.values, right.values)
    assert stale.returned.sum() == 3


@pytest.mark.parametrize('datatype', [FLOAT32, FLOAT64])
@pytest.mark.parametrize('points', [4, 50, 500])
def test_little_endian_coordinates_that_are_said_to_be_big_are_read_as_they_are(datatype, points):
    places = np.random.default_rng(points).normal(0, [5, 5, 0.5], (points, 3)).round(3)
    little, big = (
        packed_cloud(places, datatypes=[datatype] * 3, big=big) for big in (False, True)
    )
    right = decode(LIDAR, little)
    little.is_bigendian = True  # as drivers do
    for msg in (little, big):
        np.testing.assert_array_equal(decode(LIDAR, msg).values, right.values)
    assert right.returned.any()

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The axes of clouds are told from their frame and their points together."""

from __future__ import annotations

import numpy as np
import pytest

from m2vae_ros.bags.proposed_axes import axes_of
from support.sensor_messages import rays

AROUND = np.arange(-180, 180, 3.0)
VLP_16 = np.linspace(-15, 15, 16)


def lidar(elevations, *, height=0.0, azimuths=AROUND, distance=6.0):
    """Return the points of a lidar, body axes, from as high above the frame's origin."""
    return (rays(elevations, azimuths, distance) + np.array([0, 0, height])).astype(np.float32)


def camera(half_width=35, half_height=25, *, top=None):
    """Return the points of a depth camera, optical axes; degrees."""
    top = half_height if top is None else top
    body = rays(np.linspace(-half_height, top, 40), np.linspace(-half_width, half_width, 60), 3.0)
    return np.stack([-body[:, 1], -body[:, 2], body[:, 0]], axis=1).astype(np.float32)


def above(points, height):
    """Return the points above the ground."""
    return points[points[:, 2] > height]


BODY = {
    'level': lidar(VLP_16),
    'on a vehicle': lidar(VLP_16, height=1.2, distance=4.0),
    'on a mast': lidar(VLP_16, height=9.0, distance=4.0),
    'hemispherical': lidar(np.linspace(0, 90, 32)),
    'half-hidden hemisphere': lidar(np.linspace(1, 85, 32), azimuths=np.arange(-180, 0, 3.0)),
    'without ground': above(lidar(np.linspace(-30, 10, 32), height=1.8), 0.2),
    'without ground, ahead': above(
        lidar(VLP_16, height=0.6, azimuths=np.arange(-60, 60, 2.0)), 0.1),
    'without ground, to the left': above(
        lidar(VLP_16, height=0.6, azimuths=np.arange(0, 180, 2.0)), 0.1),
    'a camera of body axes': lidar(np.linspace(-20, 20, 40), azimuths=np.arange(-30, 31, 1.0)),
}
CAMERAS = {
    'narrow': camera(20, 15), 'usual': camera(), 'wide': camera(60, 45),
    'outdoors, under the horizon': camera(top=-3), 'looking up': -camera(top=-3) * [1, 1, -1],
}


@pytest.mark.parametrize('frame', ['base_link', 'robot1/base_footprint', 'sensor', 'odom', ''])
@pytest.mark.parametrize('points', BODY.values(), ids=BODY)
def test_lidars_have_body_axes_even_if_all_their_points_are_above_the_frame(points, frame):
    assert axes_of(points, frame) == ('body', [])


@pytest.mark.parametrize('frame', ['camera_depth_optical_frame', 'camera_link', 'sensor', ''])
@pytest.mark.parametrize('points', CAMERAS.values(), ids=CAMERAS)
def test_a_depth_camera_whose_z_looks_forward_has_optical_axes(points, frame):
    assert axes_of(points, frame) == ('optical', [])


@pytest.mark.parametrize('frame', [
    'base_link', 'velodyne', 'os_sensor', 'os1_lidar', 'livox_frame', 'laser_front', 'map',
    'Robot/base_link', 'rslidar', 'PandarXT-32', 'vehicle',
])
def test_a_camera_in_a_frame_of_body_axes_is_cautioned_against(frame):
    axes, (remark,) = axes_of(camera(), frame)
    assert axes == 'body'
    assert remark.startswith('CAUTION')
    assert frame in remark


def test_points_behind_a_camera_are_no_cameras_whatever_its_frame_says():
    axes, (remark,) = axes_of(lidar(VLP_16), 'depth_optical_frame')
    assert axes == 'body'
    assert 'CAUTION: its frame is called depth_optical_frame, yet 50 % of the points' in remark

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


@pytest.mark.parametrize('frame', [
    'base_link', 'robot1/base_footprint', 'sensor', 'odom', '', 'robot1/camera_link', 'base_scan',
])
@pytest.mark.parametrize('points', BODY.values(), ids=BODY)
def test_lidars_have_body_axes_even_if_all_their_points_are_above_the_frame(points, frame):
    assert axes_of(points, frame) == ('body', [])


@pytest.mark.parametrize('frame', [
    'camera_depth_optical_frame', 'camera_link', 'sensor', '', 'robot1/camera_link', 'base_camera',
    'rs_d435', 'vehicle/front_depth',
])
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


def distances(directions, height, half, ceiling):
    """Return how far the walls, floor and ceiling of a room are in some directions (body axes)."""
    planes = [(0, half[0]), (0, -half[1]), (1, half[2]), (1, -half[3]), (2, -height),
              (2, ceiling - height)]
    with np.errstate(divide='ignore'):
        along = np.stack([distance / directions[:, axis] for axis, distance in planes])
    return np.where(along > 0, along, np.inf).min(axis=0)


def seen_by_a_lidar(rng, half, ceiling):
    """Return what a lidar sees of a room above some height, in the vehicle's frame or its own."""
    height = rng.uniform(0.2, 2.0)
    low, high, rings = ((-15, 15, 16), (-30, 10, 32), (-7, 52, 40), (0, 89, 32))[rng.integers(4)]
    around = np.arange(-180, 180, 3.0) if rng.random() < 0.7 else np.arange(-60, 60, 1.5)
    directions = rays(np.linspace(low, high, rings), around, 1.0)
    points = directions * distances(directions, height, half, ceiling)[:, None]
    points += np.array([0, 0, height])
    points = points[points[:, 2] > rng.choice([0.05, 0.3])]
    return points - np.array([0, 0, rng.choice([0, height])])


def seen_by_a_camera(rng, half, ceiling):
    """Return what a depth camera sees of a room within its range, optical axes."""
    width, top = np.tan(np.radians([rng.uniform(15, 60), rng.uniform(12, 45)]))
    right, down = np.meshgrid(np.linspace(-width, width, 40), np.linspace(-top, top, 30))
    optical = np.stack([right, down, np.ones_like(right)], axis=-1).reshape(-1, 3)
    pitch = np.radians(rng.uniform(-30, 20))
    turned = np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0],
                       [-np.sin(pitch), 0, np.cos(pitch)]])
    body = np.stack([optical[:, 2], -optical[:, 0], -optical[:, 1]], axis=-1) @ turned
    far = distances(body, rng.uniform(0.2, 1.5), half, ceiling)
    seen = (far > 0.3) & (far < rng.choice([4, 8, 20]))
    return optical[seen] * far[seen, None]


@pytest.mark.parametrize(('see', 'axes'), [
    (seen_by_a_lidar, 'body'), (seen_by_a_camera, 'optical'),
])
def test_axes_are_told_right_in_nearly_all_of_200_rooms_without_the_frame(see, axes):
    right = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        points = see(rng, rng.uniform(1.5, 15, 4), rng.choice([2.5, 4.0, 8.0, 1e9]))
        points = points[np.linalg.norm(points, axis=1) < 60].astype(np.float32)
        if len(points) > 50:
            right.append(axes_of(points, 'sensor')[0] == axes)
    assert len(right) > 150
    assert np.mean(right) > 0.98

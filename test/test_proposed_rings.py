# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The rings of a lidar are found, and each gets a row of the proposed range image."""

from __future__ import annotations

import numpy as np
import pytest

from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.proposed_clouds import propose_cloud
from m2vae_ros.bags.proposed_rings import find_rings
from m2vae_ros.bags.sensors_file import propose, read_sensors
from m2vae_ros.sensors.kinds import decode, encode, validate
from m2vae_ros.specs import SensorSpec
from support.bag_files import CLASSES, CLOUD, START_NS
from support.lidar_scenes import HDL_32, ring_cloud, turn, UNEVEN, VLP_16
from support.sensor_messages import cloud, rays, write

LIDARS = {'HDL-32': HDL_32, 'VLP-16': VLP_16, 'uneven': UNEVEN}


def proposed(message_at, frame='velodyne'):
    """Return the sensor that is proposed for clouds, and the remarks."""
    shape, geometry, remarks = propose_cloud([message_at(START_NS), message_at(START_NS)], frame)
    return SensorSpec('lidar', 'point_cloud', 'points', frame, shape, geometry), remarks


def organised(points, rings, count, step=0.4):
    """Return points as rows of rings, NaN where nothing returned."""
    columns = round(360 / step)
    grid = np.full((count, columns, 3), np.nan)
    azimuth = np.degrees(np.arctan2(points[:, 1], points[:, 0]))
    grid[rings, np.rint((azimuth + 180) / step).astype(int) % columns] = points
    return grid


def elevations_of(spec):
    return np.degrees(spec.geometry['elevations'])


def share_away(spec, points, metres=1.0):
    """Return the share of points that lie farther than this from the point of their cell."""
    seen = decode(spec, cloud(points)(START_NS))
    sent = np.asarray(encode(spec, seen, CLASSES).data).view('<f4').reshape(*spec.shape, 3)
    rows, columns = spec.shape
    geometry = spec.geometry
    high, low = geometry['elevation_max'], geometry['elevation_min']
    elevation = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))
    if 'elevations' in geometry:
        centres = np.array(geometry['elevations'])
        row = np.abs(elevation[:, None] - centres).argmin(axis=1)
    else:
        row = ((high - elevation) / (high - low) * rows).astype(int)
    turned = np.pi - np.arctan2(points[:, 1], points[:, 0])
    column = (turned / (2 * np.pi) * columns).astype(int).clip(0, columns - 1)
    inside = (low < elevation) & (elevation < high)
    assert inside.mean() > 0.97
    apart = points[inside] - sent[row[inside], column[inside]]
    return 1 - (np.linalg.norm(apart, axis=1) <= metres).mean()


@pytest.mark.parametrize('name', ['ring', 'channel'])
@pytest.mark.parametrize('elevations', LIDARS.values(), ids=LIDARS)
@pytest.mark.parametrize('numbered', ['downwards', 'upwards', 'anyhow'])
def test_a_field_of_rings_gives_a_row_to_each(elevations, name, numbered):
    points, rings = turn(elevations)
    count = len(elevations)
    names = {
        'downwards': np.arange(count), 'upwards': np.arange(count)[::-1],
        'anyhow': np.random.default_rng(2).permutation(count),
    }[numbered]
    spec, remarks = proposed(ring_cloud(points, names[rings], name=name))
    assert spec.shape[0] == count
    np.testing.assert_allclose(elevations_of(spec), elevations, atol=0.02)
    assert f'{count} rings by their field {name}: a row for each' in remarks


@pytest.mark.parametrize('way', ['rows', 'columns'])
@pytest.mark.parametrize('elevations', LIDARS.values(), ids=LIDARS)
def test_a_cloud_organised_by_ring_gives_a_row_to_each(elevations, way):
    grid = organised(*turn(elevations), len(elevations))
    spec, remarks = proposed(cloud(grid if way == 'rows' else grid.transpose(1, 0, 2)))
    assert spec.shape[0] == len(elevations)
    np.testing.assert_allclose(elevations_of(spec), elevations, atol=0.02)
    assert f'by the {way} of the clouds' in ' '.join(remarks)


@pytest.mark.parametrize('elevations', LIDARS.values(), ids=LIDARS)
def test_bands_of_elevation_are_rings_where_nothing_else_tells_them(elevations):
    points, _ = turn(elevations)
    points = np.random.default_rng(0).permutation(points)
    spec, remarks = proposed(ring_cloud(points))
    assert spec.shape[0] == len(elevations)
    np.testing.assert_allclose(elevations_of(spec), elevations, atol=0.02)
    assert 'by their elevations' in ' '.join(remarks)


@pytest.mark.parametrize(('elevations', 'shape'), [
    (HDL_32, (32, 256)), (VLP_16, (16, 256)), (np.linspace(2, -24.8, 64), (64, 128)),
])
def test_the_array_of_a_lidar_has_a_row_for_each_ring_and_columns_in_proportion(
    elevations, shape
):
    spec, _ = proposed(ring_cloud(*turn(elevations)))
    assert spec.shape == shape


@pytest.mark.parametrize('elevations', LIDARS.values(), ids=LIDARS)
def test_with_a_row_for_each_ring_fewer_points_are_far_from_their_cell(elevations, monkeypatch):
    points, rings = turn(elevations)
    aligned, _ = proposed(ring_cloud(points, rings))
    monkeypatch.setattr('m2vae_ros.bags.proposed_clouds.find_rings', lambda *_: None)
    even, _ = proposed(ring_cloud(points, rings))
    with_rings, without = share_away(aligned, points), share_away(even, points)
    print(f'{even.shape}: {without:.1%}; {aligned.shape}: {with_rings:.1%}')  # docs/bags.md
    assert with_rings < 0.6 * without
    assert with_rings < 0.05


def tilted(points, degrees):
    angle = np.radians(degrees)
    turned = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0],
                       [-np.sin(angle), 0, np.cos(angle)]])
    return points @ turned.T


@pytest.mark.parametrize(('elevations', 'move'), [
    (HDL_32, lambda points: tilted(points, 10)), (VLP_16, lambda points: tilted(points, 20)),
    (VLP_16, lambda points: points + np.array([0, 0, 1.5])),
], ids=['tilted', 'tilted more', 'moved up'])
def test_rings_of_a_cloud_that_was_moved_to_another_frame_are_not_taken(elevations, move):
    """One row of the array would be parts of many rings."""
    points, rings = turn(elevations)
    spec, remarks = proposed(ring_cloud(move(points), rings), 'base_link')
    assert 'elevations' not in spec.geometry
    assert 'their field ring is not used' in ' '.join(remarks)
    assert decode(spec, cloud(move(points))(START_NS)).returned.mean() > 0.4


@pytest.mark.parametrize('height', [1.2, 0.8, 1.8])
@pytest.mark.parametrize(('elevations', 'distance'), [
    (VLP_16, 4.0), (VLP_16, 6.0), (np.linspace(-8, 25, 32), 5.0),
])
def test_a_noisy_cloud_without_ground_in_base_link_is_a_lidars(elevations, distance, height):
    """It keeps a row for each ring that is seen, all around, although all is at z > 0."""
    points = rays(elevations, np.arange(0, 360, 1.0), distance) + np.array([0, 0, height])
    points += np.random.default_rng(0).normal(0, 0.01, points.shape)
    points = points[points[:, 2] > 0]
    spec, _ = proposed(cloud(points), 'base_link')
    assert spec.geometry['axes'] == 'body'
    assert spec.geometry['azimuth_max'] == -spec.geometry['azimuth_min'] == pytest.approx(np.pi)
    rings = (distance * np.sin(np.radians(elevations)) + height > 0).sum()
    assert rings - 1 <= spec.shape[0] <= rings
    assert decode(spec, cloud(points)(START_NS)).returned.mean() > 0.95


@pytest.mark.parametrize('elevations', [np.linspace(90, 0, 32), np.linspace(0, -90, 16)])
def test_a_hemispherical_lidar_is_proposed_up_to_where_it_looks(elevations):
    points = rays(elevations, np.arange(-180, 180, 1.0))
    spec, _ = proposed(cloud(points), 'sensor')
    validate(spec)
    assert spec.geometry['axes'] == 'body'
    np.testing.assert_allclose(elevations_of(spec), elevations, atol=0.01)
    assert decode(spec, cloud(points)(START_NS)).returned[1:-1].all()


def test_a_field_of_rings_that_cannot_be_read_does_not_matter():
    points, rings = turn(VLP_16)

    def message_at(now):
        message = ring_cloud(points, rings)(now)
        message.fields[3].datatype = 0
        return message

    spec, remarks = proposed(message_at)
    assert spec.shape[0] == 16
    assert 'by their elevations' in ' '.join(remarks)


def test_a_lidar_without_rings_has_rows_equally_far_apart():
    rng = np.random.default_rng(0)
    elevation, azimuth = rng.uniform(-0.1, 0.9, 20_000), rng.uniform(-np.pi, np.pi, 20_000)
    points = 5 * np.stack([
        np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth),
        np.sin(elevation),
    ], axis=1)
    spec, _ = proposed(ring_cloud(points, rng.integers(0, 4, 20_000), name='line'))
    assert 'elevations' not in spec.geometry


@pytest.mark.parametrize('seed', range(24))
def test_chance_makes_no_rings(seed):
    rng = np.random.default_rng(seed)
    count = int(10 ** rng.uniform(2, 4.5))
    elevation = (
        rng.uniform(-0.3, 0.3, count), rng.normal(0, 0.2, count),
        np.arctan2(-1.7, 2 + rng.exponential(8, count)),
    )[seed % 3]
    assert find_rings(rng.uniform(-np.pi, np.pi, count), elevation, {}) is None


def test_a_depth_camera_with_body_axes_has_no_rings():
    left, up = np.meshgrid(np.linspace(0.7, -0.7, 96), np.linspace(0.5, -0.5, 60))
    grid = 3 * np.stack([np.ones_like(left), left, up], axis=-1)
    spec, _ = proposed(cloud(grid), 'camera_link')
    assert 'elevations' not in spec.geometry


def test_rings_without_any_point_get_no_row():
    points, rings = turn(VLP_16)
    spec, _ = proposed(ring_cloud(points[rings > 2], rings[rings > 2]))
    np.testing.assert_allclose(elevations_of(spec), VLP_16[3:], atol=0.02)


@pytest.mark.parametrize('elevations', LIDARS.values(), ids=LIDARS)
def test_a_proposed_sensors_file_says_the_elevations_and_reads_back(tmp_path, elevations):
    message_at = ring_cloud(*turn(elevations, step=1.0))
    with Bag(write(tmp_path / 'bag', {'/points': (CLOUD, message_at)})) as bag:
        text = propose(bag)
    (tmp_path / 'sensors.yaml').write_text(text)
    (spec,) = read_sensors(tmp_path / 'sensors.yaml')
    assert max(map(len, text.splitlines())) < 130
    np.testing.assert_allclose(elevations_of(spec), elevations, atol=0.02)
    seen = decode(spec, message_at(START_NS))
    back = decode(spec, encode(spec, seen, CLASSES))
    np.testing.assert_array_equal(back.returned, seen.returned)
    np.testing.assert_allclose(back.values, seen.values, rtol=1e-5)

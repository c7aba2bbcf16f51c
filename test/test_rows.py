# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Range images whose rows are the rings of a lidar: decoded, reconstructed, stored, checked."""

from __future__ import annotations

from dataclasses import replace
import json
from math import atan2, hypot, pi

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import yaml

from m2vae_ros.bags.sensors_file import read_sensors, SensorsFileError
from m2vae_ros.sensors.kinds import decode, encode, validate
from m2vae_ros.sensors.messages import InvalidMessage
from m2vae_ros.specs import Measurement, SensorSpec
from m2vae_ros.vae.checkpoint import describe, load, save
from m2vae_ros.vae.header import read_header
from m2vae_ros.vae.model import Architecture, M2VAE
from m2vae_ros.weights_file import CheckpointError
from support.bag_files import CLASSES, START_NS
from support.packed_clouds import packed_cloud

RINGS = (0.3, 0.2, 0.16, 0.05, -0.1, -0.4)


def lidar(elevations=RINGS, *, columns=16, axes='body', margin=0.1, **changes):
    """Return a lidar of these rings."""
    return SensorSpec('lidar', 'point_cloud', 'points', 'velodyne', (len(elevations), columns), {
        'azimuth_min': -pi, 'azimuth_max': pi, 'elevation_min': min(elevations) - margin,
        'elevation_max': max(elevations) + margin, 'elevations': list(elevations),
        'range_min': 0.5, 'range_max': 50.0, 'axes': axes, **changes,
    })


@st.composite
def rings(draw):
    """Return elevations of 2 to 20 rings, from the top down, unequally far apart."""
    gaps = draw(st.lists(st.floats(0.01, 0.1), min_size=1, max_size=19))
    top = draw(st.floats(0.0, 0.5))
    return tuple(float(top - down) for down in np.cumsum([0, *gaps]) if top - down > -1.4)


coordinates = st.floats(-20, 20, width=32)


@settings(deadline=None, max_examples=200)
@given(
    elevations=rings(), axes=st.sampled_from(['body', 'optical']),
    points=st.lists(st.tuples(coordinates, coordinates, coordinates), min_size=1, max_size=30),
)
def test_a_row_takes_the_points_that_are_nearer_to_its_ring_than_to_another(
    elevations, axes, points
):
    sensor = lidar(elevations, axes=axes, columns=8)
    low, high = (sensor.geometry[f'elevation_{end}'] for end in ('min', 'max'))
    nearest, unclear = {}, set()
    for x, y, z in points:
        forward, left, up = (z, -x, -y) if axes == 'optical' else (x, y, z)
        distance = hypot(forward, left, up)
        elevation, azimuth = atan2(up, hypot(forward, left)), atan2(left, forward)
        off = sorted((abs(elevation - ring), row) for row, ring in enumerate(elevations))
        column = (pi - azimuth) / (2 * pi) * 8
        cell = off[0][1], min(int(column), 7)
        is_clear = (
            off[1][0] - off[0][0] > 2e-3 and abs(column - round(column)) > 1e-2
            and abs(distance - 0.5) > 1e-3 and min(abs(elevation - low), abs(high - elevation))
            > 1e-3
        )
        if not is_clear:
            unclear |= {(row, c % 8) for _, row in off[:2] for c in range(8)}
        elif low < elevation < high and distance > 0.5:
            nearest[cell] = min(distance, nearest.get(cell, 99.0))
    try:
        values = decode(sensor, packed_cloud(points)).values
    except InvalidMessage:
        assert not set(nearest) - unclear
        return
    for cell in np.ndindex(values.shape):
        if cell not in unclear:
            assert values[cell] == pytest.approx(nearest.get(cell, 0.0), rel=1e-5), cell


@pytest.mark.parametrize('axes', ['body', 'optical'])
def test_a_reconstruction_goes_out_at_the_rings_own_elevations(axes):
    sensor = lidar(axes=axes)
    cells = np.ones(sensor.shape, np.bool_)
    values = np.random.default_rng(0).uniform(1, 40, sensor.shape).astype(np.float32)
    message = encode(sensor, Measurement(values, cells, cells, START_NS, 'velodyne'), CLASSES)
    points = np.asarray(message.data).view('<f4').reshape(*sensor.shape, 3)
    up = points[..., 2] if axes == 'body' else -points[..., 1]
    elevation = np.arcsin(up / np.linalg.norm(points, axis=-1))
    np.testing.assert_allclose(
        elevation, np.repeat(np.array(RINGS)[:, None], 16, axis=1), atol=1e-5
    )
    back = decode(sensor, message)
    np.testing.assert_allclose(back.values, values, rtol=1e-6)
    assert back.returned.all()


def test_equally_spaced_rings_decode_as_rows_without_elevations():
    even = lidar((0.35, 0.25, 0.15, 0.05), margin=0.05)
    plain = replace(even, geometry={
        key: value for key, value in even.geometry.items() if key != 'elevations'
    })
    points = np.random.default_rng(1).normal(0, [6, 6, 1.5], (3000, 3))
    one, other = (decode(sensor, packed_cloud(points)) for sensor in (even, plain))
    assert (one.values != other.values).mean() < 0.02  # points on a border between two rows
    assert one.returned.any()


@pytest.mark.parametrize(('elevations', 'error'), [
    ([0.2, 0.1], 'has 2 numbers, must have one for each of the 3 rows'),
    ([0.1, 0.2, 0.3], 'has 0.1 before 0.2 rad .row 0., must descend'),
    ([0.2, 0.1, 0.1], 'has 0.1 before 0.1 rad .row 1., must descend'),
    ([15.0, 1.0, -15.0], 'must lie within elevation_min -0.5 and elevation_max 0.5.*degrees'),
    ([0.2, 0.0, -0.6], 'must lie within elevation_min'),
    ([0.2, float('nan'), -0.1], 'must be a list of finite numbers'),
    ([0.2, True, -0.1], 'must be a list of finite numbers'),
    ([0.2, 'low', -0.1], 'must be a list of finite numbers'),
    ([0.2, [0.1], -0.1], 'must be a list of finite numbers'),
    ([], 'has 0 numbers'),
    (0.2, 'elevations is 0.2, must be a list of finite numbers'),
    ('0.2, 0.1, 0.0', 'must be a list of finite numbers'),
    ({'0': 0.2}, 'must be a list of finite numbers'),
    (None, 'must be a list of finite numbers'),
])
def test_wrong_elevations_are_one_error_that_names_the_rule(tmp_path, elevations, error):
    right = lidar((0.2, 0.1, 0.0), elevation_min=-0.5, elevation_max=0.5)
    sensor = replace(right, geometry={**right.geometry, 'elevations': elevations})
    with pytest.raises(ValueError, match=f'sensor lidar: geometry .*{error}'):
        validate(sensor)
    file = tmp_path / 'sensors.yaml'
    file.write_text(yaml.safe_dump({'sensors': [json.loads(json.dumps(sensor.to_dict()))]}))
    with pytest.raises(SensorsFileError, match=r'sensors.yaml: sensor 1 \(lidar\): .*elevations'):
        read_sensors(file)


def test_limits_are_needed_with_elevations_too():
    sensor = lidar()
    with pytest.raises(ValueError, match='geometry lacks elevation_max'):
        validate(replace(sensor, geometry={
            key: value for key, value in sensor.geometry.items() if key != 'elevation_max'
        }))


def test_elevations_are_stored_in_a_models_file(tmp_path):
    sensor = lidar()
    model = M2VAE([sensor], Architecture(latent_size=2, feature_size=8, hidden_size=8))
    save(tmp_path / 'rings.safetensors', model, describe(model))
    (stored,) = read_header(tmp_path / 'rings.safetensors').sensors
    assert stored == sensor
    assert stored.geometry['elevations'] == RINGS
    (loaded,) = load(tmp_path / 'rings.safetensors').header.sensors
    validate(loaded)
    assert SensorSpec.from_dict(json.loads(json.dumps(sensor.to_dict()))) == sensor


@pytest.mark.parametrize('elevations', [
    (1e9, 0.1), (0.2, 'x'), (0.2, None), (0.2, (0.1,)), tuple(range(5000)),
])
def test_a_models_file_with_an_odd_list_is_refused(tmp_path, elevations):
    model = M2VAE([lidar()], Architecture(latent_size=2, feature_size=8, hidden_size=8))
    header = describe(model)
    odd = replace(header.sensors[0], geometry={
        **header.sensors[0].geometry, 'elevations': elevations,
    })
    with pytest.raises(CheckpointError, match=r'elevations.*a list of up to 4096 such numbers'):
        type(header).from_json(replace(header, sensors=(odd,)).to_json())

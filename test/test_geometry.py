# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Specs of sensors: what does not fit the kind is rejected, with name, value and rule."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace

import numpy as np
import pytest

from m2vae_ros.sensors.kinds import decode, encode, message_type, validate
from m2vae_ros.sensors.messages import InvalidMessage
from m2vae_ros.specs import Measurement, SensorSpec

SHAPES = {'image': (3, 4, 6), 'laser_scan': (8,), 'point_cloud': (4, 6)}
GEOMETRIES = {
    'image': {},
    'laser_scan': {'angle_min': -1.0, 'angle_max': 1.0, 'range_min': 0.1, 'range_max': 10.0},
    'point_cloud': {
        'azimuth_min': -1.0, 'azimuth_max': 1.0, 'elevation_min': -0.5, 'elevation_max': 0.5,
        'range_min': 0.1, 'range_max': 10.0, 'axes': 'body',
    },
}


def spec(kind, shape=None, **geometry):
    """Return a valid sensor with some changes; None removes a key."""
    merged = {**GEOMETRIES[kind], **geometry}
    return SensorSpec(
        'eye', kind, 'topic', 'frame', shape or SHAPES[kind],
        {key: value for key, value in merged.items() if value is not None},
    )


@pytest.mark.parametrize('shape', [(), (3.7,), (0, 4), (8, -1), 'ab', 5], ids=str)
def test_a_shape_is_made_of_positive_integers(shape):
    with pytest.raises(ValueError, match=r'sensor eye: shape .* must be positive integers'):
        SensorSpec('eye', 'laser_scan', 'topic', 'frame', shape)


@pytest.mark.parametrize('kind', sorted(SHAPES))
def test_a_valid_spec_passes(kind):
    validate(spec(kind))


@pytest.mark.parametrize(('kind', 'changes', 'reason'), [
    ('image', {'shape': (1, 4, 6)}, 'must start with 3'),
    ('image', {'shape': (4, 6)}, 'must be (3, rows, columns)'),
    ('laser_scan', {'shape': (8, 2)}, 'must be (bearings)'),
    ('point_cloud', {'shape': (8,)}, 'must be (rows, columns)'),
    ('point_cloud', {'shape': (3, 8, 8)}, 'must be (rows, columns)'),
    ('point_cloud', {'shape': (32766, 4)}, 'at most 32765 rows and columns'),
    ('point_cloud', {'shape': (4, 32766)}, 'at most 32765 rows and columns'),
    ('laser_scan', {'angle_min': None}, 'lacks angle_min'),
    ('laser_scan', {'angle_min': 'left'}, "angle_min is 'left', must be a finite number"),
    ('laser_scan', {'range_max': math.inf}, 'range_max is inf, must be a finite number'),
    ('laser_scan', {'range_max': True}, 'range_max is True, must be a finite number'),
    ('laser_scan', {'angle_min': 1.0}, 'angle_max is 1.0 rad, must be above angle_min'),
    ('laser_scan', {'angle_min': -180.0, 'angle_max': 180.0}, 'are these degrees?'),
    ('laser_scan', {'angle_min': 6.0, 'angle_max': 12.0}, 'must lie within -2 pi .. 2 pi'),
    ('laser_scan', {'range_min': -0.1}, 'range_min is -0.1 m, must not be negative'),
    ('laser_scan', {'range_max': 0.1}, 'range_max is 0.1 m, must be above range_min'),
    ('laser_scan', {'axes': 'body'}, 'unknown geometry axes'),
    ('image', {'field_of_view': 1.0}, 'unknown geometry field_of_view; kind image has none'),
    ('point_cloud', {'axes': 'camera'}, "axes is 'camera', must be one of body, optical"),
    ('point_cloud', {'axes': None}, 'axes is None'),
    ('point_cloud', {'elevation_min': -2.0}, 'must be -pi/2 <= elevation_min'),
    ('point_cloud', {'elevation_min': 0.5}, 'elevation_min 0.5 to elevation_max 0.5'),
    ('point_cloud', {'azimuth_max': 6.0}, 'more than a full turn'),
])
def test_a_spec_that_does_not_fit_its_kind_is_rejected(kind, changes, reason):
    wrong = spec(kind, **changes)
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        validate(wrong)
    assert 'sensor eye' in str(caught.value)
    assert not isinstance(caught.value, InvalidMessage)
    with pytest.raises(ValueError, match=re.escape(reason)):
        decode(wrong, SimpleNamespace())


def test_an_unknown_kind_is_rejected_and_the_known_ones_are_named():
    radar = SensorSpec('eye', 'radar', 'topic', 'frame', (8,))
    for call in (validate, message_type):
        with pytest.raises(ValueError, match=r"'radar' is unknown.*laser_scan"):
            call(radar)


@pytest.mark.parametrize('kind', sorted(SHAPES))
def test_only_measurements_of_the_sensor_are_encoded(kind):
    sensor = spec(kind)
    mask = np.ones(sensor.spatial_shape, bool)
    values = np.full(sensor.shape, 0.5, np.float32)
    for wrong in (
        Measurement(values[..., 1:], mask, mask, 0, ''),
        Measurement(values, mask[..., 1:], mask, 0, ''),
        Measurement(values, mask, mask[..., 1:], 0, ''),
    ):
        with pytest.raises(ValueError, match='sensor eye: values, valid and returned have shapes'):
            encode(sensor, wrong, None)
    values.flat[0] = np.nan
    with pytest.raises(ValueError, match='sensor eye: 1 values are not finite'):
        encode(sensor, Measurement(values, mask, mask, 0, ''), None)


@pytest.mark.parametrize('shape', [(1, 32765), (32765, 1)])
def test_the_longest_range_image_has_no_cell_that_overflows(shape):
    sensor = spec('point_cloud', shape, azimuth_min=-math.pi, azimuth_max=math.pi)
    rows, columns = shape
    elevation = 0.5 - (rows - 0.5) / rows  # of the last row; the last column looks back
    azimuth = math.pi - (columns - 0.5) / columns * 2 * math.pi
    point = np.float32([
        math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth),
        math.sin(elevation),
    ]) * 2
    message = SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=0, nanosec=0), frame_id=''),
        height=1, width=1, is_bigendian=False, point_step=12, row_step=12, data=point.tobytes(),
        fields=[SimpleNamespace(name=n, offset=4 * i, datatype=7) for i, n in enumerate('xyz')],
    )
    (row,), (column,) = decode(sensor, message).returned.nonzero()
    # An angle is accurate to 0.01 degrees.
    assert rows - 1 - row <= 2e-4 * rows
    assert columns - 1 - column <= 2e-4 / (2 * math.pi) * columns + 1

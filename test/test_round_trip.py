# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""An encoded measurement decodes to itself, with the message classes of ROS and of rosbags."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
import math

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from m2vae_ros.sensors.kinds import decode, encode, message_type
from m2vae_ros.sensors.messages import ros_message_classes, rosbags_message_classes
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.specs import Measurement, SensorSpec


def lidar(n, low, width, nearest=0.1):
    geometry = {
        'angle_min': low, 'angle_max': low + width, 'range_min': nearest, 'range_max': 12.3,
    }
    return SensorSpec('lidar', 'laser_scan', 'scan', 'laser', (n,), geometry)


def depth(rows, columns, axes, low, width, bottom, height):
    geometry = {
        'azimuth_min': low, 'azimuth_max': low + width, 'elevation_min': bottom,
        'elevation_max': bottom + height, 'range_min': 0.3, 'range_max': 77.7, 'axes': axes,
    }
    return SensorSpec('depth', 'point_cloud', 'points', 'depth', (rows, columns), geometry)


# An azimuth is accurate to 0.01 degrees, so no cell is smaller.
sensors = st.one_of(
    st.builds(
        lambda rows, columns: SensorSpec('cam', 'image', 'i', 'f', (3, rows, columns)),
        st.integers(1, 9), st.integers(1, 9),
    ),
    st.builds(lidar, st.integers(1, 40), st.floats(-math.pi, 0), st.floats(0.1, 2 * math.pi)),
    st.builds(
        depth, st.integers(1, 9), st.integers(1, 12), st.sampled_from(['body', 'optical']),
        st.floats(-math.pi, 0), st.floats(0.1, 2 * math.pi), st.floats(-1.5, 0),
        st.floats(0.1, 1.5),
    ),
)


@lru_cache
def typestore():
    """Return rosbags' message types of ROS 2, which need no ROS installation."""
    stores = pytest.importorskip('rosbags.typesys', reason='needs rosbags: pip install rosbags')
    return stores.get_typestore(stores.Stores.ROS2_HUMBLE)


def through_rosbags(spec, measurement):
    """Return the message after a round trip through the bytes of a bag."""
    name = message_type(spec)
    message = encode(spec, measurement, rosbags_message_classes(typestore()))
    return typestore().deserialize_cdr(typestore().serialize_cdr(message, name), name)


def through_ros(spec, measurement):
    """Return the message after a round trip through the bytes that ROS sends."""
    pytest.importorskip('sensor_msgs', reason='needs ROS messages: pip install ros-sensor-msgs')
    serialization = pytest.importorskip('rclpy.serialization', reason='needs rclpy')
    message = encode(spec, measurement, ros_message_classes())
    octets = serialization.serialize_message(message)
    return serialization.deserialize_message(octets, type(message))


both_ways = pytest.mark.parametrize('send', [through_rosbags, through_ros])


def measurement_of(spec, seed):
    """Return a random measurement with at least one return."""
    rng = np.random.default_rng(seed)
    stamp = int(rng.integers(0, 2**31)) * 10**9 + int(rng.integers(0, 10**9))
    if spec.kind == 'image':
        values = (rng.integers(0, 256, spec.shape) / 255).astype(np.float32)
        everywhere = np.ones(spec.spatial_shape, bool)
        return Measurement(values, everywhere, everywhere, stamp, 'there')
    low, high = spec.geometry['range_min'], spec.geometry['range_max']
    ranges = np.where(
        rng.random(spec.shape) < 0.2, rng.choice([low, high], spec.shape),
        rng.uniform(low, high, spec.shape),
    )
    returned = rng.random(spec.shape) < 0.7
    returned.flat[rng.integers(returned.size)] = True
    values = np.where(returned, ranges, 0).astype(np.float32)
    return Measurement(values, np.ones(spec.shape, bool), returned, stamp, 'there')


def assert_equal(measurement, other):
    np.testing.assert_array_equal(other.valid, measurement.valid)
    np.testing.assert_array_equal(other.returned, measurement.returned)
    np.testing.assert_allclose(other.values, measurement.values, rtol=1e-6, atol=1e-7)
    assert (other.stamp_ns, other.frame_id) == (measurement.stamp_ns, measurement.frame_id)


@both_ways
@settings(max_examples=150)
@given(spec=sensors, seed=st.integers(0, 2**32 - 1))
def test_a_measurement_comes_back_unchanged(send, spec, seed):
    measurement = measurement_of(spec, seed)
    assert_equal(measurement, decode(spec, send(spec, measurement)))


@both_ways
@pytest.mark.parametrize('spec', SENSORS, ids=lambda spec: spec.name)
def test_a_measurement_of_the_default_models_sensors_comes_back_unchanged(send, spec):
    measurement = measurement_of(spec, 0)
    assert_equal(measurement, decode(spec, send(spec, measurement)))


@both_ways
def test_beams_that_are_not_valid_come_back_as_such(send):
    spec = lidar(8, -math.pi, 2 * math.pi)
    valid = np.arange(8) % 2 == 0
    measurement = measurement_of(spec, 1)
    measurement = replace(
        measurement, valid=valid, returned=measurement.returned & valid,
        values=np.where(measurement.returned & valid, measurement.values, np.float32(0)),
    )
    assert_equal(measurement, decode(spec, send(spec, measurement)))


@pytest.mark.parametrize('spec', SENSORS, ids=lambda spec: spec.name)
def test_ros_and_rosbags_get_the_same_message(spec):
    measurement = measurement_of(spec, 3)
    by_ros, by_rosbags = through_ros(spec, measurement), through_rosbags(spec, measurement)
    for name in by_ros.get_fields_and_field_types():
        a, b = getattr(by_ros, name), getattr(by_rosbags, name)
        if name == 'header':
            assert (a.stamp.sec, a.stamp.nanosec) == (b.stamp.sec, b.stamp.nanosec)
            assert a.frame_id == b.frame_id
        elif name == 'fields':
            assert [(f.name, f.offset, f.datatype, f.count) for f in a] == \
                [(f.name, f.offset, f.datatype, f.count) for f in b]
        else:
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))

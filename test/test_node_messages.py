# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A latent survives its way through a message, and others read it by its columns alone."""

from __future__ import annotations

from array import array

from hypothesis import given, strategies
import numpy as np
import pytest

sensor_msgs = pytest.importorskip(
    'sensor_msgs', reason='needs sensor_msgs: pip install ros-sensor-msgs'
)

from m2vae_ros.fusion.latent_message import Latent, latent_from_message, sensors_mask  # noqa: E402
from m2vae_ros.node.messages import latent_to_message, mean_to_message  # noqa: E402

NAMES = ('camera', 'lidar', 'depth')
numbers = strategies.floats(width=32, allow_nan=False)


@given(
    pairs=strategies.lists(strategies.tuples(numbers, numbers), min_size=1, max_size=200),
    stamp_ns=strategies.integers(0, 2**31 * 10**9 - 1),
    sensors=strategies.integers(1, 2**32 - 1),
)
def test_what_goes_in_comes_out(pairs, stamp_ns, sensors):
    mean, log_variance = np.array(pairs, np.float32).T
    latent = latent_from_message(latent_to_message(
        Latent(stamp_ns, mean, log_variance, sensors)
    ))
    assert latent.stamp_ns == stamp_ns
    assert latent.sensors == sensors
    np.testing.assert_array_equal(latent.mean, mean)
    np.testing.assert_array_equal(latent.log_variance, log_variance)


@given(strategies.sets(strategies.sampled_from(NAMES)))
def test_the_mask_names_the_sensors(chosen):
    subset = tuple(name for name in NAMES if name in chosen)
    latent = Latent(0, np.zeros(1), np.zeros(1), sensors_mask(subset, NAMES))
    assert latent.subset(NAMES) == subset


def test_a_latent_is_one_row_of_named_columns():
    message = latent_to_message(Latent(5, np.zeros(96), np.ones(96), 0b101))
    assert (message.height, message.width) == (1, 96)
    assert [field.name for field in message.fields] == ['mean', 'log_variance', 'sensors']
    assert len(message.data) == message.row_step == 96 * message.point_step


def test_a_writer_of_the_other_byte_order_is_understood():
    message = latent_to_message(Latent(5, np.arange(4), np.ones(4), 3))
    swapped = np.frombuffer(message.data, np.uint32).byteswap()
    message.data = array('B', swapped.tobytes())
    message.is_bigendian = not message.is_bigendian
    latent = latent_from_message(message)
    np.testing.assert_array_equal(latent.mean, np.arange(4))
    assert latent.sensors == 3


def test_another_cloud_is_refused_by_name_of_the_column():
    message = latent_to_message(Latent(5, np.zeros(4), np.zeros(4), 1))
    message.fields = message.fields[:1]
    with pytest.raises(ValueError, match='log_variance'):
        latent_from_message(message)


def test_a_cut_latent_is_refused_by_its_size():
    message = latent_to_message(Latent(5, np.zeros(4), np.zeros(4), 1))
    message.data = message.data[:-1]
    with pytest.raises(ValueError, match='data has 47 bytes'):
        latent_from_message(message)


def test_the_mean_is_a_vector_with_a_labelled_dimension():
    message = mean_to_message(np.arange(3, dtype=np.float32))
    assert list(message.data) == [0.0, 1.0, 2.0]
    assert [(d.label, d.size, d.stride) for d in message.layout.dim] == [('latent', 3, 3)]

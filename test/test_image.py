# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Images: every encoding against a loop over the pixels, padding, byte order, and rejection."""

from __future__ import annotations

import struct
import sys
from types import ModuleType, SimpleNamespace

import cv2
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from m2vae_ros.sensors.kinds import decode, encode
from m2vae_ros.sensors.messages import InvalidMessage, ros_message_classes
from m2vae_ros.specs import Measurement, SensorSpec

# Encoding -> bytes per sample, struct code, channels, channel order, the sample that becomes 1.
ENCODINGS = {
    'rgb8': (1, 'B', 3, (0, 1, 2), 255),
    'bgr8': (1, 'B', 3, (2, 1, 0), 255),
    'rgba8': (1, 'B', 4, (0, 1, 2), 255),
    'bgra8': (1, 'B', 4, (2, 1, 0), 255),
    'mono8': (1, 'B', 1, (0, 0, 0), 255),
    'mono16': (2, 'H', 1, (0, 0, 0), 65535),
    '16UC1': (2, 'H', 1, (0, 0, 0), 65535),
    '32FC1': (4, 'f', 1, (0, 0, 0), 1),
}


def spec(rows, columns):
    """Return a camera of this size."""
    return SensorSpec('camera', 'image', 'image', 'optical', (3, rows, columns))


def message(**fields):
    """Return an object with the fields of a message."""
    stamp = SimpleNamespace(sec=7, nanosec=5)
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp, frame_id='here'), **fields)


def image(encoding='rgb8', height=4, width=6, *, padding=0, big=False, seed=0):
    """Return a random Image whose rows end in random padding, written value by value."""
    size, code, channels, _, full = ENCODINGS[encoding]
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(height):
        values = rng.random(width * channels) if code == 'f' else \
            rng.integers(0, full + 1, width * channels)
        rows.append(struct.pack(f'{"><"[not big]}{width * channels}{code}', *values.tolist())
                    + rng.bytes(padding))
    return message(
        height=height, width=width, encoding=encoding, is_bigendian=int(big),
        step=width * channels * size + padding, data=b''.join(rows),
    )


def changed(msg, **fields):
    """Return the message with some fields changed."""
    vars(msg).update(fields)
    return msg


def reference(msg):
    """Return RGB in 0..1, read value by value as the message's definition says."""
    size, code, channels, colours, full = ENCODINGS[msg.encoding]
    values = np.empty((3, msg.height, msg.width))
    for row in range(msg.height):
        for column in range(msg.width):
            for plane, channel in enumerate(colours):
                offset = row * msg.step + (column * channels + channel) * size
                order = '>' if msg.is_bigendian else '<'
                values[plane, row, column] = \
                    struct.unpack_from(order + code, msg.data, offset)[0] / full
    return values


@settings(deadline=None)
@given(
    encoding=st.sampled_from(sorted(ENCODINGS)), height=st.integers(1, 9),
    width=st.integers(1, 9), padding=st.integers(0, 17), big=st.booleans(),
    seed=st.integers(0, 99),
)
def test_every_encoding_padding_and_byte_order_reads_as_the_definition_says(
    encoding, height, width, padding, big, seed
):
    msg = image(encoding, height, width, padding=padding, big=big, seed=seed)
    measurement = decode(spec(height, width), msg)
    np.testing.assert_allclose(measurement.values, reference(msg), atol=1e-6)
    assert measurement.values.dtype == np.float32
    assert measurement.values.flags.c_contiguous
    assert measurement.valid.all()
    assert measurement.returned.all()
    assert (measurement.stamp_ns, measurement.frame_id) == (7_000_000_005, 'here')


@pytest.mark.parametrize('encoding', sorted(ENCODINGS))
def test_an_image_is_shrunk_by_the_mean_over_each_pixels_area(encoding):
    msg = image(encoding, 12, 20, padding=5)
    means = reference(msg).reshape(3, 3, 4, 5, 4).mean(axis=(2, 4))
    measurement = decode(spec(3, 5), msg)
    np.testing.assert_allclose(measurement.values, means, atol=0.51 / 255)


def test_enlarging_keeps_range_and_position():
    measurement = decode(spec(8, 8), changed(image('mono8', 2, 2), data=bytes([0, 255, 0, 255])))
    assert measurement.values[:, :, 0].max() == 0
    assert measurement.values[:, :, -1].min() == 1
    assert (np.diff(measurement.values, axis=2) >= 0).all()


@pytest.mark.parametrize('size', range(1, 12))
def test_a_white_image_is_never_brighter_than_one(size):
    for encoding, white in (('32FC1', struct.pack('f', 1.0)), ('mono16', b'\xff\xff')):
        msg = changed(image(encoding, 7, 7), data=white * 49)
        measurement = decode(spec(size, size), msg)
        assert measurement.values.max() <= 1
        np.testing.assert_allclose(measurement.values, 1, atol=1e-6)


def test_pixels_that_are_not_finite_are_masked():
    pixels = np.full((4, 6), 0.25, np.float32)
    pixels[0, 0], pixels[3, 5] = np.nan, -np.inf
    measurement = decode(spec(2, 3), changed(image('32FC1'), data=pixels.tobytes()))
    invalid = np.zeros((2, 3), bool)
    invalid[0, 0] = invalid[1, 2] = True
    np.testing.assert_array_equal(measurement.valid, ~invalid)
    np.testing.assert_array_equal(measurement.returned, ~invalid)
    expected = np.where(invalid, 0, 0.25)[None].repeat(3, axis=0)
    np.testing.assert_array_equal(measurement.values, expected)


def test_decoding_neither_changes_the_message_nor_shares_its_memory():
    msg = image('mono8')
    data = msg.data = bytearray(msg.data)
    before = bytes(data)
    measurement = decode(spec(4, 6), msg)
    measurement.values[:] = 2
    assert bytes(data) == before


@pytest.mark.parametrize(('pattern', 'red', 'blue'), [
    ('bayer_rggb8', (0, 0), (1, 1)), ('bayer_bggr8', (1, 1), (0, 0)),
    ('bayer_gbrg8', (1, 0), (0, 1)), ('bayer_grbg8', (0, 1), (1, 0)),
])
@pytest.mark.parametrize('padding', [0, 3])
def test_bayer_images_get_their_colours_from_cv_bridge(pattern, red, blue, padding):
    pytest.importorskip('cv_bridge', reason='needs cv_bridge: pip install cv-bridge')
    mosaic = np.full((8, 12 + padding), 100, np.uint8)
    mosaic[red[0]::2, red[1]:12:2] = 200
    mosaic[blue[0]::2, blue[1]:12:2] = 30
    mosaic[:, 12:] = 255
    msg = message(
        height=8, width=12, encoding=pattern, is_bigendian=0, step=12 + padding,
        data=mosaic.tobytes(),
    )
    try:
        values = decode(spec(8, 12), msg).values[:, 2:-2, 2:-2]
    except InvalidMessage as error:
        if pattern != 'bayer_grbg8':
            raise
        pytest.skip(f'{error} (the port of cv_bridge on PyPI; that of a ROS 2 distribution can)')
    for plane, level in enumerate((200, 100, 30)):
        np.testing.assert_allclose(values[plane], level / 255, atol=1 / 255)


class Bridge:
    """The part of upstream's CvBridge that converts YUV, which not every cv_bridge can."""

    def encoding_to_dtype_with_channels(self, encoding):
        """Return what upstream returns for the encodings of the tests."""
        return {'yuv422_yuy2': ('uint8', 2), 'rgb16': ('uint16', 3)}[encoding]

    def imgmsg_to_cv2(self, msg, desired_encoding):
        """Convert as upstream does, which assumes packed rows in native byte order."""
        assert desired_encoding == 'rgb8'
        if msg.encoding == 'rgb16':
            pixels = np.frombuffer(msg.data, np.uint16).reshape(msg.height, msg.width, 3)
            return (pixels // 257).astype(np.uint8)
        pixels = np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.width, 2)
        return cv2.cvtColor(pixels, cv2.COLOR_YUV2RGB_YUY2)


@pytest.fixture
def upstream_bridge(monkeypatch):
    """Replace cv_bridge by one like that of a ROS installation."""
    module = ModuleType('cv_bridge')
    module.CvBridge = Bridge
    monkeypatch.setitem(sys.modules, 'cv_bridge', module)


@pytest.mark.parametrize('padding', [0, 1, 5])
def test_yuv_reaches_cv_bridge_with_packed_rows(upstream_bridge, padding):
    row = bytes([200, 90, 200, 170]) * 3 + b'\xaa' * padding
    msg = message(
        height=4, width=6, encoding='yuv422_yuy2', is_bigendian=0, step=len(row), data=row * 4,
    )
    y, u, v = 1.164 * (200 - 16), 90 - 128, 170 - 128
    colour = np.array([y + 1.596 * v, y - 0.813 * v - 0.391 * u, y + 2.018 * u]).clip(0, 255)
    np.testing.assert_allclose(
        decode(spec(1, 1), msg).values.ravel(), colour / 255, atol=2.5 / 255
    )


@pytest.mark.parametrize('order', ['>', '<'])
def test_wide_colour_reaches_cv_bridge_in_native_byte_order(upstream_bridge, order):
    pixels = np.full((2, 2, 3), (0x1234, 0x8000, 0xff00), order + 'u2')
    msg = message(
        height=2, width=2, encoding='rgb16', is_bigendian=int(order == '>'), step=12,
        data=pixels.tobytes(),
    )
    np.testing.assert_allclose(
        decode(spec(1, 1), msg).values.ravel(), [0x12 / 255, 0x80 / 255, 0xff / 255], atol=1 / 255
    )


def test_without_cv_bridge_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    msg = changed(image('mono8'), encoding='bayer_rggb8')
    with pytest.raises(InvalidMessage, match='pip install cv-bridge') as caught:
        decode(spec(4, 6), msg)
    assert caught.value.rule == 'cv_bridge'


def test_what_cv_bridge_cannot_convert_is_rejected(upstream_bridge):
    with pytest.raises(InvalidMessage, match='nv24') as caught:
        decode(spec(4, 6), changed(image('mono8'), encoding='nv24'))
    assert caught.value.rule == 'encoding'


@pytest.mark.parametrize(('rule', 'encoding', 'changes'), [
    ('encoding', 'rgb8', {'encoding': 'rgb9'}),
    ('encoding', 'rgb8', {'encoding': ''}),
    ('encoding', 'rgb8', {'encoding': '64FC1'}),
    ('field_type', 'rgb8', {'encoding': None}),
    ('field_type', 'rgb8', {'data': None}),
    ('field_type', 'rgb8', {'data': 'x' * 72}),
    ('field_type', 'rgb8', {'data': [-1] * 72}),
    ('field_type', 'rgb8', {'data': np.zeros((4, 18), np.uint8)}),
    ('field_type', 'rgb8', {'height': 'four'}),
    ('field_type', 'rgb8', {'step': 18.0}),
    ('empty_image', 'rgb8', {'width': -6, 'height': -4}),
    ('empty_image', 'rgb8', {'width': 0}),
    ('empty_image', 'rgb8', {'height': 0}),
    ('step', 'rgb8', {'step': 0}),
    ('step', 'rgb8', {'step': 17}),
    ('step', 'rgb8', {'step': 2**32 - 1}),
    ('step', 'rgb8', {'width': 2**32 - 1}),
    ('step', 'rgb8', {'data': b''}),
    ('data_size', 'rgb8', {'height': 2**32 - 1}),
    ('data_size', 'rgb8', {'height': 3}),
    ('data_size', 'rgb8', {'data': bytes(71)}),
    ('data_size', 'rgb8', {'data': bytes(73)}),
    ('no_valid_pixel', '32FC1', {'data': struct.pack('24f', *[np.nan] * 24)}),
    ('value_range', '32FC1', {'data': struct.pack('24f', *range(24))}),
    ('value_range', '32FC1', {'data': struct.pack('24f', *[-0.1] * 24)}),
])
def test_a_malformed_image_is_rejected_by_its_rule(rule, encoding, changes):
    with pytest.raises(InvalidMessage) as caught:
        decode(spec(4, 6), changed(image(encoding), **changes))
    assert caught.value.rule == rule
    assert str(caught.value).startswith(f'{rule}: ')


def test_another_message_is_rejected_by_its_type():
    for msg in (message(ranges=[1.0]), SimpleNamespace(), message(format='jpeg')):
        with pytest.raises(InvalidMessage, match='must be') as caught:
            decode(spec(4, 6), msg)
        assert caught.value.rule == 'message_type'


def test_encoding_saturates_and_blackens_what_is_not_valid():
    classes = pytest.importorskip('sensor_msgs', reason='needs ROS messages') and \
        ros_message_classes()
    values = np.full((3, 2, 2), 0.5, np.float32)
    values[:, 0, 0], values[:, 0, 1] = -0.2, 1.2
    values[:, 1, 1] = np.nan
    valid = np.array([[True, True], [True, False]])
    msg = encode(spec(2, 2), Measurement(values, valid, valid, 1, 'here'), classes)
    assert bytes(msg.data) == bytes([0] * 3 + [255] * 3 + [128] * 3 + [0] * 3)
    assert (msg.encoding, msg.step, msg.height, msg.width) == ('rgb8', 6, 2, 2)

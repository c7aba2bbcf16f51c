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
    'rgb16': (2, 'H', 3, (0, 1, 2), 65535),
    'bgr16': (2, 'H', 3, (2, 1, 0), 65535),
    'rgba16': (2, 'H', 4, (0, 1, 2), 65535),
    'bgra16': (2, 'H', 4, (2, 1, 0), 65535),
    '8UC1': (1, 'B', 1, (0, 0, 0), 255),
    '8UC3': (1, 'B', 3, (2, 1, 0), 255),
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


PATTERNS = {
    'rggb': ((0, 0), (1, 1)), 'bggr': ((1, 1), (0, 0)),
    'gbrg': ((1, 0), (0, 1)), 'grbg': ((0, 1), (1, 0)),
}  # where red and blue are


def mosaic_of(pattern, bits, padding=0):
    """Return 8 x 12 samples of a colour, red 200, green 100, blue 30 of 255, and padding."""
    red, blue = PATTERNS[pattern]
    samples = np.full((8, 12 + padding), 100, np.uint8 if bits == 8 else np.uint16)
    samples[red[0]::2, red[1]:12:2] = 200
    samples[blue[0]::2, blue[1]:12:2] = 30
    samples[:, 12:] = 255
    return samples if bits == 8 else samples * 257


def check_mosaic_colour(measurement):
    for plane, level in enumerate((200, 100, 30)):
        np.testing.assert_allclose(
            measurement.values[plane, 2:-2, 2:-2], level / 255, atol=1 / 255)


@pytest.mark.parametrize('pattern', PATTERNS)
@pytest.mark.parametrize(('bits', 'order'), [(8, '<'), (16, '<'), (16, '>')])
@pytest.mark.parametrize('padding', [0, 3])
def test_bayer_images_get_their_colours(pattern, bits, order, padding):
    samples = mosaic_of(pattern, bits, padding)
    msg = message(
        height=8, width=12, encoding=f'bayer_{pattern}{bits}', is_bigendian=int(order == '>'),
        step=samples.strides[0], data=samples.astype(samples.dtype.newbyteorder(order)).tobytes(),
    )
    check_mosaic_colour(decode(spec(8, 12), msg))


@pytest.mark.parametrize('pattern', PATTERNS)
@pytest.mark.parametrize(('kind', 'bits'), [('jpeg', 8), ('png', 8), ('png', 16)])
def test_a_compressed_mosaic_gets_its_colours(pattern, kind, bits):
    quality = [cv2.IMWRITE_JPEG_QUALITY, 100] if kind == 'jpeg' else []
    content = cv2.imencode(f'.{kind[:3].replace("jpe", "jpg")}', mosaic_of(pattern, bits), quality)
    text = f'bayer_{pattern}{bits}; {kind} compressed '
    measurement = decode(spec(8, 12), message(format=text, data=content[1].tobytes()))
    if kind == 'png':
        check_mosaic_colour(measurement)
    else:  # which loses some of the mosaic
        assert measurement.values[0].mean() > measurement.values[1].mean() + 0.2
        assert measurement.values[1].mean() > measurement.values[2].mean() + 0.1


def test_a_mosaic_that_was_compressed_in_colour_keeps_its_colours():
    colour = np.full((8, 12, 3), (30, 100, 200), np.uint8)  # BGR
    content = cv2.imencode('.png', colour)[1].tobytes()
    msg = message(format='bayer_rggb8; png compressed bgr8', data=content)
    check_mosaic_colour(decode(spec(8, 12), msg))


Y, U, V = 200, 90, 170


def yuv_data(encoding, height, width, padding):
    """Return rows of one colour, as the encoding orders its samples."""
    if encoding in ('yuv422', 'uyvy'):
        rows = [bytes([U, Y, V, Y]) * (width // 2)] * height
    elif encoding in ('yuv422_yuy2', 'yuyv'):
        rows = [bytes([Y, U, Y, V]) * (width // 2)] * height
    else:
        pair = bytes([V, U]) if encoding == 'nv21' else bytes([U, V])
        colours = {'nv24': 2 * height}.get(encoding, height // 2)
        rows = [bytes([Y]) * width] * height + [pair * (width // 2)] * colours
    return b''.join(row + b'\xaa' * padding for row in rows), len(rows[0]) + padding


@pytest.mark.parametrize('padding', [0, 2, 6])
@pytest.mark.parametrize('encoding', [
    'yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv', 'nv12', 'nv21', 'nv24'])
def test_yuv_images_get_their_colours(encoding, padding):
    data, step = yuv_data(encoding, 4, 6, padding)
    msg = message(
        height=4, width=6, encoding=encoding, is_bigendian=0, step=step, data=data,
    )
    y, u, v = 1.164 * (Y - 16), U - 128, V - 128
    colour = np.array([y + 1.596 * v, y - 0.813 * v - 0.391 * u, y + 2.018 * u]).clip(0, 255)
    values = decode(spec(4, 6), msg).values
    np.testing.assert_allclose(
        values, np.broadcast_to(colour[:, None, None] / 255, values.shape), atol=2.5 / 255)


@pytest.mark.parametrize(('encoding', 'height', 'width'), [
    ('yuv422', 4, 5), ('nv12', 3, 6), ('nv21', 4, 5), ('bayer_rggb8', 2, 6)])
def test_sizes_that_share_no_colour_are_rejected(encoding, height, width):
    msg = message(
        height=height, width=width, encoding=encoding, is_bigendian=0, step=2 * width,
        data=bytes(2 * width * height),
    )
    with pytest.raises(InvalidMessage, match='must be') as caught:
        decode(spec(4, 6), msg)
    assert caught.value.rule == 'image_size'


class Bridge:
    """The part of upstream's CvBridge that converts what OpenCV alone does not."""

    def encoding_to_dtype_with_channels(self, encoding):
        """Return what upstream returns for the encodings of the tests."""
        return {'yuv444': ('uint8', 3)}[encoding]

    def imgmsg_to_cv2(self, msg, desired_encoding):
        """Convert as upstream does, which assumes packed rows in native byte order."""
        assert desired_encoding == 'rgb8'
        pixels = np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.width, 3)
        return cv2.cvtColor(pixels, cv2.COLOR_YUV2RGB)


@pytest.fixture
def upstream_bridge(monkeypatch):
    """Replace cv_bridge by one like that of a ROS installation."""
    module = ModuleType('cv_bridge')
    module.CvBridge = Bridge
    monkeypatch.setitem(sys.modules, 'cv_bridge', module)


@pytest.mark.parametrize('padding', [0, 1, 5])
def test_what_is_left_reaches_cv_bridge_with_packed_rows(upstream_bridge, padding):
    row = bytes([200, 128, 128]) * 6 + b'\xaa' * padding
    msg = message(
        height=4, width=6, encoding='yuv444', is_bigendian=0, step=len(row), data=row * 4,
    )
    np.testing.assert_allclose(decode(spec(1, 1), msg).values.ravel(), 200 / 255, atol=1 / 255)


def test_without_cv_bridge_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    msg = changed(image('mono8'), encoding='yuv444')
    with pytest.raises(InvalidMessage, match='pip install cv-bridge') as caught:
        decode(spec(4, 6), msg)
    assert caught.value.rule == 'cv_bridge'


def test_what_cv_bridge_cannot_convert_is_rejected(upstream_bridge):
    with pytest.raises(InvalidMessage, match='yuv411') as caught:
        decode(spec(4, 6), changed(image('mono8'), encoding='yuv411'))
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

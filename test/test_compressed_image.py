# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Compressed images: JPEG and PNG, their channels, and damaged files."""

from __future__ import annotations

import struct
from types import SimpleNamespace
import zlib

import cv2
import numpy as np
import pytest

from m2vae_ros.sensors.kinds import decode
from m2vae_ros.sensors.messages import InvalidMessage
from m2vae_ros.specs import SensorSpec

CAMERA = SensorSpec('camera', 'image', 'image', 'optical', (3, 24, 32))


def message(text, data):
    """Return an object with the fields of a CompressedImage."""
    stamp = SimpleNamespace(sec=7, nanosec=5)
    header = SimpleNamespace(stamp=stamp, frame_id='here')
    return SimpleNamespace(header=header, format=text, data=data)


def picture(*channels, dtype=np.uint8):
    """Return a smooth picture that differs in every channel and towards every border."""
    rows, columns = np.mgrid[:24, :32]
    planes = [(60 + 4 * rows + 2 * columns) % 230, 255 - 5 * rows, 6 * columns, rows + columns]
    pixels = np.stack(planes[:channels[0]], axis=-1) if channels else planes[0]
    return (pixels * (257 if dtype == np.uint16 else 1)).astype(dtype)


def compressed(extension, pixels, text, *options):
    """Return the CompressedImage of pixels in OpenCV's order, blue first."""
    return message(text, cv2.imencode(extension, pixels, options)[1].tobytes())


@pytest.mark.parametrize(('pixels', 'order'), [
    (picture(3), (2, 1, 0)), (picture(4), (2, 1, 0)), (picture(), (0, 0, 0)),
    (picture(3, dtype=np.uint16), (2, 1, 0)), (picture(dtype=np.uint16), (0, 0, 0)),
])
def test_png_is_read_exactly_whatever_its_channels_and_depth(pixels, order):
    values = decode(CAMERA, compressed('.png', pixels, 'png')).values
    planes = np.atleast_3d(pixels).transpose(2, 0, 1)[list(order)]
    np.testing.assert_allclose(values, planes / np.iinfo(pixels.dtype).max, atol=1e-6)


@pytest.mark.parametrize('text', [
    'jpeg', 'rgb8; jpeg compressed bgr8', 'bgr8; jpeg compressed bgr8',
])
def test_red_stays_red_in_a_jpeg(text):
    pixels = picture(3)
    values = decode(
        CAMERA, compressed('.jpg', pixels, text, cv2.IMWRITE_JPEG_QUALITY, 98)
    ).values
    assert np.abs(values - pixels[..., ::-1].transpose(2, 0, 1) / 255).mean() < 0.03


def test_a_jpeg_with_red_and_blue_swapped_is_corrected():
    pixels = picture(3)  # red first, compressed as if blue were first
    values = decode(CAMERA, compressed('.jpg', pixels, 'rgb8; jpeg compressed rgb8')).values
    assert np.abs(values - pixels.transpose(2, 0, 1) / 255).mean() < 0.05


def test_a_grey_jpeg_has_equal_channels():
    values = decode(CAMERA, compressed('.jpg', picture(), 'mono8; jpeg compressed ')).values
    np.testing.assert_array_equal(values[0], values[2])
    assert np.abs(values[0] - picture() / 255).mean() < 0.03


@pytest.mark.parametrize('tail', [bytes(1000), b'\xff', b'\n', b'\xff\xd8\xff\xe0', b'end' * 99])
@pytest.mark.parametrize('progressive', [0, 1])
def test_what_follows_the_end_of_a_jpeg_is_ignored(tail, progressive, capfd):
    content = cv2.imencode(
        '.jpg', picture(3), [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()
    plain, other = (decode(CAMERA, message('jpeg', data)) for data in (content, content + tail))
    np.testing.assert_array_equal(other.values, plain.values)
    assert capfd.readouterr().err == ''


@pytest.mark.parametrize('extension', ['.jpg', '.png'])
@pytest.mark.parametrize('share', [0.1, 0.5, 0.99])
def test_a_truncated_file_is_rejected(extension, share):
    msg = compressed(extension, picture(3), extension)
    msg.data = msg.data[:int(share * len(msg.data))]
    with pytest.raises(InvalidMessage) as caught:
        decode(CAMERA, msg)
    assert caught.value.rule == 'truncated'


def test_data_that_is_not_an_image_file_is_rejected():
    for rule, data in (
        ('encoding', b'GIF89a' + bytes(50)), ('data_size', b''),
        ('truncated', b'\xff\xd8\xff\xd9'), ('truncated', b'\xff\xd8' + bytes(99) + b'\xff\xd9'),
    ):
        with pytest.raises(InvalidMessage) as caught:
            decode(CAMERA, message('jpeg', data))
        assert caught.value.rule == rule


def png_chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


@pytest.mark.parametrize('pixels', [
    picture(3), picture(4), picture(), picture(3, dtype=np.uint16),
])
def test_what_surrounds_the_pixels_of_a_png_changes_nothing_and_is_not_complained_of(
    pixels, capfd
):
    content = cv2.imencode('.png', pixels)[1].tobytes()
    odd = b''.join(
        png_chunk(kind.encode(), b'odd')
        for kind in ['gAMA', 'cHRM', 'iCCP', 'sRGB', 'pHYs', 'sBIT', 'tIME', 'acTL', 'zTXt']
    )
    surrounded = content[:33] + 100 * odd + content[33:-12] + odd + content[-12:]
    plain, other = (decode(CAMERA, message('png', data)) for data in (content, surrounded))
    np.testing.assert_array_equal(plain.values, other.values)
    assert capfd.readouterr().err == ''


def test_a_palette_of_a_png_is_kept(capfd):
    header = struct.pack('>IIBBBBB', 32, 24, 8, 3, 0, 0, 0)
    rows = zlib.compress((b'\0' + bytes([0, 1] * 16)) * 24)
    content = b'\x89PNG\r\n\x1a\n' + b''.join(png_chunk(kind, data) for kind, data in (
        (b'IHDR', header), (b'PLTE', bytes([255, 0, 0, 0, 0, 255])), (b'tRNS', b'\xff\x80'),
        (b'IDAT', rows), (b'IEND', b''),
    ))
    values = decode(CAMERA, message('png', content)).values
    np.testing.assert_array_equal(values[:, 0, :2], [[1, 0], [0, 0], [0, 1]])
    assert capfd.readouterr().err == ''


def test_a_damaged_png_is_rejected_without_a_complaint_of_libpng(capfd):
    content = cv2.imencode('.png', picture(3))[1].tobytes()
    rules = set()
    for place in range(8, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 0x11
        with pytest.raises(InvalidMessage) as caught:
            decode(CAMERA, message('png', bytes(damaged)))
        rules.add(caught.value.rule)
    assert 'damaged' in rules
    assert capfd.readouterr().err == ''

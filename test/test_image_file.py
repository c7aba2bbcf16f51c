# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Hostile and damaged image files cost no more than an image of the size that is allowed."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from math import ceil
import multiprocessing
from pathlib import Path
import struct
import time
from types import SimpleNamespace
import zlib

import cv2
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from m2vae_ros.sensors.image_file import check_file, MAX_PIXELS
from m2vae_ros.sensors.kinds import decode
from m2vae_ros.sensors.messages import InvalidMessage
from m2vae_ros.specs import SensorSpec

CAMERA = SensorSpec('camera', 'image', 'image', 'optical', (3, 24, 32))
ALLOWED = 2**20  # pixels, in the tests of cost
PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
SAMPLING = cv2.IMWRITE_JPEG_SAMPLING_FACTOR
PNG_START = b'\x89PNG\r\n\x1a\n'


def message(data):
    """Return an object with the fields of a CompressedImage."""
    header = SimpleNamespace(stamp=SimpleNamespace(sec=7, nanosec=5), frame_id='here')
    return SimpleNamespace(header=header, format='jpeg', data=data)


def raw(height, width):
    """Return an object with the fields of a grey Image."""
    return SimpleNamespace(
        header=message(b'').header, height=height, width=width, encoding='mono8', step=width,
        is_bigendian=0, data=bytes(height * width),
    )


def picture(height=480, width=640, channels=3, dtype=np.uint8):
    """Return a picture with texture at several scales, OpenCV's order."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 200, (ceil(height / 8), ceil(width / 8), channels), np.uint8)
    fine = rng.integers(0, 12, (height, width, channels), np.uint8)
    pixels = cv2.resize(coarse, (width, height)).reshape(fine.shape) + fine
    return pixels if dtype == np.uint8 else pixels.astype(dtype) * 257


def encoded(extension, pixels, *options):
    return cv2.imencode(extension, pixels, options)[1].tobytes()


def progressive(width, height, scans):
    """Return a grey progressive JPEG whose scans hold a few bytes and pass over all blocks."""
    blocks = ceil(width / 8) * ceil(height / 8)
    tables = b''.join(
        b'\xff\xc4' + struct.pack('>HB', 20, which) + bytes([1, *[0] * 15, symbol])
        for which, symbol in ((0x00, 0x00), (0x10, 0xE0))  # 0xE0: nothing in 2^14 blocks or more
    )
    runs = ('0' + '1' * 14) * ceil(blocks / 32767)
    runs += '1' * (-len(runs) % 8)
    refined = int(runs, 2).to_bytes(len(runs) // 8, 'big').replace(b'\xff', b'\xff\x00')
    header = b'\xff\xda' + struct.pack('>HB', 8, 1) + bytes([1, 0])
    return b''.join((
        b'\xff\xd8\xff\xdb', struct.pack('>HB', 67, 0), bytes([1] * 64),
        b'\xff\xc2', struct.pack('>HBHHB', 11, 8, height, width, 1), bytes([1, 0x11, 0]), tables,
        header, bytes([0, 0, 0]), bytes(ceil(blocks / 8)),
        *[header + bytes([1, 63, 0]) + refined] * scans, b'\xff\xd9',
    ))


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def png(width, height, *, depth=8, colour=2, between=b'', pixels=None):
    """Return a PNG, black by default; `between` stands before its pixels."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = bytes(1 + ceil(width * channels * depth / 8))
    content = zlib.compress(row * height) if pixels is None else pixels
    palette = chunk(b'PLTE', bytes(3)) if colour == 3 else b''
    return PNG_START + chunk(
        b'IHDR', struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, 0)
    ) + palette + between + chunk(b'IDAT', content) + chunk(b'IEND', b'')


def inflating(kind, count):
    """Return chunks of text that inflates a thousandfold."""
    start = {b'zTXt': b'key\0\0', b'iTXt': b'key\0\1\0\0\0'}[kind]
    return chunk(kind, start + zlib.compress(bytes(7_900_000), 9)) * count


def with_byte(content, place, value):
    return content[:place] + bytes([value]) + content[place + 1:]


@pytest.mark.parametrize(('rule', 'content'), [
    ('scans', progressive(8192, 1024, 1000)),
    ('scans', progressive(64, 48, 33)),
    ('scans', progressive(4096, 2048, 4)),
    ('image_size', progressive(4096, 4096, 0)),
    ('truncated', progressive(4096, 2048, 0)[:-8000] + b'\xff\xd9'),
    ('image_header', b'\xff\xd8' + b'\xff\xe0\x00\x02' * 300 + b'\xff\xd9'),
    ('truncated', b'\xff\xd8' + b'\xff\x01' * 100_000 + b'\xff\xd9'),
    ('image_size', png(4096, 4096, pixels=b'')),
    ('image_size', png(4096, 2048, depth=16, pixels=b'')),
    ('truncated', png(4096, 2048, pixels=bytes(1000))),
    ('image_size', png(64, 48, between=inflating(b'zTXt', 10))),
    ('image_size', png(64, 48, between=inflating(b'iTXt', 10))),
    ('image_header', png(64, 48, between=chunk(b'teXt', b'') * 40_000)),
    ('image_header', with_byte(png(64, 48), 18, 1)),
    ('image_size', png(64, 48, between=chunk(b'teXt', bytes(40_000_000)))),
], ids=lambda value: value if isinstance(value, str) else '')
def test_what_costs_too_much_is_rejected_before_it_is_decoded(rule, content, monkeypatch):
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('decoded'))
    with pytest.raises(InvalidMessage) as caught:
        decode(CAMERA, message(content), max_image_pixels=4096 * 2160)
    assert caught.value.rule == rule
    if rule in ('image_size', 'scans'):
        assert 'max_image_pixels' in str(caught.value)


@pytest.mark.parametrize('content', [
    raw(1025, 1024), message(encoded('.jpg', picture(1025, 1024))),
    message(encoded('.png', picture(1025, 1024))),
], ids=['raw', 'jpeg', 'png'])
def test_an_image_above_the_limit_is_rejected_and_the_parameter_named(content):
    with pytest.raises(InvalidMessage, match=r'max_image_pixels') as caught:
        decode(CAMERA, content, max_image_pixels=ALLOWED)
    assert caught.value.rule == 'image_size'
    decode(CAMERA, content, max_image_pixels=1025 * 1024)
    decode(CAMERA, content)


@settings(deadline=None)
@given(
    height=st.integers(1, 70), width=st.integers(1, 70), channels=st.sampled_from((1, 3, 4)),
    jpeg=st.booleans(), quality=st.integers(1, 100), is_progressive=st.booleans(),
    restarts=st.integers(0, 3), deep=st.booleans(),
    sampling=st.sampled_from((0x411111, 0x420000, 0x221111, 0x211111, 0x121111, 0x111111)),
)
def test_whatever_opencv_writes_is_accepted(
    height, width, channels, jpeg, quality, is_progressive, restarts, deep, sampling
):
    if jpeg:
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_RST_INTERVAL, restarts,
                   cv2.IMWRITE_JPEG_PROGRESSIVE, int(is_progressive)]
        if channels > 1 and sampling != 0x420000:
            options += [SAMPLING, sampling]
        content = encoded('.jpg', picture(height, width, min(channels, 3)), *options)
    else:
        dtype = np.uint16 if deep else np.uint8
        content = encoded('.png', picture(height, width, channels, dtype))
    check_file(content, MAX_PIXELS)
    decode(CAMERA, message(content))


@pytest.mark.parametrize(('depth', 'colour'), [(1, 0), (4, 0), (16, 4), (1, 3), (8, 3), (16, 6)])
def test_every_kind_of_png_is_accepted(depth, colour):
    content = png(65, 30, depth=depth, colour=colour, between=inflating(b'zTXt', 1))
    assert decode(CAMERA, message(content)).values.max() == 0


@pytest.mark.parametrize('options', [PROGRESSIVE, (*PROGRESSIVE, SAMPLING, 0x111111)])
def test_progressive_full_hd_is_accepted_by_the_node(options):
    check_file(encoded('.jpg', picture(1080, 1920), *options), 4096 * 2160)


def damaged_files(seed, count):
    """Yield VGA files with one byte changed; every second within the first kilobyte."""
    rng = np.random.default_rng(seed)
    files = [
        encoded('.jpg', picture()), encoded('.jpg', picture(), *PROGRESSIVE),
        encoded('.png', picture()), encoded('.png', picture(dtype=np.uint16)),
    ]
    chunks = [place - 4 for place in range(len(files[2])) if files[2][place:place + 4] == b'IDAT']
    for i in range(count):
        content = files[i % len(files)]
        place = int(rng.integers(len(content) if i // 4 % 2 else 700))
        yield with_byte(content, place, int(rng.integers(256)))
    for place in chunks[:20]:
        yield with_byte(files[2], place, 0x7F)
    yield from (progressive(1024, 1024, 3), png(1024, 1024, colour=6))  # the most that is allowed


def measured(seed, count):
    """
    Decode damaged files in a process of its own.

    Returns
    -------
    tuple
        Seconds of the slowest decoding, and of the largest image that is allowed; bytes by which
        the memory grew at most; rules that were broken.

    """
    cv2.setNumThreads(1)
    contents = damaged_files(seed, count)
    next(contents)
    slowest, grown, rules = 0.0, 0, set()
    for content in contents:
        Path('/proc/self/clear_refs').write_text('5')  # the peak is that of now
        before = memory('VmRSS')
        slowest = max(slowest, seconds(content, rules))
        grown = max(grown, memory('VmHWM') - before)
    largest = [
        encoded('.png', picture(1024, 1024, 4)), encoded('.jpg', picture(704, 704), *PROGRESSIVE),
    ]
    control = max(seconds(content, set()) for content in largest for _ in range(3))
    return slowest, control, grown, rules


def seconds(content, rules):
    started = time.process_time()
    try:
        decode(CAMERA, message(content), max_image_pixels=ALLOWED)
    except InvalidMessage as error:
        rules.add(error.rule)
    return time.process_time() - started


def memory(key):
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f'{key}:'))


@pytest.mark.skipif(
    not Path('/proc/self/clear_refs').exists(), reason='needs /proc of Linux to measure memory'
)
@pytest.mark.parametrize('seed', range(2))
def test_one_damaged_byte_costs_no_more_than_the_largest_image(seed):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('spawn')) as pool:
        slowest, control, grown, rules = pool.submit(measured, seed, 400).result()
    assert 'truncated' in rules
    assert slowest < 3 * control
    assert grown < 16 * ALLOWED  # bytes

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Messages of every kind: a malformed one is rejected by its rule, in little time and memory."""

from __future__ import annotations

from array import array
import struct
import time
import tracemalloc
from types import SimpleNamespace

import cv2
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from m2vae_ros.sensors.kinds import decode
from m2vae_ros.sensors.messages import InvalidMessage
from m2vae_ros.specs import SensorSpec

CAMERA = SensorSpec('camera', 'image', 'image', 'optical', (3, 4, 6))
LIDAR = SensorSpec('lidar', 'laser_scan', 'scan', 'laser', (8,), {
    'angle_min': -3.14, 'angle_max': 3.14, 'range_min': 0.0, 'range_max': 10.0,
})
DEPTH = SensorSpec('depth', 'point_cloud', 'points', 'depth', (4, 6), {
    'azimuth_min': -3.14, 'azimuth_max': 3.14, 'elevation_min': -1.5, 'elevation_max': 1.5,
    'range_min': 0.2, 'range_max': 10.0, 'axes': 'body',
})
INTEGERS = [-2**31, -1, 0, 1, 2, 3, 4, 8, 12, 13, 16, 48, 2**16, 2**31 - 1, 2**32 - 1, 2**63]
NUMBERS = [0.0, -0.0, 5e-324, 1e-7, 0.01, 0.5, -0.5, 3.2, 7.0, 1e9, 1e39, 1e308]
NUMBERS += [float('nan'), float('inf'), -float('inf')]
ENCODINGS = ['rgb8', 'bgra8', 'mono8', 'mono16', '16UC1', '32FC1', 'bayer_rggb8', 'yuv422',
             'rgb16']


def point_fields(offsets=(0, 4, 8), datatypes=(7, 7, 7)):
    return [
        SimpleNamespace(name=name, offset=offset, datatype=datatype, count=1)
        for name, offset, datatype in zip('xyz', offsets, datatypes, strict=True)
    ]


def valid_fields(kind):
    """Return the fields of a valid message."""
    stamp = SimpleNamespace(sec=1, nanosec=2)
    header = SimpleNamespace(stamp=stamp, frame_id='here')
    return {'header': header, **{
        'image': {
            'height': 4, 'width': 4, 'encoding': 'mono8', 'is_bigendian': 0, 'step': 12,
            'data': bytes(range(48)),
        },
        'compressed': {'format': 'png', 'data': png(4, 6)},
        'scan': {
            'angle_min': -3.0, 'angle_max': 3.0, 'angle_increment': 0.5, 'range_min': 0.1,
            'range_max': 9.0, 'ranges': array('f', range(12)),
        },
        'cloud': {
            'height': 1, 'width': 4, 'fields': point_fields(), 'is_bigendian': False,
            'point_step': 12, 'row_step': 48, 'data': struct.pack('<12f', *range(12)),
        },
    }[kind]}


def png(rows, columns):
    """Return the bytes of a grey png file."""
    return cv2.imencode('.png', np.full((rows, columns), 99, np.uint8))[1].tobytes()


SPECS = {'image': CAMERA, 'compressed': CAMERA, 'scan': LIDAR, 'cloud': DEPTH}
garbage = st.one_of(
    st.sampled_from(INTEGERS), st.sampled_from(NUMBERS), st.sampled_from(ENCODINGS),
    st.none(), st.booleans(), st.text(max_size=5), st.binary(max_size=60),
    st.lists(st.sampled_from([*INTEGERS, *NUMBERS, None, 'a']), max_size=5),
    st.sampled_from([
        b'', bytes(48), bytes(49), b'\xff' * 48, np.zeros(48), np.zeros((6, 8), np.uint8),
        np.arange(96, dtype=np.uint8)[::2], np.float32([np.nan] * 12), {}, object(), 1j,
        np.uint32(4), np.float32(0.5), array('f', [1.0] * 12), array('d', [1e300]),
        array('B', bytes(48)), memoryview(bytes(48)), SimpleNamespace(),
        [SimpleNamespace(name=[], offset=0, datatype=7)], point_fields((0, 0, 0)),
        point_fields((-4, 4, 8)), point_fields((0, 4, 2**32)), point_fields((1, 3, 7), (2, 4, 1)),
        point_fields((0, 1, 2), (8, 8, 8)), point_fields(datatypes=(7, 7, None)), [None], [[]],
    ]),
)


def check_rejection(error):
    assert error.rule.isidentifier()
    assert str(error).startswith(f'{error.rule}: ')


def decode_and_check(spec, message):
    """Return a measurement, checked, or None if the message is rejected by a rule."""
    try:
        measurement = decode(spec, message)
    except InvalidMessage as error:
        check_rejection(error)
        return None
    values, valid, returned = measurement.values, measurement.valid, measurement.returned
    assert (values.dtype, valid.dtype, returned.dtype) == (np.float32, np.bool_, np.bool_)
    assert (values.shape, valid.shape, returned.shape) == \
        (spec.shape, spec.spatial_shape, spec.spatial_shape)
    assert values.flags.c_contiguous
    assert np.isfinite(values).all()
    assert not (returned & ~valid).any()
    if spec.kind == 'image':
        assert (values.min(), values.max()) >= (0, 0)
        assert values.max() <= 1
    else:
        assert (values[~returned] == 0).all()
        assert ((values[returned] > 0) & (values[returned] < 10.001)).all()
    assert type(measurement.stamp_ns) is int
    assert type(measurement.frame_id) is str
    return measurement


@pytest.mark.parametrize('kind', sorted(SPECS))
def test_the_fuzzing_starts_from_valid_messages(kind):
    assert decode_and_check(SPECS[kind], SimpleNamespace(**valid_fields(kind))) is not None


@pytest.mark.parametrize('kind', sorted(SPECS))
@settings(max_examples=300)
@given(data=st.data())
def test_any_message_becomes_a_measurement_or_is_rejected(kind, data):
    fields = valid_fields(kind)
    names = data.draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=3))
    for name in names:
        fields[name] = data.draw(garbage, label=name)
    decode_and_check(SPECS[kind], SimpleNamespace(**fields))


@pytest.mark.parametrize('kind', sorted(SPECS))
@given(value=garbage)
def test_any_header_is_read_or_rejected(kind, value):
    for name in ('stamp', 'frame_id', 'sec', 'nanosec'):
        fields = valid_fields(kind)
        owner = fields['header'] if name in ('stamp', 'frame_id') else fields['header'].stamp
        setattr(owner, name, value)
        decode_and_check(SPECS[kind], SimpleNamespace(**fields))


@given(
    height=st.integers(1, 6), width=st.integers(1, 6), encoding=st.sampled_from(ENCODINGS),
    step=st.integers(0, 30), short=st.integers(-1, 1), data=st.binary(min_size=200, max_size=200),
    big=st.booleans(),
)
def test_any_small_image_becomes_a_measurement_or_is_rejected(
    height, width, encoding, step, short, data, big
):
    decode_and_check(CAMERA, SimpleNamespace(**{
        **valid_fields('image'), 'height': height, 'width': width, 'encoding': encoding,
        'step': step, 'is_bigendian': big, 'data': data[:max(0, height * step - short)],
    }))


@given(
    height=st.integers(1, 4), width=st.integers(1, 4),
    offsets=st.tuples(*[st.integers(0, 20)] * 3),
    datatypes=st.tuples(*[st.integers(0, 9)] * 3), point_step=st.integers(0, 24),
    padding=st.integers(-1, 5), data=st.binary(min_size=410, max_size=410), big=st.booleans(),
)
def test_any_small_cloud_becomes_a_measurement_or_is_rejected(
    height, width, offsets, datatypes, point_step, padding, data, big
):
    row_step = width * point_step + padding
    decode_and_check(DEPTH, SimpleNamespace(**{
        **valid_fields('cloud'), 'height': height, 'width': width, 'point_step': point_step,
        'fields': point_fields(offsets, datatypes), 'row_step': row_step, 'is_bigendian': big,
        'data': data[:max(0, height * row_step)],
    }))


@given(
    first=st.floats(-13, 13), increment=st.floats(-7, 7), near=st.floats(-1, 3),
    far=st.floats(-1, 30), ranges=st.lists(st.floats(width=32), max_size=20),
)
def test_any_scan_becomes_a_measurement_or_is_rejected(first, increment, near, far, ranges):
    decode_and_check(LIDAR, SimpleNamespace(**{
        **valid_fields('scan'), 'angle_min': first, 'angle_increment': increment,
        'range_min': near, 'range_max': far, 'ranges': ranges,
    }))


@given(start=st.integers(0, 200), octets=st.binary(min_size=1, max_size=8), jpeg=st.booleans())
def test_a_damaged_file_becomes_a_measurement_or_is_rejected(start, octets, jpeg):
    pixels = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32)
    content = bytearray(cv2.imencode('.jpg' if jpeg else '.png', pixels)[1].tobytes())
    content[start:start + len(octets)] = octets
    decode_and_check(CAMERA, SimpleNamespace(**{**valid_fields('compressed'), 'data': content}))


def jpeg_that_claims(rows, columns):
    """Return a small file whose frame header claims a large image."""
    content = bytearray(cv2.imencode('.jpg', np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    frame = content.index(b'\xff\xc0')
    content[frame + 5:frame + 9] = struct.pack('>HH', rows, columns)
    return bytes(content)


def png_that_claims(rows, columns):
    """Return a small file whose header claims a large image."""
    content = png(8, 8)
    return content[:16] + struct.pack('>II', columns, rows) + content[24:]


@pytest.mark.parametrize(('kind', 'rule', 'fields'), [
    ('compressed', 'image_size', {'data': jpeg_that_claims(30000, 30000)}),
    ('compressed', 'image_size', {'data': jpeg_that_claims(0, 8)}),
    ('compressed', 'image_size', {'data': png_that_claims(30000, 30000)}),
    ('compressed', 'image_size', {'data': png_that_claims(2**31 - 1, 2**31 - 1)}),
    ('image', 'step', {'width': 2**32 - 1}),
    ('image', 'data_size', {'height': 2**32 - 1}),
    ('image', 'step', {'step': 2**32 - 1, 'height': 2**32 - 1}),
    ('cloud', 'data_size', {'width': 2**32 - 1, 'point_step': 2**32 - 1, 'row_step': 2**32 - 1}),
    ('cloud', 'data_size', {'height': 2**32 - 1}),
    ('scan', 'angle_increment', {'angle_increment': 1e-12}),
])
def test_a_claimed_size_costs_neither_memory_nor_time(kind, rule, fields):
    message = SimpleNamespace(**{**valid_fields(kind), **fields})
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(InvalidMessage) as caught:
            decode(SPECS[kind], message)
        seconds, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.rule == rule
    assert seconds < 0.5
    assert peak < 1_000_000


@pytest.mark.parametrize('shape', [(1, 70_000), (70_000, 1), (3, 33_000), (33_000, 3)])
def test_images_of_any_proportion_are_resized(shape):
    message = SimpleNamespace(**{
        **valid_fields('image'), 'height': shape[0], 'width': shape[1], 'step': shape[1],
        'data': bytes([51]) * (shape[0] * shape[1]),
    })
    np.testing.assert_allclose(decode(CAMERA, message).values, 0.2, atol=1e-6)

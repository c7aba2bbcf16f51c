# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Clouds: any layout against a loop over the points, the nearest wins, and what is rejected."""

from __future__ import annotations

import math
import struct
from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from m2vae_ros.sensors.kinds import decode, encode
from m2vae_ros.sensors.messages import InvalidMessage, ros_message_classes
from m2vae_ros.specs import Measurement, SensorSpec
from support.packed_clouds import CODES, FLOAT32, FLOAT64, packed_cloud

PI = math.pi
NAN, INF = math.nan, math.inf


def spec(rows=4, columns=8, axes='body', **limits):
    """Return a sensor that makes clouds, of a full turn and half a radian up and down."""
    geometry = {
        'azimuth_min': -PI, 'azimuth_max': PI, 'elevation_min': -0.5, 'elevation_max': 0.5,
        'range_min': 0.5, 'range_max': 50.0, 'axes': axes, **limits,
    }
    return SensorSpec('depth', 'point_cloud', 'points', 'velodyne', (rows, columns), geometry)


def reference(sensor, points):
    """Return distances (NaN: blocked, inf: no point), and where rounding decides (unclear)."""
    rows, columns = sensor.shape
    geometry = sensor.geometry
    image = np.full((rows, columns), INF)
    blocked = np.zeros((rows, columns), bool)
    unclear = np.zeros((rows, columns), bool)
    for x, y, z in points:
        forward, left, up = (x, y, z) if geometry['axes'] == 'body' else (z, -x, -y)
        distance = math.sqrt(x * x + y * y + z * z)
        if not 0 < distance < INF:
            continue
        row = rows * (geometry['elevation_max'] - math.asin(up / distance)) \
            / (geometry['elevation_max'] - geometry['elevation_min'])
        if math.hypot(forward, left) < 1e-3 * distance:  # near a pole any azimuth is possible
            unclear[max(0, math.floor(row - 0.1)):max(0, math.floor(row + 0.1) + 1)] = True
            continue
        span = geometry['azimuth_max'] - geometry['azimuth_min']
        azimuth = math.atan2(left, forward)
        for turn in (-2 * PI, 0, 2 * PI):
            column = columns * (geometry['azimuth_max'] - azimuth - turn) / span
            # Within a thousandth of a radian of a border either cell is right.
            slack_row = 1e-3 * rows / (geometry['elevation_max'] - geometry['elevation_min'])
            slack_column = 1e-3 * columns / span
            cells = {
                (math.floor(row + a), math.floor(column + b))
                for a in (-slack_row, slack_row) for b in (-slack_column, slack_column)
            }
            inside = [(r, c) for r, c in cells if 0 <= r < rows and 0 <= c < columns]
            if len(cells) > 1:
                for cell in inside:
                    unclear[cell] = True
            elif inside and distance < geometry['range_min']:
                blocked[inside[0]] = True
            elif inside:
                image[inside[0]] = min(image[inside[0]], distance)
    return np.where(blocked & (image == INF), NAN, image), unclear


def check(sensor, msg, points):
    """Assert that the cloud decodes as the loop over its points says."""
    image, unclear = reference(sensor, points)
    if not (unclear.any() or np.isnan(image).any() or (image < INF).any()):
        with pytest.raises(InvalidMessage, match=r'no_valid_point|outside_view'):
            decode(sensor, msg)
        return
    if unclear.all():
        return
    try:
        measurement = decode(sensor, msg)
    except InvalidMessage:
        if unclear.any():
            return  # the only point is on the border of the field of view
        raise
    returned = image <= sensor.geometry['range_max']
    clear = ~unclear
    np.testing.assert_array_equal(measurement.valid[clear], ~np.isnan(image)[clear])
    np.testing.assert_array_equal(measurement.returned[clear], returned[clear])
    expected = np.where(returned, image, 0)
    np.testing.assert_allclose(measurement.values[clear], expected[clear], rtol=1e-5)
    assert measurement.values.dtype == np.float32
    assert measurement.values.flags.c_contiguous


# Below 1e-19 m the square is 0 in float32, so such a point is at the origin.
coordinates = st.one_of(
    st.floats(-60, 60, width=32).map(lambda c: 0.0 if abs(c) < 1e-15 else c),
    st.sampled_from([0.0, NAN, INF, -INF]),
)
views = st.builds(
    lambda rows, columns, axes, low, width, bottom, height: spec(
        rows, columns, axes, azimuth_min=low, azimuth_max=min(low + width, 2 * PI),
        elevation_min=bottom, elevation_max=min(bottom + height, PI / 2),
    ),
    st.integers(1, 9), st.integers(1, 9), st.sampled_from(['body', 'optical']),
    st.floats(-2 * PI, PI), st.floats(0.1, 2 * PI), st.floats(-PI / 2, 1), st.floats(0.1, PI),
)


@settings(deadline=None, max_examples=200)
@given(
    sensor=views, points=st.lists(st.tuples(*[coordinates] * 3), min_size=1, max_size=30),
)
def test_a_range_image_is_what_a_loop_over_the_points_says(sensor, points):
    check(sensor, packed_cloud(points), points)


@settings(deadline=None, max_examples=100)
@given(data=st.data(), names=st.permutations(['x', 'y', 'z', 'intensity', 'ring']))
def test_any_order_datatype_padding_and_byte_order_of_fields_reads_the_same(data, names):
    signed = st.sampled_from([1, 3, 5, FLOAT32, FLOAT64])
    datatypes = [data.draw(signed) for _ in names]
    points = data.draw(
        st.lists(st.tuples(*[st.integers(-100, 100)] * 3), min_size=6, max_size=6)
    )
    gaps = [data.draw(st.integers(0, 5)) for _ in range(len(names) + 1)]
    msg = packed_cloud(
        points, names=names, datatypes=datatypes, gaps=gaps,
        height=data.draw(st.sampled_from([1, 2, 3])), row_padding=data.draw(st.integers(0, 9)),
        big=data.draw(st.booleans()),
    )
    check(spec(elevation_min=-PI / 2, elevation_max=PI / 2), msg, points)


@pytest.mark.parametrize('datatype', sorted(CODES))
def test_every_datatype_is_read(datatype):
    msg = packed_cloud([(3, 4, 12)], datatypes=[datatype] * 3)
    sensor = spec(elevation_min=0.0, elevation_max=1.5)
    assert decode(sensor, msg).values.max() == pytest.approx(13)


def test_a_cloud_of_many_blocks_decodes_like_its_points():
    rng = np.random.default_rng(0)
    points = rng.uniform(-40, 40, (200_000, 3)).astype('<f4')
    msg = packed_cloud([(1, 1, 1)])
    msg.width, msg.row_step, msg.data = len(points), 12 * len(points), points.tobytes()
    measurement = decode(spec(), msg)
    x, y, z = points.T.astype(float)
    distance = np.sqrt(x * x + y * y + z * z)
    row = np.floor((0.5 - np.arcsin(z / distance)) * 4).astype(int)
    column = np.floor((PI - np.arctan2(y, x)) / (2 * PI) * 8).astype(int)
    for cell in np.ndindex(4, 8):
        near = distance[(row == cell[0]) & (column == cell[1]) & (distance >= 0.5)].min()
        # The nearest of thousands may sit on a border, where angles are good to 0.01 degrees.
        assert measurement.values[cell] == pytest.approx(near, abs=0.3)


@pytest.mark.parametrize(('axes', 'directions'), [
    ('body', {'left': (0, 1, 0), 'right': (0, -1, 0), 'up': (1, 0, 1), 'down': (1, 0, -1)}),
    ('optical', {'left': (-1, 0, 0), 'right': (1, 0, 0), 'up': (0, -1, 1), 'down': (0, 1, 1)}),
])
def test_up_is_the_first_row_and_left_the_first_columns(axes, directions):
    sensor = spec(2, 2, axes, elevation_min=-1.0, elevation_max=1.0)
    forward = np.array([1, 0, 0] if axes == 'body' else [0, 0, 1])
    for name, direction in directions.items():
        returned = decode(sensor, packed_cloud([tuple(np.add(direction, 0.2 * forward))])).returned
        if name in ('left', 'right'):
            assert returned[:, ['left', 'right'].index(name)].any()
            assert returned.sum() == 1
        else:
            assert returned[['up', 'down'].index(name)].any()


def test_the_nearest_of_several_points_in_a_cell_counts_whatever_their_order():
    for points in ([(9, 1, 1), (3, .4, .4), (6, 1, 1)], [(3, .4, .4), (9, 1, 1), (6, 1, 1)]):
        values = decode(spec(2, 2), packed_cloud(points)).values
        assert values.max() == pytest.approx(math.sqrt(9 + 0.32))
        assert np.count_nonzero(values) == 1


def test_a_cell_with_only_points_that_are_too_near_is_not_valid():
    measurement = decode(spec(2, 2), packed_cloud([(0.2, 0.02, 0.02), (5, -1, 1)]))
    np.testing.assert_array_equal(measurement.valid, [[False, True], [True, True]])
    np.testing.assert_array_equal(measurement.returned, [[False, True], [False, False]])


def test_a_point_beyond_the_range_is_valid_and_not_returned():
    measurement = decode(spec(2, 2), packed_cloud([(80, 8, 8)]))
    assert measurement.valid.all()
    assert not measurement.returned.any()


def test_points_that_are_not_finite_or_at_the_origin_are_ignored():
    good = [(4, 1, 1)]
    bad = [(NAN, 1, 1), (1, NAN, 1), (1, 1, NAN), (INF, 1, 1), (1, -INF, 1), (0, 0, 0)]
    alone = decode(spec(), packed_cloud(good))
    mixed = decode(spec(), packed_cloud(bad[:3] + good + bad[3:]))
    np.testing.assert_array_equal(mixed.values, alone.values)
    np.testing.assert_array_equal(mixed.valid, alone.valid)


def test_data_that_is_not_aligned_is_read():
    points = [(4, 1, 1), (5, -2, 1)]
    msg = packed_cloud(points)
    aligned = decode(spec(), msg)
    msg.data = np.frombuffer(b'\0' + msg.data, np.uint8)[1:]
    np.testing.assert_array_equal(decode(spec(), msg).values, aligned.values)


def test_decoding_neither_changes_the_message_nor_shares_its_memory():
    msg = packed_cloud([(4, 1, 1), (NAN, 1, 1), (5, -2, 1)])
    data = msg.data = bytearray(msg.data)
    before = bytes(data)
    measurement = decode(spec(), msg)
    measurement.values[:] = 2
    assert bytes(data) == before
    assert (measurement.stamp_ns, measurement.frame_id) == (2_000_000_009, 'here')


@pytest.mark.parametrize(('rule', 'changes'), [
    ('empty_cloud', {'width': 0}),
    ('empty_cloud', {'height': 0}),
    ('empty_cloud', {'data': b''}),
    ('fields', {'fields': []}),
    ('fields', {'fields': [SimpleNamespace(name='x', offset=0, datatype=7, count=1)]}),
    ('fields', {'fields': [
        SimpleNamespace(name=name, offset=0, datatype=7) for name in ('X', 'Y', 'Z')
    ]}),
    ('field_type', {'fields': None}),
    ('field_type', {'data': None}),
    ('field_type', {'data': [256] * 48}),
    ('field_type', {'data': np.zeros(48, np.float32)}),
    ('field_type', {'width': 4.0}),
    ('field_type', {'point_step': None}),
    ('message_type', {'fields': [None]}),
    ('empty_cloud', {'width': -4, 'height': -1}),
    ('point_step', {'point_step': 0}),
    ('point_step', {'point_step': 11}),
    ('data_size', {'point_step': 2**32 - 1}),
    ('data_size', {'width': 2**32 - 1}),
    ('data_size', {'width': 2**32 - 1, 'row_step': 0}),
    ('data_size', {'height': 2**32 - 1}),
    ('data_size', {'data': bytes(49)}),
    ('data_size', {'data': bytes(47)}),
    ('row_step', {'height': 2, 'width': 2, 'row_step': 0}),
    ('row_step', {'height': 2, 'width': 2, 'row_step': 23}),
    ('row_step', {'height': 2, 'width': 2, 'row_step': 2**32 - 1}),
    ('data_size', {'height': 2, 'width': 2, 'row_step': 25}),
    ('row_step', {'height': 2, 'width': 2**32 - 1}),
    ('no_valid_point', {'data': struct.pack('12f', *[NAN] * 12)}),
    ('no_valid_point', {'data': bytes(48)}),
    ('outside_view', {'data': struct.pack('12f', *[0, 0, 5] * 4)}),
])
def test_a_malformed_cloud_is_rejected_by_its_rule(rule, changes):
    msg = packed_cloud([(4, 1, 1)] * 4)
    vars(msg).update(changes)
    with pytest.raises(InvalidMessage) as caught:
        decode(spec(), msg)
    assert caught.value.rule == rule
    assert str(caught.value).startswith(f'{rule}: ')


@pytest.mark.parametrize('offset', [-1, -4, 9, 2**32 - 1])
def test_a_field_outside_its_point_is_rejected(offset):
    msg = packed_cloud([(4, 1, 1)])
    msg.fields[1].offset = offset
    with pytest.raises(InvalidMessage, match='field y') as caught:
        decode(spec(), msg)
    assert caught.value.rule == 'point_step'


@pytest.mark.parametrize('datatype', [0, 9, 255])
def test_an_unknown_datatype_is_rejected(datatype):
    msg = packed_cloud([(4, 1, 1)])
    msg.fields[1].datatype = datatype
    with pytest.raises(InvalidMessage, match='field y') as caught:
        decode(spec(), msg)
    assert caught.value.rule == 'datatype'


def test_the_points_of_an_encoded_cloud_lie_in_the_middle_of_their_cells():
    pytest.importorskip('sensor_msgs', reason='needs ROS messages: pip install ros-sensor-msgs')
    values = np.array([[3.0, NAN], [90.0, 0.0]], np.float32)
    returned = np.array([[True, False], [True, False]])
    sensor = spec(2, 2, 'optical', azimuth_min=-0.4, azimuth_max=0.4)
    measurement = Measurement(values, np.ones((2, 2), bool), returned, 5, 'here')
    msg = encode(sensor, measurement, ros_message_classes())
    points = [struct.unpack_from('<fff', bytes(msg.data), 12 * i) for i in range(4)]
    left_up = (-math.cos(0.25) * math.sin(0.2), -math.sin(0.25), math.cos(0.25) * math.cos(0.2))
    left_down = (left_up[0], -left_up[1], left_up[2])
    assert points[0] == pytest.approx([3 * c for c in left_up], abs=1e-5)
    assert points[2] == pytest.approx([50 * c for c in left_down], abs=1e-4)  # the farthest
    assert all(math.isnan(c) for c in points[1] + points[3])
    assert [(f.name, f.offset, f.datatype, f.count) for f in msg.fields] == \
        [('x', 0, 7, 1), ('y', 4, 7, 1), ('z', 8, 7, 1)]
    assert (msg.height, msg.width, msg.point_step, msg.row_step) == (2, 2, 12, 24)
    assert not msg.is_bigendian
    assert not msg.is_dense

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Scans: beams in cells against a slow loop, REP-117, range limits and what is rejected."""

from __future__ import annotations

import math
from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from m2vae_ros.sensors.kinds import decode, encode
from m2vae_ros.sensors.messages import InvalidMessage, ros_message_classes
from m2vae_ros.specs import Measurement, SensorSpec

PI = math.pi
NAN, INF = math.nan, math.inf


def spec(bearings=8, angle_min=-PI, angle_max=PI, range_min=0.1, range_max=10.0):
    """Return a lidar."""
    geometry = {
        'angle_min': angle_min, 'angle_max': angle_max, 'range_min': range_min,
        'range_max': range_max,
    }
    return SensorSpec('lidar', 'laser_scan', 'scan', 'laser', (bearings,), geometry)


def scan(ranges, angle_min=-PI, angle_increment=None, range_min=0.05, range_max=30.0):
    """Return a LaserScan; without an increment it is a full turn."""
    return SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=3, nanosec=4), frame_id='here'),
        angle_min=angle_min, angle_max=0.0, range_min=range_min, range_max=range_max,
        angle_increment=2 * PI / len(ranges) if angle_increment is None else angle_increment,
        ranges=np.asarray(ranges, np.float32),
    )


def at_the_bearings(ranges, sensor=None, **limits):
    """Decode a scan that has one beam in the middle of each of the sensor's cells."""
    sensor = sensor or spec(len(ranges))
    start, stop = sensor.geometry['angle_min'], sensor.geometry['angle_max']
    width = (stop - start) / len(ranges)
    return decode(sensor, scan(ranges, start + width / 2, width, **limits))


def angle_between(a, b):
    """Return the unsigned difference of two directions."""
    return abs(math.remainder(a - b, 2 * PI))


directions = st.floats(-2 * PI, 2 * PI)
specs = st.builds(
    lambda n, low, width: spec(n, low, min(low + width, 2 * PI)),
    st.integers(1, 40), st.floats(-2 * PI, PI), st.floats(0.01, 2 * PI),
)


distances = st.one_of(
    st.sampled_from([NAN, INF, -INF, 0.0, -1.0, 0.01, 0.05, 0.1, 10.0, 10.5, 30.0, 31.0]),
    st.floats(0.125, 10, width=32),
)


@st.composite
def scans(draw):
    """Return scans of at most one turn, with any limits, direction, ranges and number of beams."""
    n = draw(st.integers(1, 120))
    increment = draw(st.floats(1e-3, 2 * PI / n)) * draw(st.sampled_from([-1, 1]))
    few = draw(st.lists(distances, min_size=1, max_size=8))
    return scan([few[i * 7 % len(few)] for i in range(n)], draw(directions), increment)


def cell_by_cell(sensor, msg):
    """Return (valid, distance) of each cell, inf = free; None where rounding decides."""
    n, low = sensor.shape[0], sensor.geometry['angle_min']
    width = (sensor.geometry['angle_max'] - low) / n
    spacing = abs(msg.angle_increment)
    near = max(msg.range_min, sensor.geometry['range_min'])
    far = min(msg.range_max, sensor.geometry['range_max'])
    cells = []
    for i in range(n):
        middle, inside, nearest, is_clear = low + (i + 0.5) * width, [], [], True
        for beam, distance in enumerate(msg.ranges):
            off = angle_between(middle, msg.angle_min + beam * msg.angle_increment)
            is_clear &= abs(off - width / 2) > 2e-3 * min(width, spacing)
            nearest.append((off, distance))
            inside += [distance] * (off < width / 2)
        if not inside:
            nearest.sort(key=lambda pair: pair[0])
            off, distance = nearest[0]
            is_clear &= abs(off - spacing / 2) > 1e-3 * spacing
            is_clear &= len(nearest) == 1 or nearest[1][0] - off > 1e-6 * spacing
            inside = [distance] * (off < spacing / 2)
        valid = [each for each in inside if each >= np.float32(near) and each > 0]
        returned = [each for each in valid if each <= np.float32(far)]
        cells.append((bool(valid), min(returned, default=INF)) if is_clear else None)
    return cells


@settings(deadline=None, max_examples=200)
@given(sensor=specs, msg=scans())
def test_a_cell_has_the_nearest_return_of_its_beams_and_is_free_only_if_all_are(sensor, msg):
    cells = cell_by_cell(sensor, msg)
    clear = [i for i, cell in enumerate(cells) if cell is not None]
    try:
        measurement = decode(sensor, msg)
    except InvalidMessage:
        assert not any(cells[i][0] for i in clear)
        return
    for i in clear:
        valid, distance = cells[i]
        assert (measurement.valid[i], measurement.returned[i]) == (valid, distance < INF)
        assert measurement.values[i] == (distance if distance < INF else 0)


@pytest.mark.parametrize('empty', [INF, NAN, 0.0, -INF])
@pytest.mark.parametrize(('bins', 'apart', 'cells'), [
    (1440, 0.4, 180), (1440, 0.4, 360), (3600, 0.2, 360), (720, 1.0, 180), (2048, 0.33, 512),
])
def test_a_closed_room_is_closed_although_the_driver_has_finer_bins_than_beams(
    empty, bins, apart, cells
):
    ranges = np.full(bins, empty)
    beams = np.arange(apart / 3, 360, apart)
    ranges[(beams / 360 * bins).astype(int)] = 3.0
    measurement = decode(spec(cells), scan(ranges))
    np.testing.assert_array_equal(measurement.values, np.full(cells, 3, np.float32))
    assert measurement.returned.all()


@pytest.mark.parametrize(('beams', 'cells'), [(360, 180), (897, 360), (1081, 90), (100, 7)])
@pytest.mark.parametrize('direction', [1, -1])
def test_what_a_single_beam_hits_is_seen_wherever_it_is(beams, cells, direction):
    for hit in range(beams):
        ranges = np.full(beams, 3.0)
        ranges[hit] = 0.5
        found = decode(spec(cells), scan(ranges, direction * -PI, direction * 2 * PI / beams))
        assert (found.values == 0.5).sum() == 1, hit
        assert (found.values == 3.0).sum() == cells - 1


@pytest.mark.parametrize('cells', [45, 90, 180, 360])
@pytest.mark.parametrize('first', [-PI, 0.0, -PI / 2])
def test_a_beam_on_a_border_is_in_the_cell_that_begins_there(cells, first):
    """Whatever float32 makes of the angles: each beam of a driver of whole degrees is used."""
    ranges = 1 + np.arange(360) / 64
    measurement = decode(
        spec(cells), scan(ranges, float(np.float32(first)), float(np.float32(PI / 180)))
    )
    of_direction = np.roll(ranges, round(math.degrees(first)) + 180)  # from -180 degrees on
    np.testing.assert_array_equal(
        measurement.values, of_direction.reshape(cells, -1).min(axis=1).astype(np.float32)
    )


@pytest.mark.parametrize('beams', [8, 13, 181])
def test_where_beams_are_cells_a_scan_is_taken_as_it_is(beams):
    ranges = np.linspace(0.5, 9.5, beams, dtype=np.float32)
    ranges[beams // 2] = INF
    measurement = at_the_bearings(ranges, spec(beams, -1.2, 1.3))
    seen = ranges < INF
    np.testing.assert_array_equal(measurement.returned, seen)
    np.testing.assert_array_equal(measurement.values, np.where(seen, ranges, np.float32(0)))


def test_a_scan_of_a_part_of_the_view_leaves_the_rest_unknown():
    measurement = decode(spec(36), scan(np.full(91, INF), -PI / 4, PI / 180))
    inside = np.zeros(36, bool)
    inside[13:23] = True  # from -50 degrees up to +50, of which the scan sees -45 to 45
    np.testing.assert_array_equal(measurement.valid, inside)
    assert not measurement.returned.any()


def test_scans_of_changing_beam_counts_decode_each_by_its_own():
    rng = np.random.default_rng(3)
    for beams in rng.integers(200, 900, 20):
        ranges = np.full(beams, 4.0)
        ranges[int(beams * 0.3)] = 1.0
        measurement = decode(spec(90), scan(ranges, -PI))
        assert measurement.values[int(int(beams * 0.3) / beams * 90 + 1e-6)] == 1
        assert (measurement.values == 4).sum() == 89


def test_a_clockwise_scan_decodes_like_the_counter_clockwise_one():
    ranges = np.linspace(1, 5, 91)
    forward = decode(spec(30, -1, 1), scan(ranges, -1.2, 2.4 / 90))
    backward = decode(spec(30, -1, 1), scan(ranges[::-1], 1.2, -2.4 / 90))
    np.testing.assert_array_equal(forward.values, backward.values)
    assert forward.returned.all()


@pytest.mark.parametrize('turn', [-2 * PI, 0, 2 * PI])
@pytest.mark.parametrize('first', [0.0, 1.0, -PI, PI / 2])
def test_wherever_a_full_turn_starts_every_bearing_is_covered(first, turn):
    true = [2 + math.cos(first + i * 2 * PI / 360) for i in range(360)]
    measurement = decode(spec(36), scan(true, first + turn))
    borders = -PI + np.arange(37) * 2 * PI / 36
    assert measurement.returned.all()
    np.testing.assert_allclose(
        measurement.values, 2 + np.minimum(np.cos(borders[:-1]), np.cos(borders[1:])), atol=0.02
    )


def test_few_beams_cover_many_bearings():
    measurement = decode(spec(40), scan([1, 2, 3, 4], -0.75 * PI))
    np.testing.assert_array_equal(measurement.values, np.repeat([1, 2, 3, 4], 10))


def test_bearings_outside_a_narrow_scan_are_not_valid():
    measurement = decode(spec(8), scan([2, 2, 2], -0.1, 0.1))
    np.testing.assert_array_equal(measurement.valid, measurement.returned)
    assert measurement.valid.sum() <= 2
    assert (measurement.values[~measurement.valid] == 0).all()


def test_the_stamp_and_frame_are_the_headers():
    measurement = decode(spec(2), scan([1, 1]))
    assert (measurement.stamp_ns, measurement.frame_id) == (3_000_000_004, 'here')


@pytest.mark.parametrize(('distance', 'valid', 'returned'), [
    (1.0, True, True), (0.1, True, True), (10.0, True, True),  # limits are inside
    (INF, True, False), (10.01, True, False),
    (NAN, False, False), (-INF, False, False), (0.09, False, False), (0.0, False, False),
    (-1.0, False, False),
])
def test_special_ranges_follow_rep_117(distance, valid, returned):
    measurement = at_the_bearings([distance, 5.0])
    assert (measurement.valid[0], measurement.returned[0]) == (valid, returned)
    assert measurement.values[0] == (np.float32(distance) if returned else 0)


@pytest.mark.parametrize(('limits', 'valid', 'returned'), [
    ({'range_min': 2.0, 'range_max': 3.0}, [False, True, True, True], [False, True, False, False]),
    ({'range_min': 0.0, 'range_max': 200.0}, [True, True, True, True], [True, True, True, False]),
    ({'range_min': 0.0, 'range_max': INF}, [True, True, True, True], [True, True, True, False]),
])
def test_the_narrower_of_the_messages_and_the_specs_limits_apply(limits, valid, returned):
    measurement = at_the_bearings([1.5, 2.5, 6.0, 12.0], **limits)
    np.testing.assert_array_equal(measurement.valid, valid)
    np.testing.assert_array_equal(measurement.returned, returned)


def test_a_range_of_zero_is_not_valid_even_if_driver_and_model_allow_it():
    measurement = at_the_bearings([0.0, 1.0], spec(2, range_min=0.0), range_min=0.0)
    np.testing.assert_array_equal(measurement.valid, [False, True])


def test_a_scan_that_sees_nothing_in_range_is_still_a_measurement():
    measurement = at_the_bearings([INF, INF])
    assert measurement.valid.all()
    assert not measurement.returned.any()


@pytest.mark.parametrize(('rule', 'changes'), [
    ('empty_scan', {'ranges': []}),
    ('field_type', {'ranges': np.ones((2, 4), np.float32)}),
    ('field_type', {'ranges': None}),
    ('field_type', {'ranges': 'far'}),
    ('field_type', {'angle_min': None}),
    ('field_type', {'angle_increment': '0.1'}),
    ('field_type', {'range_max': [30.0]}),
    ('field_type', {'range_min': 10**400}),
    ('no_valid_range', {'ranges': [NAN] * 8}),
    ('no_valid_range', {'ranges': [0.0] * 8}),
    ('no_valid_range', {'ranges': [-INF] * 8}),
    ('angle_increment', {'angle_increment': 0.0}),
    ('angle_increment', {'angle_increment': NAN}),
    ('angle_increment', {'angle_increment': INF}),
    ('angle_increment', {'angle_increment': 5e-324}),
    ('angle_increment', {'angle_increment': 45.0}),
    ('angle_increment', {'angle_increment': -45.0}),
    ('angle_increment', {'angle_increment': 45.0, 'ranges': [1.0]}),
    ('angle_min', {'angle_min': NAN}),
    ('angle_min', {'angle_min': -180.0}),
    ('angle_min', {'angle_min': 1e30}),
    ('range_limits', {'range_min': NAN}),
    ('range_limits', {'range_max': NAN}),
    ('range_limits', {'range_min': -1.0}),
    ('range_limits', {'range_min': 3.0, 'range_max': 3.0}),
    ('range_limits', {'range_min': 0.0, 'range_max': 0.0}),
    ('range_limits', {'range_min': INF, 'range_max': INF}),
])
def test_a_malformed_scan_is_rejected_by_its_rule(rule, changes):
    msg = scan(np.ones(8))
    vars(msg).update(changes)
    with pytest.raises(InvalidMessage) as caught:
        decode(spec(8), msg)
    assert caught.value.rule == rule
    assert str(caught.value).startswith(f'{rule}: ')


def test_a_scan_outside_the_field_of_view_is_rejected():
    with pytest.raises(InvalidMessage, match='angle_min and angle_max') as caught:
        decode(spec(4, -0.5, 0.5), scan([1, 1, 1], 2.5, 0.1))
    assert caught.value.rule == 'outside_view'


@pytest.mark.parametrize('field', ['ranges', 'angle_increment', 'header', 'range_max'])
def test_a_missing_field_is_named(field):
    msg = scan([1, 1])
    delattr(msg, field)
    with pytest.raises(InvalidMessage, match=field) as caught:
        decode(spec(2), msg)
    assert caught.value.rule == 'message_type'


def test_an_encoded_scan_has_its_beams_angles_and_keeps_to_its_limits():
    pytest.importorskip('sensor_msgs', reason='needs ROS messages: pip install ros-sensor-msgs')
    values = np.array([12.0, -1.0, 4.0, NAN, 7.0], np.float32)
    returned = np.array([True, True, True, False, False])
    valid = np.array([True, True, True, True, False])
    sensor = spec(5, -1.0, 1.5)
    measurement = Measurement(values, valid, returned, 5, 'here')
    msg = encode(sensor, measurement, ros_message_classes())
    np.testing.assert_array_equal(
        np.asarray(msg.ranges), np.float32([10.0, 0.1, 4.0, INF, NAN])
    )
    assert msg.angle_min == pytest.approx(-0.75)
    assert msg.angle_max == pytest.approx(1.25)
    assert msg.angle_increment == pytest.approx(0.5)
    assert (msg.range_min, msg.range_max) == pytest.approx((0.1, 10.0))

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A bag is decoded once, in several processes, to the sets that a live node would fuse."""

from __future__ import annotations

from collections import defaultdict
import re

import numpy as np
import pytest

from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.storage import BagError
from m2vae_ros.bags.writer import BagWriter, rosbags_classes
from m2vae_ros.fusion.playback import play
from m2vae_ros.fusion.synchronizer import Synchronizer
from m2vae_ros.samples import cache
from m2vae_ros.samples.cache import CacheOptions, open_cache
from m2vae_ros.samples.decoding import RETURNED, VALID, VALUES
from m2vae_ros.sensors.kinds import decode
from m2vae_ros.simulation.native_messages import observe
from m2vae_ros.simulation.robot import Robot, SENSORS
from m2vae_ros.simulation.world import World
from support.bag_files import DELAY_NS, START_NS, write_drive

ALONE = CacheOptions(processes=1)
NAMES = tuple(spec.name for spec in SENSORS)
CAMERA, LIDAR, _ = SENSORS
TOPICS = {'/camera/image_raw': 'camera', '/scan': 'lidar', '/depth/points': 'depth'}


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    """Return a drive of 7 s, more than one slice, of which the lidar is silent for a while."""
    return write_drive(
        tmp_path_factory.mktemp('bags') / 'drive', seconds=7.0, silent={'lidar': (2.0, 4.0)}
    )


@pytest.fixture(scope='module')
def cached(drive):
    """Return the drive, decoded."""
    return open_cache(drive, SENSORS, ALONE)


class Live:
    """Decodes and synchronises as the pipeline does, without inference."""

    def __init__(self):
        self.synchronizer = Synchronizer(NAMES)

    @property
    def next_deadline_ns(self):
        return self.synchronizer.next_deadline_ns

    def receive(self, sensor, message, now_ns):
        measurement = decode(SENSORS[NAMES.index(sensor)], message)
        return self.synchronizer.add(sensor, measurement.stamp_ns, measurement, now_ns)

    def poll(self, now_ns):
        return self.synchronizer.poll(now_ns)


def test_the_sets_are_those_of_a_live_node_incomplete_ones_included(drive, cached):
    with Bag(drive) as bag:
        live = list(play(Live(), [(TOPICS[m[0]], *m[1:]) for m in bag.messages(TOPICS)]))
    assert cached.sets.stamps.tolist() == [fused_set.stamp_ns for fused_set in live]
    assert len({tuple(fused_set.items) for fused_set in live}) > 1
    for column, spec in enumerate(SENSORS):
        rows = cached.sets.rows[:, column]
        assert [row != -1 for row in rows] == [spec.name in fused_set.items for fused_set in live]
        measurements = [each.items[spec.name] for each in live if spec.name in each.items]
        values = cached.take(spec, VALUES, rows[rows != -1])
        expected = np.stack([measurement.values for measurement in measurements])
        if spec is CAMERA:
            expected = np.rint(expected * 255)
        np.testing.assert_array_equal(values, expected)
        for part in (VALID, RETURNED)[:1 if spec is CAMERA else 2]:
            taken = cached.take(spec, part, rows[rows != -1])
            expected = [getattr(measurement, part) for measurement in measurements]
            np.testing.assert_array_equal(taken, expected)


def test_several_processes_write_the_same_files(drive, cached, tmp_path):
    other = open_cache(drive, SENSORS, CacheOptions(str(tmp_path), processes=2))
    for file in cached.folder.iterdir():
        assert (other.folder / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize(('storage', 'compression'), [('sqlite3', 'zstd'), ('mcap', 'zstd')])
def test_processes_read_compressed_bags(tmp_path, storage, compression):
    """Compressed files are decompressed once for all of them."""
    drive = {'seconds': 6.0, 'sensors': ('lidar',)}
    bags = [
        write_drive(tmp_path / 'plain', **drive),
        write_drive(tmp_path / 'packed', storage=storage, compression=compression, **drive),
    ]
    plain, packed = (open_cache(bag, [LIDAR], CacheOptions(processes=2)) for bag in bags)
    for file in ('lidar.values', 'lidar.times', 'sets.npy'):
        assert (plain.folder / file).read_bytes() == (packed.folder / file).read_bytes()


def test_a_year_without_a_message_takes_no_time(tmp_path):
    """As when the clock was set during a recording."""
    year = 365 * 24 * 3600 * 10**9
    with BagWriter(tmp_path / 'drive') as writer:
        writer.add_topic('/scan', 'sensor_msgs/msg/LaserScan')
        for start in (START_NS, START_NS + year):
            robot = Robot(World(0))
            for stamp in range(start, start + 10**9, 10**8):
                writer.write('/scan', stamp, observe(robot, 'lidar', stamp, rosbags_classes()))
    cached = open_cache(tmp_path / 'drive', [LIDAR], ALONE)
    assert len(cached.sets) == 20


def test_a_cache_is_found_again_and_nothing_is_decoded(drive, cached, monkeypatch):
    monkeypatch.setattr(cache, 'decode_bag', None)
    again = open_cache(drive, SENSORS, ALONE)
    assert again.folder == cached.folder
    assert again.folder.parent == drive.with_name('drive.m2vae_cache')
    np.testing.assert_array_equal(again.sets.rows, cached.sets.rows)


def test_a_damaged_cache_is_decoded_again_and_said(tmp_path, capfd):
    bag = write_drive(tmp_path / 'drive', seconds=1.0)
    values = open_cache(bag, [LIDAR], ALONE).folder / 'lidar.values'
    sound = values.read_bytes()
    values.write_bytes(sound[:100] + bytes([sound[100] ^ 1]) + sound[101:])
    capfd.readouterr()
    assert open_cache(bag, [LIDAR], ALONE).folder == values.parent
    assert 'lidar.values: damaged; the bag is decoded again' in capfd.readouterr().err
    assert values.read_bytes() == sound
    open_cache(bag, [LIDAR], ALONE)
    assert 'damaged' not in capfd.readouterr().err


def test_other_settings_make_another_cache(drive, cached):
    folders = {cached.folder} | {
        open_cache(drive, sensors, options, synchronizer=synchronizer).folder
        for sensors, options, synchronizer in (
            (SENSORS[1:], ALONE, {}),
            (SENSORS, CacheOptions(processes=1, clock='header'), {}),
            (SENSORS, ALONE, {'slop': 0.02}),
        )
    }
    assert len(folders) == 4


def test_other_content_under_the_same_name_is_not_confused(tmp_path):
    bag = write_drive(tmp_path / 'drive', seconds=1.0, sensors=('lidar',))
    first = open_cache(bag, [LIDAR], ALONE)
    bag.rename(tmp_path / 'old')
    second = open_cache(
        write_drive(bag, seconds=1.0, sensors=('lidar',), seed=1), [LIDAR], ALONE
    )
    assert first.folder != second.folder
    assert first.folder.parent == second.folder.parent


def test_unusable_messages_are_counted_and_reported(tmp_path):
    def broken(topic, count, message):
        if topic == '/scan' and count < 3:
            message.ranges[:] = np.nan
        return message

    bag = write_drive(tmp_path / 'drive', seconds=1.0, change=broken)
    cached = open_cache(bag, SENSORS, ALONE)
    assert cached.description['invalid'] == {
        'camera': {}, 'lidar': {'no_valid_range': 3}, 'depth': {}
    }
    assert cached.description['decoded']['lidar'] == 7
    sets, lidar = cached.report()
    assert f'{len(cached.sets)} fused sets' in sets
    assert 'camera+lidar+depth' in sets
    assert 'topic /scan: 3 of 10 messages cannot be used (no_valid_range 3)' in lidar


def zero(topic, count, message):
    if topic == '/scan':
        message.header.stamp.sec = message.header.stamp.nanosec = 0
    return message


def hour_late(topic, count, message):
    if topic == '/scan':
        message.header.stamp.sec -= 3600
    return message


def not_a_number(topic, count, message):
    if topic == '/scan':
        message.ranges[:] = np.nan
    return message


def half_turn(topic, count, message):
    if topic == '/scan' and count >= 5:
        message.angle_max = message.angle_min + message.angle_increment * 179
        message.ranges = message.ranges[:180]
    return message


def in_turn(topic, count, message):
    """Keep the lidar's messages in the first half of the drive, the others in the second half."""
    return message if (topic == '/scan') == (message.header.stamp.nanosec < 500_000_000) else None


@pytest.mark.parametrize(('change', 'expected'), [
    (zero, 'all 10 messages are stamped with time 0.* the driver stamping'),
    (hour_late, r'all 10 stamps lie 3600\.0 s before the time of recording: with '
                r'--offset lidar=-3600, 100% of the messages'),
    (not_a_number, 'none of 10 messages can be used; the first: no_valid_range: none'),
    (half_turn, r'the scan changes 0\.5 s after the start from 360 beams .* to 180 beams .*'
                '--allow-geometry-changes'),
    (in_turn, r'none of its \d+ messages has a stamp close to one of another sensor \(stamps: '
              r'/camera/image_raw .* s; /scan .* s; /depth/points .* s\): record them together'),
])
def test_what_cannot_be_fused_is_one_clear_error(tmp_path, change, expected):
    bag = write_drive(tmp_path / 'drive', seconds=1.0, change=change)
    topic = 'topic /' if change is in_turn else 'topic /scan'
    with pytest.raises(BagError, match=f'{bag}: {topic}.*: {expected}') as caught:
        open_cache(bag, SENSORS, ALONE)
    assert '\n' not in str(caught.value)
    assert not [path for path in bag.with_name('drive.m2vae_cache').iterdir() if path.is_dir()]


def test_a_scan_that_changes_is_accepted_if_that_is_allowed(tmp_path):
    bag = write_drive(tmp_path / 'drive', seconds=1.0, change=half_turn)
    cached = open_cache(bag, SENSORS, CacheOptions(processes=1, allow_geometry_changes=True))
    valid = cached.take(LIDAR, VALID, np.arange(10))
    assert valid[0].all()
    assert valid[9][:89].all()
    assert not valid[9][91:-1].any()  # the last cell is next to the first


def test_stamps_of_another_time_can_be_the_clock(tmp_path):
    def of_another_time(topic, count, message):
        message.header.stamp.sec -= 1_000_000
        return message

    bag = write_drive(tmp_path / 'drive', seconds=1.0, change=of_another_time)
    with pytest.raises(BagError, match=r'topic /camera/image_raw: .*--clock header'):
        open_cache(bag, SENSORS, ALONE)
    by_stamps = open_cache(bag, SENSORS, CacheOptions(processes=1, clock='header'))
    plain = open_cache(
        write_drive(tmp_path / 'plain', seconds=1.0), SENSORS,
        CacheOptions(processes=1, clock='header'),
    )
    np.testing.assert_array_equal(by_stamps.sets.rows, plain.sets.rows)


@pytest.mark.parametrize('clock', ['receive', 'header'])
def test_the_clock_of_one_sensor_is_corrected_by_the_offset_that_the_error_names(tmp_path, clock):
    def ahead(topic, count, message):
        message.header.stamp.sec += 37 if topic == '/depth/points' else 0
        return message

    options = CacheOptions(processes=1, clock=clock)
    bag = write_drive(tmp_path / 'drive', seconds=2.0, change=ahead)
    with pytest.raises(BagError, match='with --offset depth=37, 100% of the messages'):
        open_cache(bag, SENSORS, options)
    corrected = open_cache(bag, SENSORS, options, offsets={'depth': 37.0})
    plain = open_cache(write_drive(tmp_path / 'plain', seconds=2.0), SENSORS, options)
    np.testing.assert_array_equal(corrected.sets.rows, plain.sets.rows)
    np.testing.assert_array_equal(corrected.sets.stamps, plain.sets.stamps)


def test_a_late_sensor_is_named_with_the_wait_that_fuses_it(tmp_path):
    bag = write_drive(tmp_path / 'drive', seconds=3.0, change=late_depth)
    with pytest.raises(BagError, match=r'none of its 36 messages was fused .*: with ') as caught:
        open_cache(bag, SENSORS, ALONE)
    changes = dict(re.findall(r'--([a-z-]+) ([0-9.]+)', str(caught.value)))
    assert {'max-wait', 'timeout'} <= set(changes)
    cure = {name.replace('-', '_'): float(value) for name, value in changes.items()}
    cure['queue_size'] = int(cure['queue_size'])
    cured = open_cache(bag, SENSORS, ALONE, synchronizer=cure)
    assert not any('CAUTION' in line for line in cured.report())
    assert cured.sets.subset_counts()['camera+lidar+depth'] > 20


def late_depth(topic, count, message):
    if topic == '/depth/points':
        stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec - 600_000_000
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return message


def test_receive_times_are_the_clock_and_not_the_stamps(cached, drive):
    """In the cache, times of receipt are later than stamps by the delay of the messages."""
    assert np.all(np.diff(cached.sets.stamps) > 0)
    times = np.fromfile(cached.folder / 'lidar.times', np.int64).reshape(-1, 3)
    assert set(times[:, 0] - times[:, 1]) == {DELAY_NS}


def test_sets_by_their_sensors_add_up(cached):
    counts = cached.sets.subset_counts()
    assert sum(counts.values()) == len(cached.sets)
    expected = defaultdict(int)
    for row in cached.sets.rows != -1:
        expected['+'.join(np.array(NAMES)[row])] += 1
    assert counts == expected
    assert list(counts.values()) == sorted(counts.values(), reverse=True)

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What a bag says is decoded once, in several processes, and is what a live node would fuse."""

from __future__ import annotations

from collections import defaultdict
import errno
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

from bag_files import DELAY_NS, START_NS, write_drive
import numpy as np
import pytest

from m2vae_ros.fusion.playback import play
from m2vae_ros.fusion.synchronizer import Synchronizer
from m2vae_ros.learning import cache, cache_folder
from m2vae_ros.learning.bag_writer import BagWriter, rosbags_classes
from m2vae_ros.learning.bags import Bag, BagError
from m2vae_ros.learning.cache import CacheOptions, open_cache
from m2vae_ros.learning.decoding import RETURNED, VALID, VALUES
from m2vae_ros.sensors import decode
from m2vae_ros.simulation.native_messages import observe
from m2vae_ros.simulation.robot import Robot, SENSORS
from m2vae_ros.simulation.world import World

ALONE = CacheOptions(processes=1)
NAMES = tuple(spec.name for spec in SENSORS)
CAMERA, LIDAR, DEPTH = SENSORS
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
    """The road of the pipeline up to the sets."""

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
    assert cached.sets.stamps.tolist() == [one.stamp_ns for one in live]
    assert len({tuple(one.items) for one in live}) > 1
    for column, spec in enumerate(SENSORS):
        rows = cached.sets.rows[:, column]
        assert [row != -1 for row in rows] == [spec.name in one.items for one in live]
        seen = [one.items[spec.name] for one in live if spec.name in one.items]
        values = cached.take(spec, VALUES, rows[rows != -1])
        expected = np.stack([one.values for one in seen])
        if spec is CAMERA:
            expected = np.rint(expected * 255)
        np.testing.assert_array_equal(values, expected)
        for part in (VALID, RETURNED)[:1 if spec is CAMERA else 2]:
            taken = cached.take(spec, part, rows[rows != -1])
            np.testing.assert_array_equal(taken, [getattr(one, part) for one in seen])


def test_several_processes_write_the_same_files(drive, cached, tmp_path):
    other = open_cache(drive, SENSORS, CacheOptions(str(tmp_path), processes=2))
    for file in cached.folder.iterdir():
        assert (other.folder / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize(('storage', 'compression'), [('sqlite3', 'zstd'), ('mcap', 'zstd')])
def test_processes_read_compressed_bags(tmp_path, storage, compression):
    """A file that is compressed as a whole is unpacked for them once."""
    drive = {'seconds': 6.0, 'sensors': ('lidar',)}
    bags = [
        write_drive(tmp_path / 'plain', **drive),
        write_drive(tmp_path / 'packed', storage=storage, compression=compression, **drive),
    ]
    one, other = (open_cache(bag, [LIDAR], CacheOptions(processes=2)) for bag in bags)
    for file in ('lidar.values', 'lidar.times', 'sets.npy'):
        assert (one.folder / file).read_bytes() == (other.folder / file).read_bytes()


def test_a_year_without_a_message_takes_no_time(tmp_path):
    """As where a clock was set while a recording ran."""
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


def test_a_damaged_cache_is_made_again(tmp_path):
    bag = write_drive(tmp_path / 'drive', seconds=1.0, sensors=('lidar',))
    first = open_cache(bag, [LIDAR], ALONE)
    values = first.take(LIDAR, VALUES, np.arange(3))
    file = first.folder / 'lidar.values'
    file.write_bytes(file.read_bytes()[:-100])
    again = open_cache(bag, [LIDAR], ALONE)
    np.testing.assert_array_equal(again.take(LIDAR, VALUES, np.arange(3)), values)
    assert file.stat().st_size == 10 * 180 * 4


def test_a_killed_process_leaves_nothing_that_is_read(drive, cached, tmp_path):
    folder = tmp_path / 'cache'
    process = subprocess.Popen([
        sys.executable, '-c',
        'import sys, time\n'
        'from m2vae_ros.learning import cache\n'
        'from m2vae_ros.simulation.robot import SENSORS\n'
        'cache.fuse = lambda *args, **options: time.sleep(600)\n'  # all but the table is there
        'cache.open_cache(sys.argv[1], SENSORS, cache.CacheOptions(sys.argv[2], processes=1))',
        str(drive), str(folder),
    ], stderr=subprocess.DEVNULL)
    whole = (cached.folder / 'depth.times').stat().st_size
    deadline = time.monotonic() + 60
    while sum(file.stat().st_size for file in folder.glob('.*.part/depth.times')) < whole:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(folder.glob('.*.part'))
    again = open_cache(drive, SENSORS, CacheOptions(str(folder), processes=1))
    assert not list(folder.glob('.*.part'))
    for file in cached.folder.iterdir():
        assert (again.folder / file.name).read_bytes() == file.read_bytes(), file.name


def test_decoding_processes_end_with_the_one_that_started_them(drive, tmp_path):
    """Children that went on would hold the disk and the memory that the next try needs."""
    process = subprocess.Popen([
        sys.executable, '-c',
        'import os, signal, sys\n'
        'from m2vae_ros.learning import cache, decoding\n'
        'from m2vae_ros.simulation.robot import SENSORS\n'
        'def killed(source, target):\n'
        '    children = open(f"/proc/self/task/{os.getpid()}/children").read()\n'
        '    print(children, flush=True)\n'
        '    os.kill(os.getpid(), signal.SIGKILL)\n'
        'decoding._append = killed\n'
        'if __name__ == "__main__":\n'
        '    cache.open_cache(sys.argv[1], SENSORS, cache.CacheOptions(sys.argv[2]))',
        str(drive), str(tmp_path),
    ], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    children = process.communicate(timeout=60)[0].split()
    assert len(children) >= 2
    assert process.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while any(_runs(child) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _runs(pid):
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] not in 'ZX'
    except FileNotFoundError:
        return False


def test_of_two_processes_at_once_one_decodes(drive, tmp_path):
    script = (
        'import sys\n'
        'from m2vae_ros.learning.cache import CacheOptions, open_cache\n'
        'from m2vae_ros.simulation.robot import SENSORS\n'
        'cached = open_cache(sys.argv[1], SENSORS, CacheOptions(sys.argv[2], processes=1))\n'
        'print(len(cached.sets))'
    )
    both = [
        subprocess.Popen([sys.executable, '-c', script, str(drive), str(tmp_path)],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=100) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert said[0][0] == said[1][0] != ''
    assert sum('decoding drive' in error for _, error in said) == 1
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


def test_messages_of_no_use_are_counted_and_told(tmp_path):
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
    assert 'topic /scan: 3 of 10 messages are of no use (no_valid_range 3)' in lidar


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
    """One half of the drive is the lidar's, the other that of all others."""
    return message if (topic == '/scan') == (message.header.stamp.nanosec < 500_000_000) else None


@pytest.mark.parametrize(('change', 'expected'), [
    (zero, 'all 10 messages are stamped with time 0.* the driver stamping'),
    (hour_late, r'all 10 stamps lie 3600\.0 s before the time of recording: .*--clock header'),
    (not_a_number, 'not one of 10 messages can be used; the first: no_valid_range: none'),
    (half_turn, r'the scan changes 0\.5 s after the start from 360 beams .* to 180 beams .*'
                '--allow-geometry-changes'),
    (in_turn, r'none of its \d+ messages is of the time of another sensor \(stamps: '
              r'/camera/image_raw .* s; /scan .* s; /depth/points .* s\): record them together'),
])
def test_what_cannot_be_fused_is_one_clear_error(tmp_path, change, expected):
    bag = write_drive(tmp_path / 'drive', seconds=1.0, change=change)
    topic = 'topic /' if change is in_turn else 'topic /scan'
    with pytest.raises(BagError, match=f'{bag}: {topic}.*: {expected}') as caught:
        open_cache(bag, SENSORS, ALONE)
    assert '\n' not in str(caught.value)
    assert not [path for path in bag.with_name('drive.m2vae_cache').iterdir() if path.is_dir()]


def test_a_scan_that_changes_is_taken_where_that_is_allowed(tmp_path):
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


def test_a_folder_that_cannot_be_written_is_named_with_the_fix(drive, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(ValueError, match=f'{tmp_path}/file.*--cache'):
        open_cache(drive, SENSORS, CacheOptions(f'{tmp_path}/file/cache', processes=1))


def test_a_finished_cache_needs_no_writing(drive, cached, monkeypatch):
    def refused(*args, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, 'mkdir', refused)
    monkeypatch.setattr(cache, 'turn', refused)
    assert len(open_cache(drive, SENSORS, ALONE).sets) == len(cached.sets)


def test_a_disk_too_small_is_told_before_anything_is_decoded(drive, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_folder.shutil, 'disk_usage', lambda path: SimpleNamespace(free=2e6))
    monkeypatch.setattr(cache, 'decode_bag', None)
    with pytest.raises(ValueError, match=r'takes \d+ MB, only 2 MB are free.*--cache'):
        open_cache(drive, SENSORS, CacheOptions(str(tmp_path), processes=1))


def test_a_disk_that_fills_up_is_one_error_and_nothing_is_left(drive, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache.np, 'save', full)
    with pytest.raises(ValueError, match=f'{tmp_path}: No space left on device.*--cache'):
        open_cache(drive, SENSORS, CacheOptions(str(tmp_path), processes=1))
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_receive_times_are_the_clock_and_not_the_stamps(cached, drive):
    """The last set leaves after its stamp by at least the time that messages took."""
    assert np.all(np.diff(cached.sets.stamps) > 0)
    times = np.fromfile(cached.folder / 'lidar.times', np.int64).reshape(-1, 3)
    assert set(times[:, 0] - times[:, 1]) == {DELAY_NS}


def test_sets_by_their_sensors_add_up(cached):
    counts = cached.sets.subsets()
    assert sum(counts.values()) == len(cached.sets)
    expected = defaultdict(int)
    for row in cached.sets.rows != -1:
        expected['+'.join(np.array(NAMES)[row])] += 1
    assert counts == expected
    assert list(counts.values()) == sorted(counts.values(), reverse=True)

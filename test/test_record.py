# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""`m2vae record`: a simulated drive to a bag, with faults of its sensors."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
import math
import signal
import subprocess
import sys

import numpy as np
import pytest

from m2vae_ros import cli
from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.writer import BagWriter
from m2vae_ros.samples.recording import drive, DriveOptions, START_NS
from m2vae_ros.sensors.kinds import decode
from m2vae_ros.sensors.messages import InvalidMessage
from m2vae_ros.simulation.fault_schedule import KINDS, parse
from m2vae_ros.simulation.robot import SENSORS

CAMERA, LIDAR, DEPTH = SENSORS
SPECS = {spec.name: spec for spec in SENSORS}
SHORT = DriveOptions(seconds=2.0, seed=7)


def stamp_of(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def sent(*faults, options=SHORT):
    """Return topic without the first slash -> list of (seconds of the drive, message)."""
    by_topic = defaultdict(list)
    for topic, receive_ns, message in drive(options, [parse(fault, SENSORS) for fault in faults]):
        by_topic[topic[1:]].append(((receive_ns - START_NS) * 1e-9, message))
    return by_topic


@pytest.fixture(scope='module')
def healthy():
    return sent()


def command(*words):
    return cli.main(['record', *map(str, words)])


@pytest.mark.parametrize(('storage', 'compression', 'camera'), [
    ('mcap', None, 'raw'), ('sqlite3', None, 'jpeg'), ('mcap', 'zstd', 'jpeg'),
])
def test_the_bag_holds_what_the_robot_saw(tmp_path, capsys, storage, compression, camera):
    words = ['--storage', storage, '--camera', camera, '--seconds', 1.5]
    words += ['--compression', compression] if compression else []
    assert command('--out', tmp_path / 'bag', *words) == 0
    output = capsys.readouterr()
    assert 'times real time' in output.out
    assert 'of 2 s' in output.err  # the progress bar
    topics = {'camera': '/camera/image_raw' + '/compressed' * (camera == 'jpeg'),
              'lidar': '/scan', 'depth': '/depth/points'}
    with Bag(tmp_path / 'bag') as bag:
        assert set(bag.topics) == {*topics.values(), '/robot/pose'}
        counts = {name: bag.topics[topic].count for name, topic in topics.items()}
        assert counts == {'camera': 45, 'lidar': 15, 'depth': 18}
        assert bag.topics['/robot/pose'].count == 30
        for name, topic in topics.items():
            assert f'{counts[name]:7} x {topic} ' in output.out
            for received in bag.messages([topic]):
                measurement = decode(SPECS[name], received.message)
                assert measurement.valid.mean() > 0.9
                assert 0 <= received.receive_ns - measurement.stamp_ns < 20e6


def test_a_jpeg_shows_the_raw_image(healthy):
    compressed = sent(options=replace(SHORT, camera='jpeg'))['camera/image_raw/compressed']
    raw = healthy['camera/image_raw']
    assert len(compressed) == len(raw)
    for (_, jpeg), (_, image) in zip(compressed[::10], raw[::10], strict=True):
        assert stamp_of(jpeg) == stamp_of(image)
        difference = decode(CAMERA, jpeg).values - decode(CAMERA, image).values
        assert np.abs(difference).max() < 0.08


def test_the_seed_determines_every_byte(tmp_path):
    for name, seed in (('a', 3), ('b', 3), ('c', 4)):
        command('--out', tmp_path / name, '--seconds', 1, '--seed', seed, '--fault',
                'lidar:lost=0.3')
    bags = []
    for name in 'abc':
        with Bag(tmp_path / name) as bag:
            bags.append(list(bag.serialized()))
    assert bags[0] == bags[1]
    assert bags[0] != bags[2]


def test_the_pose_is_the_robots(healthy):
    places = np.array([
        [message.pose.position.x, message.pose.position.y] for _, message in healthy['robot/pose']
    ])
    steps = np.hypot(*np.diff(places, axis=0).T)
    assert steps.max() < 0.05
    assert steps.sum() > 0.1
    _, last = healthy['robot/pose'][-1]
    assert math.isclose(last.pose.orientation.z**2 + last.pose.orientation.w**2, 1)


def test_a_fault_lasts_from_its_begin_to_its_end(healthy):
    found = sent('camera:silent@0.5-1.25', 'lidar:silent@1-')
    wanted = [t for t, _ in healthy['camera/image_raw'] if not 0.5 <= t < 1.25]
    assert [t for t, _ in found['camera/image_raw']] == wanted
    assert [t for t, _ in found['scan']] == [t for t, _ in healthy['scan'] if t < 1]
    assert len(found['depth/points']) == len(healthy['depth/points'])


def test_a_share_of_the_messages_is_lost():
    found = sent('lidar:lost=0.5', options=replace(SHORT, seconds=20))
    assert 60 < len(found['scan']) < 140  # of 200


def test_stamps_stand_still_are_zero_or_ahead(healthy):
    true = [stamp_of(message) for _, message in healthy['scan']]
    frozen = [stamp_of(message) for _, message in sent('lidar:frozen@1-')['scan']]
    assert frozen == true[:10] + [true[9]] * 10
    zero = [stamp_of(message) for _, message in sent('lidar:zero@1-')['scan']]
    assert zero == true[:10] + [0] * 10
    ahead = [stamp_of(message) for _, message in sent('lidar:offset=0.25@0-1')['scan']]
    assert ahead == [stamp + 250_000_000 for stamp in true[:10]] + true[10:]
    behind = [stamp_of(message) for _, message in sent('lidar:offset=-1e12')['scan']]
    assert set(behind) == {0}


def test_a_stuck_camera_repeats_its_image_under_fresh_stamps(healthy):
    stuck = sent('camera:stuck@1-')['camera/image_raw']
    held = [message for t, message in stuck if t >= 1]
    before = [message for t, message in stuck if t < 1][-1]
    assert all(np.array_equal(message.data, before.data) for message in held)
    assert [stamp_of(message) for _, message in stuck] == \
        [stamp_of(message) for _, message in healthy['camera/image_raw']]


@pytest.mark.parametrize('name', ['lidar', 'depth'])
def test_ranges_that_are_nan_are_invalid(name):
    spec = SPECS[name]
    for t, message in sent(f'{name}:nan@1-')[spec.topic]:
        if t < 1:
            assert decode(spec, message).valid.any()
        else:
            with pytest.raises(InvalidMessage):
                decode(spec, message)


def test_a_narrow_scan_sees_the_front_half(healthy):
    narrow = sent('lidar:narrow')['scan']
    for (_, scan), (_, whole) in zip(narrow, healthy['scan'], strict=True):
        assert len(scan.ranges) == len(whole.ranges) // 2
        assert scan.angle_min == pytest.approx(-math.pi / 2, abs=0.02)
        assert scan.angle_max == pytest.approx(math.pi / 2, abs=0.02)
        valid = decode(LIDAR, scan).valid
        assert not valid[:40].any()
        assert valid[50:130].mean() > 0.9


def test_an_encoding_is_what_the_fault_says():
    for _, message in sent('camera:encoding=bayer_what')['camera/image_raw'][:2]:
        with pytest.raises(InvalidMessage, match='encoding'):
            decode(CAMERA, message)
    jpeg = sent('camera:encoding=bgr8', options=replace(SHORT, camera='jpeg'))
    _, message = jpeg['camera/image_raw/compressed'][0]
    assert message.format.startswith('bgr8;')


@pytest.mark.parametrize(('fault', 'reason'), [
    ('camera', 'must be SENSOR:KIND'),
    ('camera:silent@', 'must be SENSOR:KIND'),
    ('camera:silent@5', 'must be SENSOR:KIND'),
    ('camera:silent@20-10', 'FROM must be before TO'),
    ('camera:silent@90-', 'is over'),
    ('sonar:silent', "no sensor 'sonar'; use camera, lidar, depth"),
    ('camera:nan', 'is not a fault of the camera; use silent'),
    ('lidar:asleep', 'is not a fault of the lidar'),
    ('lidar:lost', 'must be lost=SHARE'),
    ('lidar:lost=2', 'must be a share in 0..1'),
    ('lidar:offset=soon', 'must be a number of seconds'),
    ('lidar:offset=inf', 'must be a number of seconds'),
    ('lidar:silent=1', 'must be silent'),
])
def test_a_wrong_fault_is_one_line_that_says_what_would_be_right(tmp_path, capsys, fault, reason):
    assert command('--out', tmp_path / 'bag', '--fault', fault) == 2
    output = capsys.readouterr().err
    assert output.startswith('m2vae: error:')
    assert output.count('\n') == 1
    assert fault in output
    assert reason in output
    assert list(tmp_path.iterdir()) == []


def test_every_kind_of_fault_is_in_the_help(capsys):
    with pytest.raises(SystemExit):
        cli.main(['record', '--help'])
    output = capsys.readouterr().out
    for name, kind in KINDS.items():
        assert f'  {name}' in output
        assert kind.meaning in output


@pytest.mark.parametrize(('words', 'reason'), [
    (['--seconds', '0'], '--seconds 0'),
    (['--seconds', 'nan'], '--seconds nan'),
    (['--seed', '-1'], '--seed -1'),
    (['--stamp-jitter', '-1'], '--stamp-jitter'),
])
def test_wrong_options_are_refused(tmp_path, capsys, words, reason):
    assert command('--out', tmp_path / 'bag', *words) == 2
    assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path, capsys):
    (tmp_path / 'bag').mkdir()
    assert command('--out', tmp_path / 'bag', '--seconds', 1) == 2
    assert 'exists' in capsys.readouterr().err
    assert list((tmp_path / 'bag').iterdir()) == []


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_full_disk_leaves_nothing_and_says_so(tmp_path, storage):
    script = (
        'import resource, sys\nfrom m2vae_ros.cli import main\n'
        'resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))\n'
        'sys.exit(main(sys.argv[1:]))'
    )
    result = subprocess.run(
        [sys.executable, '-c', script, 'record', '--out', str(tmp_path / 'bag'), '--storage',
         storage], capture_output=True, text=True,
    )
    assert result.returncode == 2
    assert f'm2vae: error: {tmp_path / "bag"}: cannot be written' in result.stderr
    assert 'Traceback' not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_recording_leaves_nothing(tmp_path, number):
    process = begin(tmp_path / 'bag')
    try:
        process.send_signal(number)
        _, rest = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 130
    assert 'Traceback' not in rest
    assert list(tmp_path.iterdir()) == []


def begin(out):
    """Start a long recording and return its process once it drives."""
    process = subprocess.Popen(
        [sys.executable, '-m', 'm2vae_ros.cli', 'record', '--out', str(out), '--seconds', '3600',
         '--camera', 'jpeg'],
        stderr=subprocess.PIPE, text=True, bufsize=1,
    )
    said = ''
    while ' 1 of 3600' not in said:
        said += process.stderr.read(1)
        assert process.poll() is None
    return process


def test_what_a_killed_recording_left_goes_with_the_next_and_nothing_else(tmp_path):
    out = tmp_path / 'bag'
    beside = [tmp_path / name for name in ('.bag.old', '.bag.bag.mine', '.bag.bag.abcdefgh.tar')]
    for folder in beside:
        folder.mkdir()
    going_on, killed = begin(out), begin(out)
    try:
        folders = set(tmp_path.iterdir()) - set(beside)
        assert len(folders) == 2
        killed.kill()
        killed.wait()
        assert cli.main(['record', '--out', str(out), '--seconds', '1', '--camera', 'jpeg']) == 0
        (spared,) = set(tmp_path.iterdir()) - {*beside, out}
        assert spared in folders
        assert list(spared.glob('bag/*')), 'that of the recording that goes on'
    finally:
        going_on.kill()
        going_on.wait()
    assert cli.main(['record', '--out', str(tmp_path / 'other'), '--seconds', '1']) == 0
    assert spared.exists()
    BagWriter(out.rename(tmp_path / 'moved').with_name('bag')).abandon()
    assert set(tmp_path.iterdir()) == {*beside, tmp_path / 'moved', tmp_path / 'other'}

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A recording without some of the model's sensors is evaluated as a node would go on, and told."""

from __future__ import annotations

import json

import numpy as np
import pytest

rosbags = pytest.importorskip('rosbags', reason='needs rosbags: pip install rosbags')

from m2vae_ros import cli  # noqa: E402
from m2vae_ros.bags.bag import Bag  # noqa: E402
from m2vae_ros.bags.resolution import find_topics  # noqa: E402
from m2vae_ros.bags.storage import BagError  # noqa: E402
from m2vae_ros.bags.writer import BagWriter  # noqa: E402
from m2vae_ros.simulation.robot import SENSORS  # noqa: E402
from support.bag_files import CLOUD, IMAGE, SCAN, write_drive  # noqa: E402
from support.sensor_messages import cloud, image, rays, scan, write  # noqa: E402

FEW = ['--samples', '4', '--likelihood-samples', '2', '--draws', '2', '--calibration-samples', '1',
       '--moments', '1', '--device', 'cpu']
FULL_SCAN = scan(360, -np.pi, np.pi / 180, limits=(0.1, 10.0))
FORWARD = rays(np.linspace(-20, 15, 24), np.linspace(-30, 30, 40))[:, [1, 2, 0]] * [-1, -1, 1]


def found(tmp_path, topics, **options):
    """Return the topics that the simulated robot's sensors have in a bag."""
    with Bag(write(tmp_path / 'bag', topics)) as bag:
        return find_topics(bag, SENSORS, **options)


def copy(bag, path, topics):
    """Write a bag with some topics of another."""
    with Bag(bag) as source, BagWriter(path) as writer:
        for topic in topics:
            writer.add_topic(topic, source.topics[topic].message_type)
        for each in source.serialized(topics):
            writer.write_serialized(*each)
    return path


def evaluate(model, bag, *words):
    return cli.main(['evaluate', '--model', str(model), '--bag', str(bag), *FEW, *words])


def test_a_bag_of_a_scanner_alone_ends_in_a_report_that_says_what_is_absent(
    untrained_model, tmp_path, monkeypatch, capsys
):
    bag = write_drive(tmp_path / 'hall', seconds=1.5, sensors=('lidar',))
    monkeypatch.chdir(tmp_path)
    assert evaluate(untrained_model, bag) == 0
    first, second, sets, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith('without camera: no topic /camera/image_raw or ')
    assert second.startswith('without depth: no topic /depth/points; ')
    assert sets.startswith('15 sets in 1.4 s: lidar 15')
    metrics = json.loads((tmp_path / 'hall_report' / 'metrics.json').read_text())
    assert set(metrics['absent']) == {'camera', 'depth'}
    assert metrics['remarks'] == [first, second]
    assert {error['sensor'] for error in metrics['reconstruction']} == {'lidar'}
    assert [each['sensor'] for each in metrics['traffic']] == ['lidar']
    page = (tmp_path / 'hall_report' / 'report.html').read_text()
    assert page.index('without camera: ') < page.index('without depth: ') < page.index('1 of 3')
    assert page.index('1 of 3') < page.index('What the sensors saw')


def test_without_a_sensor_the_latents_are_those_of_a_bag_that_lacks_it(
    untrained_model, tmp_path, capsys
):
    everything = write_drive(tmp_path / 'all', seconds=1.0)
    both = copy(everything, tmp_path / 'both', ['/camera/image_raw', '/scan'])
    a, b = str(tmp_path / 'a'), str(tmp_path / 'b')
    assert evaluate(untrained_model, both, '--report', a) == 0
    assert evaluate(untrained_model, everything, '--report', b, '--without', 'depth') == 0
    assert 'without depth: not enabled' in capsys.readouterr().out
    assert cli.main(['compare', a, b]) == 0
    assert evaluate(untrained_model, both, '--report', a, '--without', 'radar') == 2
    assert '--without radar: no such sensor' in capsys.readouterr().err


def test_the_only_topic_that_fits_is_taken_and_said(tmp_path):
    topics = found(tmp_path, {
        '/front/scan': (SCAN, FULL_SCAN), '/zed/image': (IMAGE, image(48, 64, 'rgb8', 3)),
        '/lidar/points': (CLOUD, cloud(FORWARD, 'depth_optical_frame')),
    }, by_type=True)
    assert topics.topics == {
        'camera': '/zed/image', 'lidar': '/front/scan', 'depth': '/lidar/points'
    }
    assert set(topics.by_type) == {'camera', 'lidar', 'depth'}
    assert 'lidar is taken from /front/scan, the only topic that fits' in topics.remarks()[1]


@pytest.mark.parametrize('by_type', [False, True])
def test_where_several_topics_fit_or_none_may_be_guessed_the_option_is_named(tmp_path, by_type):
    topics = found(tmp_path, {
        '/camera/image_raw': (IMAGE, image(48, 64, 'rgb8', 3)),
        '/front/scan': (SCAN, FULL_SCAN), '/rear/scan': (SCAN, FULL_SCAN),
        '/lidar/points': (CLOUD, cloud(-FORWARD, 'depth_optical_frame')),  # all behind the camera
    }, by_type=by_type)
    assert topics.topics == {'camera': '/camera/image_raw'}
    assert 'choose one with --topic lidar=/front/scan' in topics.absent['lidar']
    assert '/rear/scan' in topics.absent['lidar']
    assert 'choose one with --topic depth=/lidar/points' in topics.absent['depth']


@pytest.mark.parametrize(('encoding', 'pixel'), [('16UC1', 2), ('purple', 1)])
def test_a_camera_is_not_taken_from_distances_or_what_nobody_can_read(tmp_path, encoding, pixel):
    topics = found(tmp_path, {
        '/scan': (SCAN, FULL_SCAN), '/depth/image_raw': (IMAGE, image(48, 64, encoding, pixel)),
    }, by_type=True)
    assert topics.topics == {'lidar': '/scan'}
    assert 'choose one with --topic camera=/depth/image_raw' in topics.absent['camera']


def test_a_sensor_whose_own_topic_is_silent_gets_no_other(tmp_path):
    write(tmp_path / 'source', {'/rear/scan': (SCAN, FULL_SCAN)})
    with BagWriter(tmp_path / 'bag') as writer, Bag(tmp_path / 'source') as source:
        writer.add_topic('/scan', SCAN)
        writer.add_topic('/rear/scan', SCAN)
        writer.add_topic('/camera/image_raw', IMAGE)
        for each in source.serialized():
            writer.write_serialized('/rear/scan', each.receive_ns, each.data)
        writer.write('/camera/image_raw', each.receive_ns, image(48, 64, 'rgb8', 3)(1))
    with Bag(tmp_path / 'bag') as bag:
        topics = find_topics(bag, SENSORS, by_type=True)
    assert set(topics.topics) == {'camera'}
    assert 'topic /scan has no messages' in topics.absent['lidar']


def test_a_chosen_topic_must_be_there_and_some_sensor_too(tmp_path):
    scans = {'/scan': (SCAN, FULL_SCAN)}
    with pytest.raises(BagError, match='sensor camera: no topic /cam'):
        found(tmp_path, scans, chosen={'camera': '/cam'}, by_type=True)
    with Bag(tmp_path / 'bag') as bag, pytest.raises(BagError, match='none of the sensors') as no:
        find_topics(bag, SENSORS, disabled=['lidar'])
    assert 'sensor lidar: not enabled' in str(no.value)


def test_of_several_bags_each_has_the_chosen_topic_or_the_sensors_own(tmp_path):
    scans = {'/scan': (SCAN, FULL_SCAN)}
    topics = found(tmp_path, scans, chosen={'lidar': '/front/scan'}, require_chosen=False)
    assert topics.topics == {'lidar': '/scan'}


def test_a_sensor_of_which_no_message_can_be_used_is_absent_in_the_decoders_words(
    untrained_model, tmp_path, monkeypatch, capsys
):
    def change(topic, count, message):
        if topic == '/camera/image_raw':
            message.encoding = 'purple'
        if topic == '/depth/points':
            message.header.stamp.sec = message.header.stamp.nanosec = 0
        return message

    bag = write_drive(tmp_path / 'odd', seconds=1.0, change=change)
    monkeypatch.chdir(tmp_path)
    assert evaluate(untrained_model, bag) == 0
    camera, depth, sets, *_ = capsys.readouterr().out.splitlines()
    assert camera.startswith('without camera: none of its 30 messages on /camera/image_raw can ')
    assert "'purple'" in camera
    assert 'without depth: none of its 12 messages' in depth
    assert 'the driver must stamp its messages' in depth
    assert 'lidar 10' in sets
    assert camera in json.loads((tmp_path / 'odd_report' / 'metrics.json').read_text())['remarks']
    assert evaluate(untrained_model, bag, '--without', 'lidar', '--without', 'depth') == 2
    assert "'purple'" in capsys.readouterr().err

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""`m2vae sensors` survives any topic: what it cannot use is listed with the reason."""

from __future__ import annotations

from math import pi, radians

import numpy as np
import pytest
from rosbags.rosbag1 import Writer
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import get_typestore, Stores

from m2vae_ros import cli
from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.resolution import resolve_topics
from m2vae_ros.bags.sensors_file import read_sensors
from m2vae_ros.bags.topics import ros_2_name
from m2vae_ros.bags.writer import BagWriter
from m2vae_ros.sensors.kinds import decode
from support.bag_files import CLOUD, IMAGE, SCAN, START_NS
from support.sensor_messages import cloud, image, rays, scan, write


def proposal(path, bag):
    """Return the sensors that the command proposes for a bag, by name, and the file's text."""
    assert cli.main(['sensors', '--bag', str(bag), '--out', str(path)]) == 0
    return {spec.name: spec for spec in read_sensors(path)}, path.read_text()


def with_camera(tmp_path, topic, kind, message_at):
    """Return what is proposed for a bag with a camera and one other topic."""
    bag = write(tmp_path / 'bag', {'/camera/image_raw': (IMAGE, image(48, 64)),
                                   topic: (kind, message_at)})
    return proposal(tmp_path / 'sensors.yaml', bag)


def framed(message_at, frame):
    def make(now):
        message = message_at(now)
        message.header.frame_id = frame
        return message
    return make


def with_encoding(encoding):
    def make(now):
        message = image(8, 8)(now)
        message.encoding = encoding
        return message
    return make


@pytest.mark.parametrize(('topic', 'kind', 'message_at', 'reason'), [
    ('/beam', SCAN, scan(1, 0.0, 0.0), '1 beams in steps of 0 rad'),
    ('/fan', SCAN, scan(90, 0.0, 0.0), '90 beams in steps of 0 rad'),
    ('/spin', SCAN, scan(900, -pi, radians(1)), 'more than a full turn'),
    ('/nan', SCAN, scan(90, float('nan')), 'must be beams at finite angles'),
    ('/origin', CLOUD, cloud(np.zeros((20, 3))), 'no finite point'),
    ('/empty', CLOUD, cloud(np.zeros((0, 3))), 'must have at least one'),
    ('/bell', IMAGE, with_encoding('\a'), 'encoding'),
    ('/mute', IMAGE, with_encoding(''), 'encoding'),
])
def test_what_cannot_be_used_is_listed_and_the_camera_proposed(
    tmp_path, topic, kind, message_at, reason
):
    sensors, text = with_camera(tmp_path, topic, kind, message_at)
    assert set(sensors) == {'camera'}
    (line,) = [line for line in text.splitlines() if line.startswith(f'#   {topic} (')]
    assert reason in line


def test_an_error_that_nobody_foresaw_is_a_reason_too(tmp_path, monkeypatch):
    monkeypatch.setattr('m2vae_ros.bags.proposed_clouds.coordinates_of', lambda _: [][0])
    sensors, text = with_camera(tmp_path, '/points', CLOUD, cloud(rays([0, 5], [0, 5])))
    assert set(sensors) == {'camera'}
    assert 'it cannot be examined (IndexError: list index out of range)' in text


def test_a_message_that_is_not_of_its_type_is_a_reason(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic('/camera/image_raw', IMAGE)
        writer.add_topic('/scan', SCAN)
        for index in range(5):
            now = START_NS + index * 10**8
            writer.write('/camera/image_raw', now, image(48, 64)(now))
            writer.write_serialized('/scan', now, b'\0\1\0\0broken')
    sensors, text = proposal(tmp_path / 'sensors.yaml', tmp_path / 'bag')
    assert set(sensors) == {'camera'}
    assert 'is not a sensor_msgs/msg/LaserScan' in text


@pytest.mark.parametrize('first', [5.0, -8.0, 11.0])
def test_a_scan_beyond_a_turn_is_proposed_within_it(tmp_path, first):
    message_at = scan(172, first, radians(1))
    sensors, _ = with_camera(tmp_path, '/scan', SCAN, message_at)
    spec = sensors['scan']
    centre = (spec.geometry['angle_min'] + spec.geometry['angle_max']) / 2
    assert -pi <= centre <= pi
    middle_of_beams = first + 171 * radians(1) / 2
    assert np.exp(1j * centre) == pytest.approx(np.exp(1j * middle_of_beams), abs=1e-3)
    assert decode(spec, message_at(START_NS)).returned.all()


@pytest.mark.parametrize('limits', [(1e-30, 1.0), (0.0, 1e30), (0.0, 7.0)])
def test_limits_of_any_size_are_numbers_in_the_file(tmp_path, limits):
    far = np.array([1e29, 5.0, 2.0, 1.0])

    def message_at(now):
        message = scan(90, -0.7, radians(1), limits=limits)(now)
        message.ranges = np.resize(far, 90).astype(np.float32)
        return message

    sensors, _ = with_camera(tmp_path, '/scan', SCAN, message_at)
    assert all(isinstance(value, float) for value in sensors['scan'].geometry.values())


def test_a_frame_that_cannot_be_printed_is_cautioned_against(tmp_path):
    sensors, text = with_camera(tmp_path, '/scan', SCAN, framed(scan(), 'laser\0'))
    assert sensors['scan'].frame_id == 'laser'
    assert "CAUTION: its frame 'laser\\x00'" in text


def test_a_name_may_be_as_long_as_a_topic(tmp_path):
    long = '/' + '/'.join(['robot_of_the_north_wing'] * 6) + '/scan'
    sensors, _ = with_camera(tmp_path, long, SCAN, scan())
    assert long.strip('/') in {spec.topic for spec in sensors.values()}


def write_ros_1(path, topics):
    """Write a bag of ROS 1 as `support.sensor_messages.write` writes one of ROS 2."""
    typestore = get_typestore(Stores.ROS1_NOETIC)
    types = typestore.types
    with Writer(path) as writer:
        for topic, (kind, message_at) in topics.items():
            connection = writer.add_connection(topic, kind, typestore=typestore)
            for index in range(10):
                now = START_NS + index * 100_000_000
                message = message_at(now)
                fields = {name: getattr(message, name) for name in message.__dataclass_fields__}
                stamp = types['builtin_interfaces/msg/Time'](*divmod(now, 10**9))
                fields['header'] = types['std_msgs/msg/Header'](
                    seq=index, stamp=stamp, frame_id='frame',
                )
                if 'fields' in fields:
                    fields['fields'] = [
                        types['sensor_msgs/msg/PointField'](
                            name=f.name, offset=f.offset, datatype=f.datatype, count=f.count
                        ) for f in fields['fields']
                    ]
                fields.pop('__msgtype__', None)
                data = typestore.serialize_ros1(types[kind](**fields), kind)
                writer.write(connection, now, data)
    return path


def test_a_topic_named_by_an_address_gets_a_name_of_ros_2_and_is_found(tmp_path):
    topic = '/livox/192_168_0_155/lidar'
    bag = write_ros_1(tmp_path / 'ros1.bag', {
        '/front/image_raw': (IMAGE, image(48, 64)),
        topic: (CLOUD, cloud(rays(np.linspace(-5, 5, 16), np.linspace(-40, 40, 50)))),
    })
    sensors, text = proposal(tmp_path / 'sensors.yaml', bag)
    assert {spec.topic for spec in sensors.values()} == {
        'front/image_raw', 'livox/n192_168_0_155/lidar'
    }
    assert f'CAUTION: {topic} is no name of ROS 2' in text
    with Bag(bag) as opened:
        assert topic in resolve_topics(opened, list(sensors.values())).values()


@pytest.mark.parametrize(('topic', 'name'), [
    ('/camera/image_raw', '/camera/image_raw'), ('scan', 'scan'),
    ('/livox/192_168_0_155/lidar', '/livox/n192_168_0_155/lidar'),
    ('/front-left/scan', '/front_left/scan'), ('/a__b', '/a_b'), ('//scan', '/scan'),
])
def test_names_of_ros_2(topic, name):
    assert ros_2_name(topic) == name


def test_definitions_that_an_odd_topic_carries_do_not_spoil_the_others(tmp_path):
    store = get_typestore(Stores.ROS2_HUMBLE)
    odd_header = f'std_msgs/Header h\n{"=" * 80}\nMSG: std_msgs/Header\nint32 nothing\n'
    definitions = {
        '/header': ('odd_msgs/msg/Odd', odd_header), '/broken': ('odd_msgs/msg/Broken', 'int32 ['),
        '/scan': (SCAN, 'int32 alone\n'), '/points': (CLOUD, 'no definition ]['),
    }
    with Writer2(tmp_path / 'bag', version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        camera = writer.add_connection('/camera/image_raw', IMAGE, typestore=store)
        others = [writer.add_connection(topic, kind, msgdef=text, rihs01=topic)
                  for topic, (kind, text) in definitions.items()]
        for index in range(5):
            now = START_NS + index * 10**8
            writer.write(camera, now, store.serialize_cdr(image(48, 64)(now), IMAGE))
            for other in others:
                writer.write(other, now, bytes([0, 1, 0, 0, *range(40)]))
    sensors, text = proposal(tmp_path / 'sensors.yaml', tmp_path / 'bag')
    assert set(sensors) == {'camera'}
    for topic in definitions:
        assert f'#   {topic} (' in text

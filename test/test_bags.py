# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Bags of every storage, compression, distribution and version of ROS are read alike."""

from __future__ import annotations

from itertools import pairwise
import shutil
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionMode, StoragePlugin, Writer
from rosbags.typesys import get_types_from_msg, get_typestore, Stores

from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.writer import BagWriter, rosbags_classes
from m2vae_ros.sensors.kinds import decode
from m2vae_ros.simulation.robot import SENSORS
from support.bag_files import (
    change_metadata,
    contents,
    read_strings,
    same,
    SCAN,
    START_NS,
    write_drive,
    write_strings,
)

ROS_2 = [store for store in Stores if store.value in (
    'ros2_humble', 'ros2_iron', 'ros2_jazzy', 'ros2_kilted', 'ros2_lyrical'
)]


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    """Return a folder with the bag of a drive with all sensors."""
    return write_drive(tmp_path_factory.mktemp('drives') / 'drive', seconds=0.7)


@pytest.fixture(scope='module')
def scans(tmp_path_factory):
    """Return a folder with small bags of a scanner: storage -> bag."""
    folder = tmp_path_factory.mktemp('scans')
    return {
        storage: write_drive(folder / storage, sensors=('lidar',), storage=storage)
        for storage in ('mcap', 'sqlite3')
    }


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('compression', [None, 'zstd'])
def test_what_was_written_is_read_whatever_the_storage(tmp_path, drive, storage, compression):
    path = write_drive(
        tmp_path / 'bag', seconds=0.7, storage=storage, compression=compression
    )
    assert same(contents(path), contents(drive))
    with Bag(path) as bag:
        assert {topic.name: topic.message_type for topic in bag.topics.values()} == {
            '/camera/image_raw': 'sensor_msgs/msg/Image', '/scan': SCAN,
            '/depth/points': 'sensor_msgs/msg/PointCloud2',
        }
        assert bag.topics['/scan'].count == 7


def test_messages_come_in_the_order_of_receipt_within_the_bags_span(drive):
    times = [when for _, when, _ in contents(drive)]
    assert times == sorted(times)
    with Bag(drive) as bag:
        assert (bag.start_ns, bag.end_ns) == (times[0], times[-1])


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_slices_of_time_together_are_the_whole(tmp_path, storage):
    path = write_drive(tmp_path / 'bag', seconds=1.5, storage=storage, sensors=('lidar', 'depth'))
    whole = contents(path)
    edges = [None, whole[0][1], whole[7][1], whole[7][1] + 1, START_NS + 900_000_000, None]
    parts = [
        contents(path, start_ns=start, stop_ns=stop)
        for start, stop in pairwise(edges)
    ]
    assert same([message for part in parts for message in part], whole)
    assert len(contents(path, topics=['/scan'])) == 15


def test_a_slice_reads_only_its_part_of_the_file(tmp_path):
    path = write_drive(tmp_path / 'bag', seconds=2, sensors=('camera',))
    (file,) = path.glob('*.mcap')
    content = bytearray(file.read_bytes())
    spoilt = content.find(b'\x06', 100)  # the first chunk's opcode is within the first bytes
    content[spoilt + 200:spoilt + 2200] = bytes(2000)
    file.write_bytes(content)
    assert contents(path, start_ns=START_NS + 1_000_000_000)


@pytest.mark.parametrize('plugin', list(StoragePlugin))
@pytest.mark.parametrize('mode', [CompressionMode.FILE, CompressionMode.MESSAGE])
def test_compressed_files_and_messages_are_unpacked(tmp_path, plugin, mode):
    path = write_strings(tmp_path / 'bag', mode=mode, plugin=plugin)
    assert read_strings(path) == ['one', 'two', 'three']


def test_what_is_unpacked_is_shared_and_goes_when_the_bag_is_closed(tmp_path):
    path = write_strings(tmp_path / 'bag', mode=CompressionMode.FILE)
    with Bag(path) as bag:
        assert bag.readable != path
        assert read_strings(bag.readable) == ['one', 'two', 'three']
        readable = bag.readable
    assert not readable.exists()
    with Bag(write_strings(tmp_path / 'plain')) as plain:
        assert plain.readable == plain.path


@pytest.mark.parametrize('store', ROS_2)
@pytest.mark.parametrize('plugin', list(StoragePlugin))
def test_bags_of_every_distribution_are_read(tmp_path, store, plugin):
    version = 8 if store.value in ('ros2_humble', 'ros2_iron', 'ros2_jazzy') else 9
    path = write_strings(tmp_path / 'bag', store=store, version=version, plugin=plugin)
    assert read_strings(path) == ['one', 'two', 'three']


def test_a_bag_without_definitions_is_read_with_those_of_its_distribution(tmp_path):
    path = write_strings(tmp_path / 'bag', plugin=StoragePlugin.SQLITE3)
    (file,) = path.glob('*.db3')
    with sqlite3.connect(file) as database:
        database.execute('DELETE FROM message_definitions')
    database.close()
    assert read_strings(path) == ['one', 'two', 'three']


def test_a_lone_file_is_a_bag(scans):
    for storage, path in scans.items():
        (file,) = [found for found in path.iterdir() if found.name != 'metadata.yaml']
        assert same(contents(file), contents(path)), storage


def test_a_split_bag_is_one_bag_in_one_order(tmp_path):
    first = write_strings(tmp_path / 'first', ['0', '2', '4'])
    second = write_strings(tmp_path / 'second', ['3', '5', '6'], start=START_NS + 1_500_000)
    shutil.copy(second / 'second.mcap', first)
    change_metadata(
        first, relative_file_paths=['first.mcap', 'second.mcap'], message_count=6,
    )
    assert read_strings(first) == ['0', '2', '3', '4', '5', '6']
    assert read_strings(first, start_ns=START_NS + 2_100_000) == ['5', '6']


def test_a_bag_of_ros_1_is_read_with_its_own_definitions(tmp_path):
    typestore = get_typestore(Stores.ROS1_NOETIC)
    typestore.register(get_types_from_msg('string what\nint32 often\n', 'own/msg/Thing'))
    path = tmp_path / 'old.bag'
    classes, types = rosbags_classes(), typestore.types
    with Writer1(path) as writer:
        scan = writer.add_connection('/scan', SCAN, typestore=typestore)
        thing = writer.add_connection('/thing', 'own/msg/Thing', typestore=typestore)
        header = types['std_msgs/msg/Header'](
            seq=1, stamp=classes.Time(sec=3, nanosec=4), frame_id='laser'
        )
        message = types[SCAN](
            header=header, angle_min=-3.0, angle_max=3.0, angle_increment=0.1, time_increment=0.0,
            scan_time=0.0, range_min=0.1, range_max=9.0, ranges=np.full(61, 2, np.float32),
            intensities=np.zeros(0, np.float32),
        )
        writer.write(scan, START_NS, typestore.serialize_ros1(message, SCAN))
        writer.write(thing, START_NS + 1, typestore.serialize_ros1(
            types['own/msg/Thing'](what='cup', often=2), 'own/msg/Thing'
        ))
    with Bag(path) as bag:
        assert bag.topics['/scan'].message_type == SCAN
        received = list(bag.messages())
        assert received[0].message.header.stamp.nanosec == 4
        assert received[1].message.often == 2
        measured = decode(SENSORS[1], received[0].message)
        assert measured.values[90] == 2
        data = next(bag.serialized(['/scan'])).data
    as_ros_2 = get_typestore(Stores.ROS2_HUMBLE).deserialize_cdr(data, SCAN)
    assert as_ros_2.header.frame_id == 'laser'


def test_own_message_types_are_read_from_the_definitions_in_the_bag(tmp_path):
    typestore = get_typestore(Stores.ROS2_JAZZY)
    typestore.register(get_types_from_msg('int32 often\n', 'own/msg/Thing'))
    with Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection('/thing', 'own/msg/Thing', typestore=typestore)
        message = typestore.types['own/msg/Thing'](often=5)
        writer.write(connection, START_NS, typestore.serialize_cdr(message, 'own/msg/Thing'))
    with Bag(tmp_path / 'bag') as bag:
        assert [received.message.often for received in bag.messages()] == [5]


def test_definitions_in_idl_are_read_too(tmp_path):
    idl = f'{"=" * 80}\nIDL: own/msg/Thing\nmodule own {{ module msg {{ struct Thing {{\n' \
          f'int32 often;\n}}; }}; }};\n'
    typestore = get_typestore(Stores.ROS2_JAZZY)
    typestore.register(get_types_from_msg('int32 often\n', 'own/msg/Thing'))
    with Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection('/thing', 'own/msg/Thing', msgdef=idl, rihs01='none')
        message = typestore.types['own/msg/Thing'](often=5)
        writer.write(connection, START_NS, typestore.serialize_cdr(message, 'own/msg/Thing'))
    with Bag(tmp_path / 'bag') as bag:
        assert [received.message.often for received in bag.messages()] == [5]


def test_serialised_messages_can_be_written_again(tmp_path, drive):
    with Bag(drive) as bag, BagWriter(tmp_path / 'copy', storage='sqlite3') as copy:
        for topic in bag.topics.values():
            copy.add_topic(topic.name, topic.message_type)
        for received in bag.serialized():
            copy.write_serialized(*received)
    assert same(contents(tmp_path / 'copy'), contents(drive))


def test_the_fingerprint_is_that_of_the_content(tmp_path, scans):
    shutil.copytree(scans['mcap'], tmp_path / 'moved')
    with Bag(scans['mcap']) as first, Bag(tmp_path / 'moved') as second:
        assert first.fingerprint == second.fingerprint
    other_drive = write_drive(tmp_path / 'other', sensors=('lidar',), seed=3)
    with Bag(scans['mcap']) as first, Bag(other_drive) as second:
        assert first.fingerprint != second.fingerprint


PEAK = """
import resource, sys
from m2vae_ros.bags.bag import Bag
with Bag(sys.argv[1]) as bag:
    for received in bag.messages():
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write_images(path, count):
    classes = rosbags_classes()
    with BagWriter(path) as bag:
        bag.add_topic('/image', 'sensor_msgs/msg/Image')
        for index in range(count):
            bag.write('/image', START_NS + index * 100_000_000, classes.Image(
                header=classes.Header(stamp=classes.Time(sec=index, nanosec=0), frame_id='c'),
                height=480, width=640, encoding='rgb8', is_bigendian=0, step=1920,
                data=np.full(921_600, index % 256, np.uint8),
            ))


def test_many_messages_need_no_more_memory_than_few(tmp_path):
    """Peak memory of reading 4 s and 32 s of images, each in its own process."""
    peaks = []
    for seconds in (4, 32):
        path = tmp_path / f'bag{seconds}'
        write_images(path, 10 * seconds)
        peaks.append(int(subprocess.run(
            [sys.executable, '-c', PEAK, str(path)], check=True, capture_output=True, text=True,
        ).stdout))
        shutil.rmtree(path)
    assert peaks[1] < 1.05 * peaks[0], peaks

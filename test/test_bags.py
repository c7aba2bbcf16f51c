# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Bags of every storage are read alike, and what is wrong with one ends in one clear error."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
import os
from pathlib import Path
import re
import shutil
import sqlite3
import subprocess
import sys
from types import SimpleNamespace

from bag_files import START_NS, write_drive
import numpy as np
import pytest
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import get_types_from_msg, get_typestore, Stores
import yaml

from m2vae_ros.learning.bag_writer import BagWriter, message_types, rosbags_classes
from m2vae_ros.learning.bags import Bag, BagError, resolve_topics
from m2vae_ros.sensors import decode
from m2vae_ros.simulation.robot import SENSORS

SCAN, STRING = 'sensor_msgs/msg/LaserScan', 'std_msgs/msg/String'
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


def contents(path, **options):
    """Return topic, time and the model's view of every message of a drive."""
    with Bag(path) as bag:
        specs = {f'/{spec.topic}': spec for spec in SENSORS}
        return [
            (topic, when, decode(specs[topic.removesuffix('/compressed')], message).values)
            for topic, when, message in bag.messages(**options)
        ]


def same(one, other):
    return len(one) == len(other) and all(
        a[:2] == b[:2] and np.array_equal(a[2], b[2]) for a, b in zip(one, other, strict=True)
    )


def strings(texts, *, start=START_NS, step=1_000_000):
    """Return times and messages that say something."""
    return [
        (start + step * i, message_types()[STRING](data=text)) for i, text in enumerate(texts)
    ]


def write_strings(path, texts=('one', 'two', 'three'), *, store=Stores.ROS2_HUMBLE, version=8,
                  mode=None, plugin=StoragePlugin.MCAP, topic='/said', start=START_NS):
    """Write a bag as `ros2 bag record` of a distribution might."""
    typestore = get_typestore(store)
    with_compression = Writer(path, version=version, storage_plugin=plugin)
    if mode is not None:
        with_compression.set_compression(mode, CompressionFormat.ZSTD)
    with with_compression as writer:
        connection = writer.add_connection(topic, STRING, typestore=typestore)
        for when, message in strings(texts, start=start):
            writer.write(connection, when, typestore.serialize_cdr(message, STRING))
    return path


def said(path, **options):
    with Bag(path) as bag:
        return [received.message.data for received in bag.messages(**options)]


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
    assert said(path) == ['one', 'two', 'three']


def test_what_is_unpacked_is_shared_and_goes_when_the_bag_is_closed(tmp_path):
    path = write_strings(tmp_path / 'bag', mode=CompressionMode.FILE)
    with Bag(path) as bag:
        assert bag.readable != path
        assert said(bag.readable) == ['one', 'two', 'three']
        readable = bag.readable
    assert not readable.exists()
    with Bag(write_strings(tmp_path / 'plain')) as plain:
        assert plain.readable == plain.path


@pytest.mark.parametrize('store', ROS_2)
@pytest.mark.parametrize('plugin', list(StoragePlugin))
def test_bags_of_every_distribution_are_read(tmp_path, store, plugin):
    version = 8 if store.value in ('ros2_humble', 'ros2_iron', 'ros2_jazzy') else 9
    path = write_strings(tmp_path / 'bag', store=store, version=version, plugin=plugin)
    assert said(path) == ['one', 'two', 'three']


def test_a_bag_without_definitions_is_read_with_those_of_its_distribution(tmp_path):
    path = write_strings(tmp_path / 'bag', plugin=StoragePlugin.SQLITE3)
    (file,) = path.glob('*.db3')
    with sqlite3.connect(file) as database:
        database.execute('DELETE FROM message_definitions')
    database.close()
    assert said(path) == ['one', 'two', 'three']


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
    assert said(first) == ['0', '2', '3', '4', '5', '6']
    assert said(first, start_ns=START_NS + 2_100_000) == ['5', '6']


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


def test_serialised_messages_can_be_written_again(tmp_path, drive):
    with Bag(drive) as bag, BagWriter(tmp_path / 'copy', storage='sqlite3') as copy:
        for topic in bag.topics.values():
            copy.add_topic(topic.name, topic.message_type)
        for received in bag.serialized():
            copy.write_serialized(*received)
    assert same(contents(tmp_path / 'copy'), contents(drive))


def test_the_fingerprint_is_that_of_the_content(tmp_path, scans):
    shutil.copytree(scans['mcap'], tmp_path / 'moved')
    with Bag(scans['mcap']) as one, Bag(tmp_path / 'moved') as other:
        assert one.fingerprint == other.fingerprint
    other_drive = write_drive(tmp_path / 'other', sensors=('lidar',), seed=3)
    with Bag(scans['mcap']) as one, Bag(other_drive) as other:
        assert one.fingerprint != other.fingerprint


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


PEAK = """
import resource, sys
from m2vae_ros.learning.bags import Bag
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


# What is wrong with a bag.


def change_metadata(path, **changes):
    """Change the facts in a bag's metadata."""
    file = path / 'metadata.yaml'
    content = yaml.safe_load(file.read_text())
    content['rosbag2_bagfile_information'].update(changes)
    file.write_text(yaml.safe_dump(content))


def read_all(path):
    with Bag(path) as bag:
        return list(bag.messages())


def explanation(path, action=read_all):
    """Return the one line in which reading a bag ends."""
    with pytest.raises(BagError) as caught:
        action(path)
    text = str(caught.value)
    assert str(path) in text
    assert '\n' not in text
    return text


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_truncated_bag_is_refused_wherever_it_is_cut(tmp_path, scans, storage):
    path = tmp_path / 'cut'
    shutil.copytree(scans[storage], path)
    (file,) = [found for found in path.iterdir() if found.name != 'metadata.yaml']
    content = file.read_bytes()
    for size in sorted({0, 1, 8, 20, 100, len(content) - 1, len(content) - 30,
                        *np.linspace(200, len(content) - 100, 25).astype(int).tolist()}):
        file.write_bytes(content[:size])
        text = explanation(path)
        assert 'truncated' in text
        assert 'record it again' in text, (size, text)
        explanation(file)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_damage_in_the_middle_is_an_error_or_harmless_but_nothing_else(tmp_path, scans, storage):
    path = tmp_path / 'damaged'
    shutil.copytree(scans[storage], path)
    (file,) = [found for found in path.iterdir() if found.name != 'metadata.yaml']
    content = file.read_bytes()
    refused = 0
    for position in np.linspace(0, len(content) - 64, 60).astype(int).tolist():
        file.write_bytes(content[:position] + os.urandom(64) + content[position + 64:])
        with suppress(BagError):
            read_all(path)
            refused -= 1
        refused += 1
    assert refused > 0


def test_a_truncated_bag_of_ros_1_is_refused(tmp_path):
    path = tmp_path / 'old.bag'
    typestore = get_typestore(Stores.ROS1_NOETIC)
    with Writer1(path) as writer:
        connection = writer.add_connection('/said', STRING, typestore=typestore)
        for when, message in strings(['a' * 1000] * 50):
            writer.write(connection, when, typestore.serialize_ros1(message, STRING))
    content = path.read_bytes()
    for size in np.linspace(0, len(content) - 1, 20).astype(int).tolist():
        path.write_bytes(content[:size])
        assert 'rosbag reindex' in explanation(path)


def test_an_mcap_whose_summary_was_never_written_is_refused_or_read_whole(tmp_path, scans):
    path = tmp_path / 'crashed'
    shutil.copytree(scans['mcap'], path)
    (file,) = path.glob('*.mcap')
    content = file.read_bytes()
    end = content.rfind(b'\x0f' + (4).to_bytes(8, 'little'))  # the record that ends the data
    file.write_bytes(content[:end])
    assert 'mcap recover' in explanation(path)
    # What `mcap recover` without an index, or a recorder with noSummary, leaves:
    footer = b'\x02' + (20).to_bytes(8, 'little') + bytes(20) + b'\x89MCAP0\r\n'
    file.write_bytes(content[:end + 13] + footer)
    assert same(contents(path), contents(scans['mcap']))


def test_a_file_with_fewer_messages_than_the_metadata_says_is_refused(tmp_path):
    path = write_strings(tmp_path / 'bag')
    change_metadata(path, message_count=5)
    assert 'tells of 5 messages, its files hold 3' in explanation(path)


def test_an_empty_bag_is_refused(tmp_path):
    with BagWriter(tmp_path / 'empty') as writer:
        writer.add_topic('/scan', SCAN)
    assert 'has no messages' in explanation(tmp_path / 'empty')
    assert '/scan' in explanation(tmp_path / 'empty')


def test_what_is_no_bag_is_refused_with_what_would_be_one(tmp_path):
    (tmp_path / 'folder').mkdir()
    assert 'no metadata.yaml' in explanation(tmp_path / 'folder')
    (tmp_path / 'text.txt').write_text('no bag')
    assert 'not a bag' in explanation(tmp_path / 'text.txt')
    (tmp_path / 'fake.mcap').write_text('no bag either, however long it is: ' * 10)
    assert 'cannot be opened' in explanation(tmp_path / 'fake.mcap')
    assert 'no such bag' in explanation(tmp_path / 'nothing')
    (tmp_path / 'folder' / 'metadata.yaml').write_text('nonsense: [')
    explanation(tmp_path / 'folder')
    (tmp_path / 'folder' / 'metadata.yaml').write_text('nonsense: 1')
    explanation(tmp_path / 'folder')


def test_a_folder_without_metadata_names_the_file_to_read_instead(tmp_path, scans):
    shutil.copytree(scans['mcap'], tmp_path / 'bag')
    (tmp_path / 'bag' / 'metadata.yaml').unlink()
    text = explanation(tmp_path / 'bag')
    assert 'ros2 bag reindex' in text
    assert str(tmp_path / 'bag' / 'mcap.mcap') in text


def test_a_file_that_is_gone_is_named(tmp_path, scans):
    shutil.copytree(scans['mcap'], tmp_path / 'bag')
    (tmp_path / 'bag' / 'mcap.mcap').unlink()
    assert 'mcap.mcap' in explanation(tmp_path / 'bag')


@pytest.mark.skipif(os.geteuid() == 0, reason='root may read everything: run as another user')
def test_a_bag_that_may_not_be_read_is_named(tmp_path, scans):
    shutil.copytree(scans['mcap'], tmp_path / 'bag')
    (tmp_path / 'bag' / 'mcap.mcap').chmod(0)
    assert 'make it readable' in explanation(tmp_path / 'bag')


def test_a_bag_that_was_recorded_without_a_clock_is_refused(tmp_path):
    path = write_strings(tmp_path / 'zero', ['lost'], start=0)
    assert 'received at time 0' in explanation(path)
    with BagWriter(tmp_path / 'some') as writer:
        writer.add_topic('/said', STRING)
        for when in (0, START_NS):
            writer.write('/said', when, message_types()[STRING](data=''))
    assert 'some messages were received at time 0' in explanation(tmp_path / 'some')


def test_a_bag_of_a_simulation_may_begin_at_zero(tmp_path):
    assert said(write_strings(tmp_path / 'bag', start=0)) == ['one', 'two', 'three']


def test_an_unknown_message_type_is_an_error_only_for_whoever_asks_for_it(tmp_path):
    path = write_strings(tmp_path / 'bag', plugin=StoragePlugin.SQLITE3)
    (file,) = path.glob('*.db3')
    with sqlite3.connect(file) as database:
        database.execute('DELETE FROM message_definitions')
        database.execute("UPDATE topics SET type = 'own/msg/Thing'")
    database.close()
    text = explanation(path)
    assert 'topic /said' in text
    assert 'own/msg/Thing' in text
    assert 'definition' in text
    with Bag(path) as bag:
        assert len(list(bag.serialized())) == 3


def test_a_topic_that_the_bag_lacks_is_an_error_that_lists_those_it_has(drive):
    text = explanation(drive, lambda path: list(Bag(path).messages(['/sonar'])))
    assert '/sonar' in text
    assert f'/scan ({SCAN})' in text


def test_a_message_that_is_not_what_its_topic_says_is_an_error(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic('/scan', SCAN)
        writer.write_serialized('/scan', START_NS, b'\0\1\0\0short')
    assert 'topic /scan' in explanation(tmp_path / 'bag')


# Topics of sensors.


def test_sensors_find_their_topics_and_compressed_ones(tmp_path, drive):
    with Bag(drive) as bag:
        assert resolve_topics(bag, SENSORS) == {
            'camera': '/camera/image_raw', 'lidar': '/scan', 'depth': '/depth/points',
        }
    path = write_drive(tmp_path / 'jpeg', seconds=0.3, compressed_images=True)
    with Bag(path) as bag:
        found = resolve_topics(bag, SENSORS[:1])
    assert found == {'camera': '/camera/image_raw/compressed'}


def test_a_topic_may_be_chosen(tmp_path):
    path = write_strings(tmp_path / 'bag')
    with BagWriter(tmp_path / 'renamed') as writer:
        writer.add_topic('/front/scan', SCAN)
        for received in Bag(write_drive(tmp_path / 'scan', sensors=('lidar',))).serialized():
            writer.write_serialized('/front/scan', received.receive_ns, received.data)
    with Bag(tmp_path / 'renamed') as bag:
        text = explanation(bag.path, lambda _: resolve_topics(bag, SENSORS[1:2]))
        assert 'sensor lidar: no topic /scan' in text
        assert '--topic lidar=/front/scan' in text
        assert resolve_topics(bag, SENSORS[1:2], {'lidar': '/front/scan'}) == \
            {'lidar': '/front/scan'}
        with pytest.raises(BagError, match='no such sensor; there are lidar'):
            resolve_topics(bag, SENSORS[1:2], {'ladar': '/front/scan'})
    with Bag(path) as bag:
        assert 'take lidar out' in explanation(
            path, lambda _: resolve_topics(bag, SENSORS[1:2], {'lidar': '/said'})
        )


def test_wrong_types_and_silent_topics_are_told_apart(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic('/scan', STRING)
        writer.add_topic('/depth/points', 'sensor_msgs/msg/PointCloud2')
        writer.write('/scan', START_NS, message_types()[STRING](data=''))
    with Bag(tmp_path / 'bag') as bag:
        wrong = explanation(bag.path, lambda _: resolve_topics(bag, SENSORS[1:2]))
        silent = explanation(bag.path, lambda _: resolve_topics(bag, SENSORS[2:]))
    assert f'/scan is of type {STRING}, not {SCAN}' in wrong
    assert '/depth/points has no messages' in silent


# Writing.


def test_the_written_bag_is_one_that_humble_reads(tmp_path):
    """Its metadata names version 8 at most, with the quality of service as a text."""
    path = write_drive(tmp_path / 'bag', seconds=0.3, sensors=('lidar',))
    facts = yaml.safe_load((path / 'metadata.yaml').read_text())['rosbag2_bagfile_information']
    assert facts['version'] <= 8
    for topic in facts['topics_with_message_count']:
        assert isinstance(topic['topic_metadata']['offered_qos_profiles'], str)
    content = (path / facts['relative_file_paths'][0]).read_bytes()
    assert b'ros2msg' in content
    assert b'float32[] ranges' in content


def test_a_bag_is_there_whole_or_not_at_all(tmp_path):
    def fail():
        with BagWriter(tmp_path / 'bag') as writer:
            writer.add_topic('/said', STRING)
            assert not (tmp_path / 'bag').exists()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic('/said', STRING)
        writer.write('/said', START_NS, message_types()[STRING](data=''))
    assert [path.name for path in tmp_path.iterdir()] == ['bag']


@pytest.mark.parametrize('wrong', [
    lambda path: BagWriter(path),
    lambda path: BagWriter(path.parent / 'no' / 'folder'),
    lambda path: BagWriter(path / 'new', storage='cloud'),
    lambda path: BagWriter(path / 'new', compression='rar'),
    lambda path: BagWriter(path / 'new').add_topic('/x', 'own/msg/Thing'),
    lambda path: BagWriter(path / 'new').write('/x', 1, None),
])
def test_what_cannot_be_written_is_refused(tmp_path, wrong):
    with pytest.raises(BagError, match=r'exists already|no folder|must be|unknown|announced'):
        wrong(tmp_path)


def test_a_foreign_message_is_refused_by_name(tmp_path):
    writer = BagWriter(tmp_path / 'bag')
    writer.add_topic('/scan', SCAN)
    with pytest.raises(BagError, match=f'topic /scan: SimpleNamespace is no {re.escape(SCAN)}'):
        writer.write('/scan', START_NS, SimpleNamespace())
    writer.abandon()


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_full_disk_ends_in_an_error_that_names_the_bag(tmp_path, storage):
    full = Path('/dev/full')
    if not full.exists():
        pytest.skip('needs a device that is always full: /dev/full')
    writer = BagWriter(tmp_path / 'bag', storage=storage)
    writer.add_topic('/image', 'sensor_msgs/msg/Image')
    with pytest.raises(BagError, match='bag: cannot be written'):
        fill(writer, full)
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


def fill(writer, full):
    """Let a writer's file be on a full disk, and write."""
    storage = writer._writer.storage
    if hasattr(storage, 'bio'):
        storage.bio.close()
        storage.bio = full.open('wb')
    else:
        storage.conn.execute('PRAGMA max_page_count = 30')
    classes = rosbags_classes()
    message = classes.Image(
        header=classes.Header(stamp=classes.Time(sec=1, nanosec=0), frame_id='c'), height=1,
        width=300_000, encoding='mono8', is_bigendian=0, step=300_000,
        data=np.zeros(300_000, np.uint8),
    )
    for index in range(20):
        writer.write('/image', START_NS + index, message)
    writer.close()

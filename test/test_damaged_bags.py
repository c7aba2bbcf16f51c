# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a bag ends in one clear error that names the file and the fix."""

from __future__ import annotations

from contextlib import suppress
from errno import EACCES
from pathlib import Path
import shutil
import sqlite3

import numpy as np
import pytest
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.typesys import get_typestore, Stores

from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.storage import BagError
from m2vae_ros.bags.writer import BagWriter, message_types
from support.bag_files import (
    change_metadata,
    contents,
    explanation,
    read_all,
    read_strings,
    same,
    SCAN,
    START_NS,
    STRING,
    strings,
    write_drive,
    write_strings,
)


@pytest.fixture(scope='module')
def scans(tmp_path_factory):
    """Return a folder with small bags of a scanner: storage -> bag."""
    folder = tmp_path_factory.mktemp('scans')
    return {
        storage: write_drive(folder / storage, sensors=('lidar',), storage=storage)
        for storage in ('mcap', 'sqlite3')
    }


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
    rng = np.random.default_rng(7)
    tries, harmless = 60, 0
    for position in np.linspace(0, len(content) - 64, tries).astype(int).tolist():
        file.write_bytes(content[:position] + rng.bytes(64) + content[position + 64:])
        with suppress(BagError):
            read_all(path)
            harmless += 1
    assert harmless < tries


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
    assert 'counts 5 messages, its files hold 3' in explanation(path)


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


def test_a_file_that_may_not_be_read_is_named(tmp_path, scans, monkeypatch):
    """The refusal is simulated, because root may read everything."""
    shutil.copytree(scans['mcap'], tmp_path / 'bag')
    allowed = Path.open

    def refused(path, *arguments, **options):
        if path.suffix == '.mcap':
            raise PermissionError(EACCES, 'Permission denied', str(path))
        return allowed(path, *arguments, **options)

    monkeypatch.setattr(Path, 'open', refused)
    text = explanation(tmp_path / 'bag')
    assert text == f'{tmp_path}/bag/mcap.mcap: Permission denied: make it readable'


def test_a_bag_that_was_recorded_without_a_clock_is_refused(tmp_path):
    path = write_strings(tmp_path / 'zero', ['lost'], start=0)
    assert 'received at time 0' in explanation(path)
    with BagWriter(tmp_path / 'some') as writer:
        writer.add_topic('/said', STRING)
        for when in (0, START_NS):
            writer.write('/said', when, message_types()[STRING](data=''))
    assert 'some messages were received at time 0' in explanation(tmp_path / 'some')


def test_a_bag_of_a_simulation_may_begin_at_zero(tmp_path):
    assert read_strings(write_strings(tmp_path / 'bag', start=0)) == ['one', 'two', 'three']


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


def test_a_topic_that_the_bag_lacks_is_an_error_that_lists_those_it_has(scans):
    text = explanation(scans['mcap'], lambda path: list(Bag(path).messages(['/sonar'])))
    assert '/sonar' in text
    assert f'/scan ({SCAN})' in text


def test_a_message_that_is_not_what_its_topic_says_is_an_error(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic('/scan', SCAN)
        writer.write_serialized('/scan', START_NS, b'\0\1\0\0short')
    assert 'topic /scan' in explanation(tmp_path / 'bag')

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Bags are written atomically, in a format that Humble and later read."""

from __future__ import annotations

from pathlib import Path
import re
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from m2vae_ros.bags.storage import BagError
from m2vae_ros.bags.writer import BagWriter, message_types, rosbags_classes
from support.bag_files import SCAN, START_NS, STRING, write_drive


def test_the_written_bag_is_one_that_humble_reads(tmp_path):
    """Its metadata has version 8 at most, with the quality of service as text."""
    path = write_drive(tmp_path / 'bag', seconds=0.3, sensors=('lidar',))
    facts = yaml.safe_load((path / 'metadata.yaml').read_text())['rosbag2_bagfile_information']
    assert facts['version'] <= 8
    for topic in facts['topics_with_message_count']:
        assert isinstance(topic['topic_metadata']['offered_qos_profiles'], str)
    content = (path / facts['relative_file_paths'][0]).read_bytes()
    assert b'ros2msg' in content
    assert b'float32[] ranges' in content


def test_a_bag_is_written_atomically(tmp_path):
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
    with pytest.raises(BagError, match=r'exists already|no folder|must be|unknown|not added'):
        wrong(tmp_path)


def test_a_foreign_message_is_refused_by_name(tmp_path):
    writer = BagWriter(tmp_path / 'bag')
    writer.add_topic('/scan', SCAN)
    with pytest.raises(BagError, match=f'topic /scan: SimpleNamespace is not a {re.escape(SCAN)}'):
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
    """Write to a bag whose file is on a full disk."""
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

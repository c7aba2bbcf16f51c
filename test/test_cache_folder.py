# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A cache is written atomically, also when killed, by several processes, or on a full disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from m2vae_ros.bags.storage import STORAGES
from m2vae_ros.samples import cache, cache_folder
from m2vae_ros.samples.cache import CacheOptions, open_cache
from m2vae_ros.samples.decoding import VALUES
from m2vae_ros.simulation.robot import SENSORS
from support.bag_files import write_drive
from support.waiting import wait_until

ALONE = CacheOptions(processes=1)
LIDAR = SENSORS[1]


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    """Return a drive of 7 s, more than one slice."""
    return write_drive(tmp_path_factory.mktemp('bags') / 'drive', seconds=7.0)


@pytest.fixture(scope='module')
def cached(drive):
    """Return the drive, decoded."""
    return open_cache(drive, SENSORS, ALONE)


def test_a_damaged_cache_is_made_again(tmp_path):
    bag = write_drive(tmp_path / 'drive', seconds=1.0, sensors=('lidar',))
    first = open_cache(bag, [LIDAR], ALONE)
    values = first.take(LIDAR, VALUES, np.arange(3))
    file = first.folder / 'lidar.values'
    file.write_bytes(file.read_bytes()[:-100])
    again = open_cache(bag, [LIDAR], ALONE)
    np.testing.assert_array_equal(again.take(LIDAR, VALUES, np.arange(3)), values)
    assert file.stat().st_size == 10 * 180 * 4


def test_the_cache_of_a_file_does_not_damage_the_bag_that_the_file_belongs_to(tmp_path):
    bag = write_drive(tmp_path / 'drive', seconds=1.0, sensors=('lidar',))
    file, = (path for path in bag.iterdir() if path.suffix in STORAGES)
    of_file = open_cache(file, [LIDAR], ALONE)
    assert of_file.folder.parent.parent == bag
    whole = open_cache(bag, [LIDAR], ALONE)
    assert len(whole.sets) == len(of_file.sets)


def test_a_killed_process_leaves_nothing_that_is_read(drive, cached, tmp_path):
    folder = tmp_path / 'cache'
    process = subprocess.Popen([
        sys.executable, '-c',
        'import sys, time\n'
        'from m2vae_ros.samples import cache\n'
        'from m2vae_ros.simulation.robot import SENSORS\n'
        'cache.fuse = lambda *args, **options: time.sleep(600)\n'  # all but the table is there
        'cache.open_cache(sys.argv[1], SENSORS, cache.CacheOptions(sys.argv[2], processes=1))',
        str(drive), str(folder),
    ], stderr=subprocess.DEVNULL)
    whole = (cached.folder / 'depth.times').stat().st_size

    def all_but_the_table_is_there():
        assert process.poll() is None
        return sum(file.stat().st_size for file in folder.glob('.*.part/depth.times')) >= whole

    wait_until(all_but_the_table_is_there, 'times of the depth camera')
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(folder.glob('.*.part'))
    again = open_cache(drive, SENSORS, CacheOptions(str(folder), processes=1))
    assert not list(folder.glob('.*.part'))
    for file in cached.folder.iterdir():
        assert (again.folder / file.name).read_bytes() == file.read_bytes(), file.name


def test_decoding_processes_end_with_the_one_that_started_them(drive, tmp_path):
    """Orphans would use the disk and the memory that the next try needs."""
    process = subprocess.Popen([
        sys.executable, '-c',
        'import os, signal, sys\n'
        'from m2vae_ros.samples import cache, decoding\n'
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
    children = process.communicate()[0].split()
    assert len(children) >= 2
    assert process.returncode == -signal.SIGKILL
    wait_until(lambda: not any(map(_runs, children)), 'end of the children')


def _runs(pid):
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] not in 'ZX'
    except FileNotFoundError:
        return False


def test_of_two_processes_at_once_one_decodes(drive, tmp_path):
    script = (
        'import sys\n'
        'from m2vae_ros.samples.cache import CacheOptions, open_cache\n'
        'from m2vae_ros.simulation.robot import SENSORS\n'
        'cached = open_cache(sys.argv[1], SENSORS, CacheOptions(sys.argv[2], processes=1))\n'
        'print(len(cached.sets))'
    )
    both = [
        subprocess.Popen([sys.executable, '-c', script, str(drive), str(tmp_path)],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0] != ''
    assert sum('decoding drive' in error for _, error in outputs) == 1
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


def test_a_folder_that_cannot_be_written_is_named_with_the_fix(drive, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(ValueError, match=f'{tmp_path}/file.*--cache'):
        open_cache(drive, SENSORS, CacheOptions(f'{tmp_path}/file/cache', processes=1))


def test_a_finished_cache_needs_no_writing(drive, cached, monkeypatch):
    def refused(*args, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, 'mkdir', refused)
    monkeypatch.setattr(cache, 'write_lock', refused)
    assert len(open_cache(drive, SENSORS, ALONE).sets) == len(cached.sets)


def test_a_disk_too_small_is_an_error_before_anything_is_decoded(drive, tmp_path, monkeypatch):
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

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The listings of docs/python.md run as they stand, are short, and use public names only."""

from __future__ import annotations

import ast
from importlib import import_module
import os
from pathlib import Path
import re
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parents[1]
LISTINGS = re.findall(r'^```python\n(.*?)^```$', (ROOT / 'docs' / 'python.md').read_text(),
                      re.MULTILINE | re.DOTALL)
LONGEST = {'objective': 25, 'bag': 10, 'fusion': 15}  # lines
SECONDS = 3.0


def listing(name: str) -> str:
    return LISTINGS[list(LONGEST).index(name)]


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the bag that the listings read, and the shipped model."""
    pytest.importorskip('rosbags', reason="needs rosbags: pip install 'rosbags>=0.11.9'")
    from m2vae_ros.samples.recording import DriveOptions, record

    path = tmp_path_factory.mktemp('reader')
    record(path / 'drive', DriveOptions(seconds=SECONDS))
    (path / 'config').symlink_to(ROOT / 'config')
    return path


def printed(code: str, folder: Path) -> list[list[str]]:
    """Return the words of each line that a listing prints."""
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=folder,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
    )
    assert result.returncode == 0, result.stderr
    return [line.split() for line in result.stdout.splitlines()]


def test_there_are_three_listings() -> None:
    assert len(LISTINGS) == len(LONGEST)


@pytest.mark.parametrize(('name', 'most'), LONGEST.items())
def test_a_listing_is_short(name: str, most: int) -> None:
    assert len(listing(name).splitlines()) <= most


@pytest.mark.parametrize('code', LISTINGS, ids=LONGEST)
def test_a_listing_uses_public_names_only(code: str) -> None:
    imported = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    own = [node for node in imported if node.module.startswith('m2vae_ros')]
    assert own
    for node in own:
        assert {alias.name for alias in node.names} <= set(import_module(node.module).__all__)


def test_the_bound_of_the_readers_own_networks_rises(tmp_path: Path) -> None:
    pytest.importorskip('torch', reason="needs torch: pip install 'torch>=2.1'")
    lines = printed(listing('objective'), tmp_path)
    nats = [float(line[1]) for line in lines]
    assert len(nats) > 2
    assert nats[-1] > nats[0] + 10
    assert nats[-1] > nats[1]


def test_a_bag_becomes_measurements(folder: Path) -> None:
    lines = printed(listing('bag'), folder)
    stamps, ranges = [int(line[0]) for line in lines], [float(line[1]) for line in lines]
    assert len(lines) > SECONDS * 5
    assert stamps == sorted(set(stamps))
    assert all(0.1 <= metres <= 10 for metres in ranges)


def test_a_bag_is_fused_without_ros(folder: Path) -> None:
    pytest.importorskip('torch', reason="needs torch: pip install 'torch>=2.1'")
    lines = printed(listing('fusion'), folder)
    stamps = [int(line[0]) for line in lines]
    assert len(lines) > SECONDS * 5
    assert stamps == sorted(set(stamps))
    assert {line[1] for line in lines} >= {'camera+lidar+depth'}

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Folders that are whole or not there, whoever is killed and however many write at once.

What has a key is written under another name and renamed when it is whole. Of several processes
that want it, one writes and the others wait. What a killed process left behind is removed by the
next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
import errno
import fcntl
from pathlib import Path
import shutil
import sys

_PART, _LOCK = '.part', '.lock'  # of a key: what is being written, and who writes
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def turn(place: Path, key: str) -> Iterator[None]:
    """Hold the right to write what has a key; it ends with the process, whatever ends that."""
    place.mkdir(parents=True, exist_ok=True)
    _clean(place)
    with (place / f'.{key}{_LOCK}').open('a') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f'{place}: another process is decoding, waiting for it', file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def whole_or_not_at_all(place: Path, key: str) -> Iterator[Path]:
    """Give an empty folder that becomes ``place/key`` if all goes well, else is removed."""
    folder = place / f'.{key}{_PART}'
    for old in (folder, place / key):  # left behind, or damaged
        shutil.rmtree(old, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
        folder.rename(place / key)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def writable(place: Path, bag: Path) -> Iterator[None]:
    """
    Say what to do where the disk is full or may not be written.

    Raises
    ------
    ValueError
        In place of an OSError.

    """
    try:
        yield
    except OSError as error:
        fix = 'free some space' if error.errno in _FULL else 'make it writable'
        raise ValueError(
            f'{place}: {error.strerror}: what is decoded of {bag} cannot be written there: {fix}, '
            f'or name another folder with --cache'
        ) from error


def check_free(place: Path, bag: Path, needed: int) -> None:
    """
    Check that there is room for what is to be written.

    Raises
    ------
    ValueError
        If there is not.

    """
    free = shutil.disk_usage(place).free
    if needed > free:
        raise ValueError(
            f'{place}: the decoded {bag} takes {needed / 1e6:.0f} MB, only {free / 1e6:.0f} MB '
            f'are free: free some space, or name another folder with --cache'
        )


def _clean(place: Path) -> None:
    """Remove what processes left behind that were killed."""
    for folder in place.glob(f'.*{_PART}'):
        with (place / f'{folder.stem}{_LOCK}').open('a') as lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)

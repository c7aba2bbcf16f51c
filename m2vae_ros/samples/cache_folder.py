# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Cache folders that are written atomically, by one process at a time.

A folder is written under another name and renamed when it is complete. Of several processes that
want the same one, the first writes it and the others wait. What a killed process left behind is
removed by the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
import errno
import fcntl
from hashlib import blake2b
from pathlib import Path
import shutil
import sys

_PART, _LOCK = '.part', '.lock'  # suffixes of a key: the folder being written, the writer's lock
_CHUNK_BYTES = 2**20
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def write_lock(root: Path, key: str) -> Iterator[None]:
    """Hold the right to write ``root/key``; it ends with the process, however that ends."""
    root.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(root)
    with (root / f'.{key}{_LOCK}').open('a') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f'{root}: waiting for another process that is decoding', file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def atomic_folder(root: Path, key: str) -> Iterator[Path]:
    """Yield an empty folder that becomes ``root/key`` at the end, or is removed on an error."""
    folder = root / f'.{key}{_PART}'
    for old in (folder, root / key):  # what a killed process left, and a damaged cache
        shutil.rmtree(old, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
        folder.rename(root / key)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def explain_write_errors(root: Path, bag: Path) -> Iterator[None]:
    """
    Turn an OSError of writing the cache of a bag into a ValueError that says what to do.

    Raises
    ------
    ValueError
        If the disk is full or the folder cannot be written.

    """
    try:
        yield
    except OSError as error:
        fix = 'free some space' if error.errno in _DISK_FULL else 'make it writable'
        raise ValueError(
            f'{root}: {error.strerror}: the decoded {bag} cannot be written there: {fix}, or name '
            f'another folder with --cache'
        ) from error


def digest_of(path: Path) -> str:
    """Return the BLAKE2b digest of a file."""
    digest = blake2b(digest_size=16)
    with path.open('rb') as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def check_free_space(root: Path, bag: Path, needed: int) -> None:
    """
    Check that the disk has room for the decoded bag.

    Parameters
    ----------
    root
        Folder of the cache.
    bag
        The bag, for the message.
    needed
        Bytes to be written.

    Raises
    ------
    ValueError
        If there is too little room.

    """
    free = shutil.disk_usage(root).free
    if needed > free:
        raise ValueError(
            f'{root}: the decoded {bag} takes {needed / 1e6:.0f} MB, only {free / 1e6:.0f} MB '
            f'are free: free some space, or name another folder with --cache'
        )


def _remove_leftovers(root: Path) -> None:
    """Remove the unfinished folders of processes that were killed."""
    for folder in root.glob(f'.*{_PART}'):
        with (root / f'{folder.stem}{_LOCK}').open('a') as lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)

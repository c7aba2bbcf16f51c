# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Hidden folders in which a bag or report is written before it is moved to its path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import fcntl
from pathlib import Path
import re
import shutil
import tempfile
import time

_LOCK = '.lock'
_UNLOCKED_AGE = 60.0  # s, after which a folder without a lock is no longer about to get one


@contextmanager
def folder_aside(path: Path, kind: str) -> Iterator[Path]:
    """
    Yield an empty hidden folder beside a path; it is removed when the context ends.

    Those of the same path and kind whose process was killed are removed first.

    Parameters
    ----------
    path
        Where the content will be put by the caller; its parent exists.
    kind
        What is written, a word in the folder's name.

    Raises
    ------
    OSError
        If no folder can be made there.

    """
    remove_abandoned(path, kind)
    aside = Path(tempfile.mkdtemp(prefix=_prefix(path, kind), dir=path.parent))
    try:
        with (aside / _LOCK).open('w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # is released when the process ends, however it ends
            yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def remove_abandoned(path: Path, kind: str) -> None:
    """Remove the hidden folders of a path and kind whose process was killed."""
    ours = re.compile(re.escape(_prefix(path, kind)) + r'[a-z0-9_]{8}')  # as `tempfile` names them
    try:
        found = [folder for folder in path.parent.iterdir() if ours.fullmatch(folder.name)]
    except OSError:  # a folder that can be written and not listed
        return
    for folder in found:
        try:
            with (folder / _LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:  # somebody writes there
            continue
        except OSError:
            if _age(folder) > _UNLOCKED_AGE:
                shutil.rmtree(folder, ignore_errors=True)


def _prefix(path: Path, kind: str) -> str:
    return f'.{path.name}.{kind}.'


def _age(folder: Path) -> float:
    """Return the seconds since a folder was changed, 0 if it is gone."""
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:
        return 0.0

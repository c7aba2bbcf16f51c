# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The folder of a report, written atomically, also if the process is killed or the disk full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import fcntl
from pathlib import Path
import shutil
import tempfile

METRICS, PAGE, LATENTS = 'metrics.json', 'report.html', 'latents'
_LOCK = '.lock'


@contextmanager
def report_folder(path: Path) -> Iterator[Path]:
    """
    Yield a folder to write a report to; it is moved to its path when the context ends well.

    It replaces an earlier report. What killed processes left behind is removed.

    Parameters
    ----------
    path
        Folder of the report.

    Raises
    ------
    ValueError
        If there is something else at the path, or it cannot be written.

    """
    _check(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        aside = Path(tempfile.mkdtemp(prefix=_prefix(path), dir=path.parent))
    except OSError as error:
        raise ValueError(f'--report {path}: cannot be written: {error.strerror}') from error
    try:
        with (aside / _LOCK).open('w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield aside
            except OSError as error:
                raise ValueError(
                    f'--report {path}: cannot be written: {error.strerror or error}'
                ) from error
            (aside / _LOCK).unlink()
            aside.chmod(0o755)
            if path.exists():
                old = Path(tempfile.mkdtemp(prefix=_prefix(path), dir=path.parent))
                path.rename(old / path.name)
                aside.rename(path)
                shutil.rmtree(old, ignore_errors=True)
            else:
                aside.rename(path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _prefix(path: Path) -> str:
    return f'.{path.name}.report.'


def _check(path: Path) -> None:
    """Check that there is nothing at the path but a report or an empty folder."""
    if not path.exists() or (path / METRICS).is_file():
        return
    if not path.is_dir() or any(path.iterdir()):
        raise ValueError(
            f'--report {path}: exists and is not a report of m2vae evaluate: give another folder'
        )


def _remove_leftovers(path: Path) -> None:
    """Remove the unfinished folders of processes that were killed."""
    for folder in path.parent.glob(f'{_prefix(path)}*'):
        try:
            with (folder / _LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another process is writing it
            continue
        except FileNotFoundError:
            pass
        shutil.rmtree(folder, ignore_errors=True)

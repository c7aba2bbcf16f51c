# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A folder that is there whole or not at all, also after a kill or on a full disk."""

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
    Give a folder to write a report into; it is at its place when the context ends well.

    An earlier report there is replaced by it. What killed processes left behind is removed.

    Raises
    ------
    ValueError
        If the path is something else than a report, or cannot be written.

    """
    _check(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clean(path)
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
    if not path.exists() or (path / METRICS).is_file():
        return
    if not path.is_dir() or any(path.iterdir()):
        raise ValueError(
            f'--report {path}: exists and is no report of m2vae evaluate: name another folder'
        )


def _clean(path: Path) -> None:
    for left in path.parent.glob(f'{_prefix(path)}*'):
        try:
            with (left / _LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody is at it
            continue
        except FileNotFoundError:
            pass
        shutil.rmtree(left, ignore_errors=True)

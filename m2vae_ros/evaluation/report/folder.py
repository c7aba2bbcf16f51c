# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The folder of a report, written atomically, also if the process is killed or the disk full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, ExitStack
from pathlib import Path

from m2vae_ros.aside import folder_aside

METRICS, PAGE, LATENTS = 'metrics.json', 'report.html', 'latents'


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
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = stack.enter_context(folder_aside(path, 'report'))
            content = aside / path.name
            content.mkdir()
        except OSError as error:
            raise ValueError(f'--report {path}: cannot be written: {error.strerror}') from error
        try:
            yield content
        except OSError as error:
            raise ValueError(
                f'--report {path}: cannot be written: {error.strerror or error}'
            ) from error
        if path.exists():
            path.rename(aside / f'{path.name}.old')
        content.rename(path)


def _check(path: Path) -> None:
    """Check that there is nothing at the path but a report or an empty folder."""
    if not path.exists() or (path / METRICS).is_file():
        return
    if not path.is_dir() or any(path.iterdir()):
        raise ValueError(
            f'--report {path}: exists and is not a report of m2vae evaluate: give another folder'
        )

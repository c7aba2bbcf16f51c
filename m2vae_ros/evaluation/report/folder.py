# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A folder that is there whole or not at all, also after a kill or on a full disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, ExitStack
from pathlib import Path

from m2vae_ros.aside import folder_aside

METRICS, PAGE, LATENTS = 'metrics.json', 'report.html', 'latents'


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
    if not path.exists() or (path / METRICS).is_file():
        return
    if not path.is_dir() or any(path.iterdir()):
        raise ValueError(
            f'--report {path}: exists and is no report of m2vae evaluate: name another folder'
        )

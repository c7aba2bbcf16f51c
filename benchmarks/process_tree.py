# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Run a command and watch how much memory it takes, its children included (Linux).

Memory is the proportional set size: what several processes share counts once, mapped files count
as far as they are in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
import os
from pathlib import Path
import re
import subprocess
import sys
import tempfile
import time

_PERIOD = 0.1  # s, between two looks
_LINES = re.compile(r'^(Pss|Rss):\s+(\d+) kB', re.M)


@dataclass(frozen=True)
class Measured:
    """
    What a command took.

    Parameters
    ----------
    seconds
        From start to end.
    peak_bytes
        Most memory, what processes share counted once.
    peak_resident_bytes
        The same, counted for each of them.
    output
        What it said on both outputs.

    """

    seconds: float
    peak_bytes: int
    peak_resident_bytes: int
    output: str


def run(words: Sequence[str], environment: Mapping[str, str] | None = None) -> Measured:
    """
    Run a command to its end.

    Parameters
    ----------
    words
        The command line.
    environment
        Variables besides those of this process.

    Raises
    ------
    SystemExit
        If the command fails; with what it said.

    """
    print('$', ' '.join(words), file=sys.stderr, flush=True)
    peak = resident = 0
    with tempfile.TemporaryFile('w+') as output:
        started = time.monotonic()
        process = subprocess.Popen(
            words, stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        try:
            while process.poll() is None:
                once, each = _memory(process.pid)
                peak, resident = max(peak, once), max(resident, each)
                time.sleep(_PERIOD)
        finally:
            process.kill()
            process.wait()
        seconds = time.monotonic() - started
        output.seek(0)
        said = output.read()
    if process.returncode:
        raise SystemExit(f'{" ".join(words)}: exit code {process.returncode}\n{said[-3000:]}')
    return Measured(seconds, peak, resident, said)


def seconds_until(words: Sequence[str], seen: Callable[[], bool]) -> float:
    """
    Run a command until something is there, and end it; how much memory it takes is not looked at.

    Parameters
    ----------
    words
        The command line.
    seen
        Asked again and again.

    Raises
    ------
    SystemExit
        If the command ends before that.

    """
    print('$', ' '.join(words), file=sys.stderr, flush=True)
    started = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not seen():
            if process.poll() is not None:
                raise SystemExit(f'{" ".join(words)}: ended before what was waited for was there')
            time.sleep(_PERIOD / 10)
        return time.monotonic() - started
    finally:
        process.kill()
        process.wait()


def _memory(root: int) -> tuple[int, int]:
    """Return the memory of a process and all below it: shared parts once, and each time."""
    parents = {}
    for folder in Path('/proc').glob('[0-9]*'):
        with suppress(OSError):
            after_name = (folder / 'stat').read_text().rpartition(')')[2].split()
            parents[int(folder.name)] = int(after_name[1])
    tree, found = set(), {root}
    while found:
        tree |= found
        found = {pid for pid, parent in parents.items() if parent in tree} - tree
    once = each = 0
    for pid in tree:
        with suppress(OSError):  # it has ended
            sizes = dict(_LINES.findall(Path(f'/proc/{pid}/smaps_rollup').read_text()))
            once += 1024 * int(sizes.get('Pss', 0))
            each += 1024 * int(sizes.get('Rss', 0))
    return once, each

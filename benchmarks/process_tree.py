# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Run a command and measure its memory, child processes included (Linux).

Memory is the proportional set size: memory shared by several processes counts once, and mapped
files count as far as they are in memory.
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

_PERIOD = 0.1  # s, between two measurements of memory
_MEMORY_LINES = re.compile(r'^(Pss|Rss):\s+(\d+) kB', re.M)


@dataclass(frozen=True)
class Measured:
    """
    Time and memory of a command.

    Parameters
    ----------
    seconds
        From start to end.
    peak_bytes
        Peak memory; shared memory counts once.
    peak_resident_bytes
        Peak memory; shared memory counts for each process.
    output
        Standard output and standard error.

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
        Environment variables besides those of this process.

    Raises
    ------
    SystemExit
        If the command fails; with the end of its output.

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
                shared_once, shared_each = _memory(process.pid)
                peak, resident = max(peak, shared_once), max(resident, shared_each)
                time.sleep(_PERIOD)
        finally:
            process.kill()
            process.wait()
        seconds = time.monotonic() - started
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise SystemExit(f'{" ".join(words)}: exit code {process.returncode}\n{text[-3000:]}')
    return Measured(seconds, peak, resident, text)


def seconds_until(words: Sequence[str], is_reached: Callable[[], bool]) -> float:
    """
    Return the seconds from the start of a command until a condition holds, and kill the command.

    Parameters
    ----------
    words
        The command line.
    is_reached
        The condition, called repeatedly.

    Raises
    ------
    SystemExit
        If the command ends before.

    """
    print('$', ' '.join(words), file=sys.stderr, flush=True)
    started = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not is_reached():
            if process.poll() is not None:
                raise SystemExit(f'{" ".join(words)}: ended before the condition was reached')
            time.sleep(_PERIOD / 10)
        return time.monotonic() - started
    finally:
        process.kill()
        process.wait()


def _memory(root: int) -> tuple[int, int]:
    """Return a process tree's memory in bytes: with shared memory once, and for each process."""
    parents = {}
    for folder in Path('/proc').glob('[0-9]*'):
        with suppress(OSError):
            after_name = (folder / 'stat').read_text().rpartition(')')[2].split()
            parents[int(folder.name)] = int(after_name[1])
    tree, children = set(), {root}
    while children:
        tree |= children
        children = {pid for pid, parent in parents.items() if parent in tree} - tree
    shared_once = shared_each = 0
    for pid in tree:
        with suppress(OSError):  # it has ended
            sizes = dict(_MEMORY_LINES.findall(Path(f'/proc/{pid}/smaps_rollup').read_text()))
            shared_once += 1024 * int(sizes.get('Pss', 0))
            shared_each += 1024 * int(sizes.get('Rss', 0))
    return shared_once, shared_each

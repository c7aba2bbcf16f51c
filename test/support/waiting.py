# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
How tests wait, on a machine however busy.

A test waits for events with `wait_until`, which has no time limit of its own. A test about time
compares with what the machine can do at that moment: it measures with a `BusyClock`, or slows
down what it plays by `slowdown`.
"""

from __future__ import annotations

from collections.abc import Callable
from configparser import ConfigParser
import mmap
from pathlib import Path
import subprocess
import sys
import tempfile
import time

import pytest

ROOT = Path(__file__).resolve().parents[2]
_BUSY = """
import mmap, os, struct, sys, time
parent = os.getppid()
with open(sys.argv[1], 'r+b') as file:
    shown = mmap.mmap(file.fileno(), 8)
while os.getppid() == parent:
    struct.pack_into('d', shown, 0, time.process_time())
"""


def _limit_of_a_test() -> float:
    """Return the seconds after which pytest-timeout ends a test."""
    settings = ConfigParser()
    settings.read(ROOT / 'setup.cfg')
    return settings.getfloat('tool:pytest', 'timeout')


def wait_until(
    condition: Callable,
    what: str | Callable[[], str] = 'it',
    *,
    step: Callable[[], object] = lambda: time.sleep(0.02),
    log: Callable[[], str] = str,
):
    """
    Wait until a condition holds; return its value.

    The wait ends when pytest-timeout ends the test (setup.cfg), or as much later where that has
    struck already. The failure names what was missing.

    Parameters
    ----------
    condition
        Returns something true once it holds.
    what
        What is waited for, or returns it.
    step
        Called between two looks at the condition. It lets a little time pass, spins an executor,
        fails the test if what is waited for can no longer happen.
    log
        Returns the output of the processes, for the failure.

    """
    end = time.monotonic() + _limit_of_a_test()
    try:
        while not (value := condition()):
            step()
            if time.monotonic() > end:
                pytest.fail('pytest-timeout did not end this test')
    except pytest.fail.Exception as failure:
        missing = what() if callable(what) else what
        raise AssertionError(f'no {missing}: {failure}\n{log()}') from None
    return value


class BusyClock:
    """
    A clock that runs slower where the machine is busy: the CPU time of a process that computes.

    As long as a core is free it shows seconds. Where others compete for the cores it runs as much
    slower as any process of the test may, so a limit on it holds on a busy machine too. A context
    that begins to count when it is made.
    """

    def __init__(self) -> None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(8))
            file.flush()
            self._shown = mmap.mmap(file.fileno(), 8)
            self._process = subprocess.Popen([sys.executable, '-ESs', '-c', _BUSY, file.name])
            try:
                wait_until(self._cpu_seconds, 'busy process')
            except BaseException:
                self._end()
                raise
        self._began = self._cpu_seconds(), time.monotonic()

    def __enter__(self) -> BusyClock:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def seconds(self) -> float:
        """Return the seconds since the beginning."""
        return self._cpu_seconds() - self._began[0]

    def slowdown(self) -> float:
        """Return how many times slower than real time it has run, 1 or more."""
        return max(1.0, (time.monotonic() - self._began[1]) / max(self.seconds(), 1e-3))

    def _cpu_seconds(self) -> float:
        return memoryview(self._shown).cast('d')[0]

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()


def slowdown() -> float:
    """Return how many times slower than alone a busy process runs on this machine now."""
    with BusyClock() as clock:
        wait_until(lambda: clock.seconds() >= 0.2, '0.2 s of CPU time')
        return clock.slowdown()

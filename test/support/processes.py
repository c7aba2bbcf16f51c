# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Programs of the package in processes of their own, started as a user starts them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
import os
from pathlib import Path
import signal
import subprocess
import sys

from support.waiting import wait_until

os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)
ROOT = Path(__file__).resolve().parents[2]


class Process:
    """
    A Python program; as a context it is killed at the end.

    Parameters
    ----------
    code
        The program.
    words
        Its arguments.
    log
        File for its output.
    session
        Whether it and its children get a session of their own and are killed together.
    environment
        Added to this process's own.

    """

    def __init__(
        self, code: str, words: Sequence, log: Path, *, session: bool = False, **environment: str
    ) -> None:
        self._log = log
        self._session = session
        with log.open('w') as file:
            self._process = subprocess.Popen(
                [sys.executable, '-c', code, *map(str, words)], cwd=ROOT,
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                env={**os.environ, **environment}, start_new_session=session,
            )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors='replace')

    def ended(self) -> bool:
        return self._process.poll() is not None

    def check(self) -> None:
        """Fail, with the log, if it has ended."""
        code = self._process.poll()
        assert code is None, f'the process ended with exit code {code}:\n{self.log}'

    def wait_for(self, condition, what='it'):
        """Wait until a condition holds and return its value; fail if the process ends before."""
        return wait_until(condition, what, step=self._nap, log=lambda: self.log)

    def wait(self) -> int:
        """Return its exit code once it has ended."""
        wait_until(self.ended, 'end of the process', log=lambda: self.log)
        return self._process.returncode

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def stop(self, by: int = signal.SIGINT) -> int:
        """End it as Ctrl-C does, or by another signal; return its exit code."""
        self.send_signal(by)
        try:
            return self.wait()
        finally:
            self.kill()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            if self._session:
                os.killpg(self.pid, signal.SIGKILL)
            elif not self.ended():
                self._process.kill()
        self._process.wait()

    def _nap(self) -> None:
        self.check()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.02)


def is_running(pid: int) -> bool:
    """Return whether a process is there and no zombie, which its new parent may keep for long."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] not in 'ZX'
    return False


def entry(function: str) -> str:
    """Return the code that runs a function of `m2vae_ros.cli` as its script does."""
    return f'import sys; from m2vae_ros import cli; sys.exit(cli.{function}())'

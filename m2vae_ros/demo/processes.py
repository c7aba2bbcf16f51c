# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Child processes that end with their parent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
import os
from pathlib import Path
import signal
import subprocess
import sys
from types import FrameType, TracebackType

from m2vae_ros.parent import end_with_parent

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_KILL_TIMEOUT = 5.0  # s, from asking a process to end to killing it
_LAST_LINES = 15  # of a log, in an error


class ProcessDiedError(ValueError):
    """A child process has ended early; the text has the end of its log."""


class Processes:
    """
    Python modules that run as processes, each with a log file; leaving the context ends them.

    Each has its own session, so Ctrl-C reaches only the parent, which then ends them in order. If
    the parent is killed they end by themselves; see `end_with_parent`.

    Parameters
    ----------
    folder
        Folder for the logs, ``<name>.log``.

    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self, name: str, module: str, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        """Run the `main` of a module; ``environment`` is added to this process's environment."""
        code = (
            f'from {end_with_parent.__module__} import {end_with_parent.__name__} as begin; '
            f'begin({os.getpid()}); '
            f'import sys; from {module} import main; sys.exit(main())'
        )
        with self._log(name).open('wb') as log, signals_delayed():
            self._processes[name] = subprocess.Popen(
                [sys.executable, '-c', code, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise ProcessDiedError if one has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                text = self._log(name).read_text(errors='replace')
                end = '\n'.join(text.splitlines()[-_LAST_LINES:])
                raise ProcessDiedError(
                    f'process {name} ended with exit code {process.returncode}; '
                    f'the end of {self._log(name)}:\n{end}'
                )

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        handlers = {caught: signal.signal(caught, signal.SIG_IGN) for caught in ENDING_SIGNALS}
        try:  # a second signal would leave processes behind
            for process in self._processes.values():
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
            for process in self._processes.values():
                try:
                    process.wait(_KILL_TIMEOUT)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        finally:
            for caught, handler in handlers.items():
                signal.signal(caught, handler)

    def _log(self, name: str) -> Path:
        return self._folder / f'{name}.log'


@contextmanager
def signals_delayed() -> Iterator[None]:
    """
    Delay the signals that end the parent until the end of the context.

    An exception between the start of a process and its registration would lose the process, and
    one within rclpy becomes another of pybind11, with a traceback.
    """
    delayed: list[int] = []

    def delay(number: int, frame: FrameType | None) -> None:
        delayed.append(number)

    handlers = {caught: signal.signal(caught, delay) for caught in ENDING_SIGNALS}
    try:
        yield
    finally:
        for caught, handler in handlers.items():
            signal.signal(caught, handler)
        for number in delayed:
            signal.raise_signal(number)

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Child processes that end when their parent does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
import os
from pathlib import Path
import signal
import subprocess
import sys
from types import FrameType, TracebackType

_PATIENCE = 5.0  # s, from asking a process to end to killing it
_LAST_LINES = 15


class ProcessDiedError(ValueError):
    """A child process ended by itself; the text has the end of its log."""


class Processes:
    """
    Python modules running as processes, each with a log file; a context that ends them all.

    They have sessions of their own, so that a Ctrl-C reaches the parent alone, which then ends
    them in order.

    Parameters
    ----------
    folder
        Where the logs go, ``<name>.log``.

    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self, name: str, module: str, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        """Run the `main` of a module; `environment` is added to this process's own."""
        code = f'import sys; from {module} import main; sys.exit(main())'
        with self._log(name).open('wb') as log, _uninterrupted():
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
        impatient = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C changes nothing
        try:
            for process in self._processes.values():
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
            for process in self._processes.values():
                try:
                    process.wait(_PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        finally:
            signal.signal(signal.SIGINT, impatient)

    def _log(self, name: str) -> Path:
        return self._folder / f'{name}.log'


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """
    Hold back Ctrl-C and SIGTERM until the end of the context.

    Between the start of a process and its entry into the books, an exception would lose it.
    """
    held: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        held.append(number)

    handlers = {sign: signal.signal(sign, hold) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for sign, handler in handlers.items():
            signal.signal(sign, handler)
        for number in held:
            signal.raise_signal(number)

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Why a process of a launch has ended, from its exit code and what it said last."""

from __future__ import annotations

import re
import signal

_COLOURS = re.compile(r'\x1b\[[0-9;]*m')
# As rcutils writes it by default, and as `m2vae_ros.cli` does.
_LOGGED = re.compile(r'\[(?P<level>[A-Z]+)\] \[[\d.]+\] \[[^\]]*\]: (?P<text>.+)')
_FAILED = re.compile(r'\w+: error: (?P<text>.+)')
_TRACEBACK = 'Traceback (most recent call last):'


class LastWords:
    """
    The line of a process's output that says best why it has ended.

    That is its last error, else its last line.

    Parameters
    ----------
    name
        What the user calls the process.

    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._rest = ''  # of a line that has not ended yet
        self._last_line = self._last_error = ''
        self._explains = False  # whether a traceback that follows belongs to the last error

    def hear(self, output: bytes) -> None:
        """Take more of the output."""
        *lines, self._rest = (self._rest + output.decode(errors='replace')).split('\n')
        for line in lines:
            self._hear_line(_COLOURS.sub('', line).strip())

    def reason(self, exit_code: int) -> str:
        """Return in a line how the process has ended, and why."""
        self.hear(b'\n')
        if exit_code < 0:
            return f'{self.name} was ended by {signal.Signals(-exit_code).name}'
        if exit_code == 0:
            return f'{self.name} has ended too early'
        said = self._last_error or self._last_line or 'it gave no reason'
        return f'{self.name} ended with exit code {exit_code}: {said}'

    def _hear_line(self, line: str) -> None:
        if not line:
            return
        self._last_line = line
        logged, failed = _LOGGED.fullmatch(line), _FAILED.fullmatch(line)
        if failed is not None:
            self._last_error = failed['text']
        elif logged is not None:
            self._explains = logged['text'] == _TRACEBACK
            if logged['level'] in ('ERROR', 'FATAL') and not self._explains:
                self._last_error = logged['text']
        elif line == _TRACEBACK and not self._explains:  # its last line says why
            self._last_error = ''

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Keys pressed in the terminal, if there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
import os
import select
import sys
import termios
import tty


@contextmanager
def pressed_keys() -> Iterator[Callable[[], str]]:
    """
    Yield a function that returns the keys pressed since its last call, without waiting.

    Within the context the terminal does not wait for whole lines; afterwards its settings are
    restored. If the standard input is not a terminal, or another process is in the foreground,
    the function returns an empty text.
    """
    if not sys.stdin or not sys.stdin.isatty():
        yield lambda: ''
        return
    descriptor = sys.stdin.fileno()

    def in_foreground() -> bool:
        try:
            return os.tcgetpgrp(descriptor) == os.getpgrp()
        except OSError:  # the terminal was closed
            return False

    def pressed() -> str:
        if not in_foreground() or not select.select([descriptor], [], [], 0)[0]:
            return ''
        with suppress(OSError):
            return os.read(descriptor, 64).decode(errors='replace')
        return ''

    before = termios.tcgetattr(descriptor)
    if in_foreground():  # in the background this would stop the process
        tty.setcbreak(descriptor)
    try:
        yield pressed
    finally:
        if in_foreground():
            with suppress(termios.error):
                termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

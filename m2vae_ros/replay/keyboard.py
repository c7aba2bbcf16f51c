# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Single keys of the terminal, where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import os
import select
import sys
import termios
import tty


@contextmanager
def pressed_keys() -> Iterator[Callable[[], str]]:
    """
    Give a function that returns the keys pressed since its last call, never waiting.

    The terminal does not wait for a line meanwhile, and is as before afterwards. Where the
    standard input is no terminal, or is that of another process in the foreground, no key is
    ever pressed.
    """
    if not sys.stdin or not sys.stdin.isatty():
        yield lambda: ''
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def pressed() -> str:
        if os.tcgetpgrp(descriptor) != os.getpgrp():
            return ''
        if not select.select([descriptor], [], [], 0)[0]:
            return ''
        return os.read(descriptor, 64).decode(errors='replace')

    if os.tcgetpgrp(descriptor) == os.getpgrp():  # in the background this would stop the process
        tty.setcbreak(descriptor)
    try:
        yield pressed
    finally:
        if os.tcgetpgrp(descriptor) == os.getpgrp():
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

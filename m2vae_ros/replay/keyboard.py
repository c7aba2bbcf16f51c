# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Keys pressed in the terminal, if there is one."""

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
    Yield a function that returns the keys pressed since its last call, without waiting.

    Within the context the terminal does not wait for whole lines; afterwards its settings are
    restored. If the standard input is not a terminal, or another process is in the foreground,
    the function returns an empty text.
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

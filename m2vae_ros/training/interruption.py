# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C, or a scheduler's SIGTERM: asked for once, the training ends after the step it is at."""

from __future__ import annotations

import signal
import threading
from time import monotonic
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SAME = 1.0  # seconds in which a signal counts as the first one: launchers hand theirs on


class Interruption:
    """
    A context in which the first signal only asks to end; a second one ends at once.

    Attributes
    ----------
    asked
        Whether there was a signal.

    """

    def __init__(self) -> None:
        self.asked = False
        self._asked_at = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        if _in_main_thread():
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def listen(self) -> None:
        """Take the signals, also where another has taken them meanwhile."""
        if _in_main_thread():
            for number in _SIGNALS:
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = monotonic()
        if self.asked and now - self._asked_at > _SAME:
            raise KeyboardInterrupt
        if not self.asked:
            self.asked, self._asked_at = True, now


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()

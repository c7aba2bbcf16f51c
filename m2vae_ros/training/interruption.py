# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C or a scheduler's SIGTERM: the first one ends the training after the current step."""

from __future__ import annotations

import signal
import threading
from time import monotonic
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ONE_SIGNAL_SECONDS = 1.0  # within it signals count as one: launchers forward theirs as well


class Interruption:
    """
    A context in which the first signal requests an end, and a second one ends at once.

    Attributes
    ----------
    requested
        Whether there was a signal.

    """

    def __init__(self) -> None:
        self.requested = False
        self._requested_at = 0.0
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
        """Handle the signals, even if somebody else has set a handler since."""
        if _in_main_thread():
            for number in _SIGNALS:
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = monotonic()
        if self.requested and now - self._requested_at > _ONE_SIGNAL_SECONDS:
            raise KeyboardInterrupt
        if not self.requested:
            self.requested, self._requested_at = True, now


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Signals that tell a process to end, at any moment of its life.

Before a node exists there is nothing to finish: the process ends at once. From then on a signal is
remembered, and whoever serves the node looks for it. Nothing is raised: an exception at any point
within rclpy leaves half-made objects, which complain with a traceback.
"""

from __future__ import annotations

from collections.abc import Callable
import os
import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last: the terminal was closed
_received: list[int] = []


def end_at_once() -> None:
    """From now on, let a signal end the process with exit code 0."""
    _handle_by(_exit)


def remember() -> None:
    """From now on, let a signal be remembered; `was_requested` tells."""
    _handle_by(_remember)


def request() -> None:
    """Let this process end as by a signal that was remembered."""
    _received.append(0)


def ignore() -> None:
    """From now on, ignore signals: the process ends anyway, and Python no longer handles them."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def was_requested() -> bool:
    """Return whether a signal has been remembered."""
    return bool(_received)


def _handle_by(handler: Callable[[int, object], None]) -> None:
    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as nohup asks
            signal.signal(number, handler)


def _exit(number: int, frame: object) -> None:
    os._exit(0)


def _remember(number: int, frame: object) -> None:
    _received.append(number)

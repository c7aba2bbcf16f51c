# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Signals that tell a process to end, at any moment of its life.

Before a node exists there is nothing to finish: the process ends at once. From then on a signal is
remembered, and whoever serves the node looks for it. Nothing is raised: an exception at any point
within rclpy leaves half-made objects, which complain with a traceback.
"""

from __future__ import annotations

import os
import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_received: list[int] = []


def end_at_once() -> None:
    """From now on, let a signal end the process with exit code 0."""
    for number in SIGNALS:
        signal.signal(number, _exit)


def remember() -> None:
    """From now on, let a signal be remembered; `was_requested` tells."""
    for number in SIGNALS:
        signal.signal(number, _remember)


def ignore() -> None:
    """From now on, ignore signals: the process ends anyway, and Python no longer handles them."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def was_requested() -> bool:
    """Return whether a signal has been remembered."""
    return bool(_received)


def _exit(number: int, frame: object) -> None:
    os._exit(0)


def _remember(number: int, frame: object) -> None:
    _received.append(number)

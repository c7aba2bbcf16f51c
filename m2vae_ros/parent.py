# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Child processes that end when their parent does, whatever ends it, `kill -9` included."""

from __future__ import annotations

import ctypes
import multiprocessing
from multiprocessing.connection import wait
import os
import signal
import sys
from threading import Thread

_PR_SET_PDEATHSIG = 1  # of prctl
_LAUNCH = 'M2VAE_ROS_LAUNCH'  # environment variable: process id of the launch

MOST_PROCESSES = 256  # that one command may be told to start


def end_with_parent(parent: int) -> None:
    """
    From now on, get SIGTERM when the parent ends; on Linux only.

    Parameters
    ----------
    parent
        Its process id. If it has ended already, this process ends at once.

    """
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)


def launch_environment() -> dict[str, str]:
    """Return what to add to the environment of a node so that it ends with this launch."""
    return {_LAUNCH: str(os.getpid())}


def end_with_launch() -> None:
    """From now on, get SIGTERM when the launch ends that has started this process, if any has."""
    launch = os.environ.pop(_LAUNCH, None)
    if launch == str(os.getppid()):  # not where a terminal or a debugger is in between
        end_with_parent(int(launch))


def end_with_pool() -> None:
    """From now on, end at once when the parent of this process of `multiprocessing` ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    Thread(target=lambda: os._exit(int(bool(wait([parent.sentinel])))), daemon=True).start()

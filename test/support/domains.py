# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""ROS domains that nobody else tests in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import fcntl
import os
from pathlib import Path
import tempfile

_DOMAINS = range(1, 100)  # 0 is what everybody uses; from 102 on ports may be taken


@contextmanager
def reserved_domain() -> Iterator[int]:
    """
    Reserve a ROS domain for as long as the context lasts.

    Its lock file keeps out other tests on the same machine, of this process or another.
    """
    first = os.getpid() % len(_DOMAINS)
    for domain in [*_DOMAINS[first:], *_DOMAINS[:first]]:
        path = Path(tempfile.gettempdir(), f'm2vae_ros_test_domain_{domain}.lock')
        try:
            file = path.open('w')
        except PermissionError:  # another user's
            continue
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield domain
            return
    raise RuntimeError(f'all ROS domains from {_DOMAINS[0]} to {_DOMAINS[-1]} are in use by tests')

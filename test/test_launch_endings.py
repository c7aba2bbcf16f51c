# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Launches that are ended from outside: no node is left."""

from __future__ import annotations

from pathlib import Path
import re
import signal

import pytest

from support.domains import reserved_domain
from support.launch_files import Launched, needs_launch
from support.processes import is_running
from support.waiting import wait_until


@needs_launch
@pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='needs /proc: run on Linux')
@pytest.mark.parametrize('by', [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_whatever_ends_the_launch_alone_its_nodes_end_as_well(package: Path, by: int) -> None:
    with (
        reserved_domain() as domain,
        Launched(package, 'demo.launch.py', 'autostart:=false', domain=domain) as process,
    ):
        process.wait_for_line('driving through world')
        nodes = [int(pid) for pid in re.findall(r'started with pid \[(\d+)\]', process.log)]
        assert len(nodes) == 2
        process.send_signal(by)
        process.wait()
        wait_until(lambda: not any(map(is_running, nodes)), 'end of the nodes')
    assert 'Traceback' not in process.log

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The linters of ament, as `colcon test` runs them in every ROS 2 package."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINTED = [str(ROOT / name) for name in ('m2vae_ros', 'launch', 'test', 'benchmarks', 'setup.py')]

FLAKE8 = 'import sys; from ament_flake8.main import main; sys.exit(main(argv=sys.argv[1:]))'


def linter(name):
    return pytest.importorskip(
        f'{name}.main', reason=f'needs {name}: sudo apt install ros-$ROS_DISTRO-{name}'.replace(
            '_', '-')
    )


@pytest.mark.flake8
@pytest.mark.linter
def test_flake8():
    linter('ament_flake8')
    # flake8 forks, and a child of a process that has run nodes and torch may not survive it.
    result = subprocess.run(
        [sys.executable, '-c', FLAKE8, '--config', str(ROOT / '.ci' / 'flake8.ini'), *LINTED],
        capture_output=True, text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.pep257
@pytest.mark.linter
def test_pep257():
    assert linter('ament_pep257').main(argv=LINTED) == 0

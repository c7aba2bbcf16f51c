# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The linters of ament, as `colcon test` runs them in every ROS 2 package."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINTED = [str(ROOT / name) for name in ('m2vae_ros', 'launch', 'test', 'benchmarks', 'setup.py')]


def linter(name):
    return pytest.importorskip(
        f'{name}.main', reason=f'needs {name}: sudo apt install ros-$ROS_DISTRO-{name}'.replace(
            '_', '-')
    )


@pytest.mark.flake8
@pytest.mark.linter
def test_flake8():
    code, errors = linter('ament_flake8').main_with_errors(
        argv=['--config', str(ROOT / '.ci' / 'flake8.ini'), *LINTED]
    )
    assert code == 0, '\n'.join(errors)


@pytest.mark.pep257
@pytest.mark.linter
def test_pep257():
    assert linter('ament_pep257').main(argv=LINTED) == 0

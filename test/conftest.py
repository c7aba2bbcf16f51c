# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What every test runs under, however pytest was started, and the fixtures that files share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
import os
from pathlib import Path
from typing import Any

from hypothesis import settings
import pytest

from m2vae_ros.installation import find_wheels_shares

# Nodes of the tests neither hear a robot in the same network nor are heard by it.
os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
if os.environ.get('ROS_DISTRO') == 'humble':  # which knows only this
    os.environ.setdefault('ROS_LOCALHOST_ONLY', '1')
find_wheels_shares()

# How long an example takes depends on the machine more than on the package.
settings.register_profile('any machine', deadline=None)
settings.load_profile('any machine')


@pytest.fixture(scope='session')
def untrained_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a model of the simulated robot's sensors that has learnt nothing."""
    from support.untrained_model import save_untrained_model

    return save_untrained_model(tmp_path_factory.mktemp('model'))


@pytest.fixture
def start_node(tmp_path: Path, untrained_model: Path) -> Iterator[Callable[..., Any]]:
    """Return a function that runs a fusion node, given parameters, and returns a peer of it."""
    from support.node_processes import peer_of_node

    with ExitStack() as stack:
        def start(*arguments: str, **parameters: Any) -> Any:
            return stack.enter_context(peer_of_node(
                tmp_path, {'model': untrained_model, **parameters}, *arguments
            ))

        yield start


@pytest.fixture
def package(
    untrained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Lay this tree out as an installed package; return its share directory."""
    from support.launch_files import install_tree

    return install_tree(tmp_path / 'prefix', untrained_model, monkeypatch)

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The launch files of this tree, laid out as if the package were installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
import json
import os
from pathlib import Path
import signal
import sys
from types import ModuleType
from typing import Any

import pytest

from m2vae_ros.specs import SensorSpec
from m2vae_ros.vae.header import METADATA_KEY, ModelHeader
from support.domains import reserved_domain
from support.processes import entry, Process, ROOT

CONFIG = ROOT / 'config'
RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource
file, *arguments = sys.argv[1:]
service = LaunchService(argv=arguments, noninteractive=True)
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(
    AnyLaunchDescriptionSource(file), launch_arguments=[a.split(':=', 1) for a in arguments],
)]))
sys.exit(service.run())
"""

needs_launch = pytest.mark.skipif(
    find_spec('launch_ros') is None,
    reason='launch and launch_ros are not importable (they are not on PyPI): source a ROS 2 '
    'installation, or sudo apt install ros-$ROS_DISTRO-launch-ros',
)


def install_tree(prefix: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay this tree out as a package installed at a prefix; return its share directory."""
    index = prefix / 'share' / 'ament_index' / 'resource_index' / 'packages'
    executables = prefix / 'lib' / 'm2vae_ros'
    share = prefix / 'share' / 'm2vae_ros'
    models = share / 'config' / 'models'
    for folder in (index, executables, models):
        folder.mkdir(parents=True)
    (index / 'm2vae_ros').touch()
    (share / 'launch').symlink_to(ROOT / 'launch')
    for file in CONFIG.glob('*.*'):
        (share / 'config' / file.name).symlink_to(file)
    (models / 'default.safetensors').symlink_to(model)
    scripts = {'fusion_node': 'fusion_node', 'robot_node': 'robot_node',
               'latent_recorder': 'latent_recorder', 'm2vae': 'main'}
    for name, function in scripts.items():
        script = executables / name
        script.write_text(f'#!{sys.executable}\n{entry(function)}\n')
        script.chmod(0o755)
    for variable, path in (('AMENT_PREFIX_PATH', prefix), ('PYTHONPATH', ROOT)):
        known = os.environ.get(variable)
        monkeypatch.setenv(variable, f'{path}{os.pathsep}{known}' if known else str(path))
    monkeypatch.setattr(sys, 'argv', ['ros2'])
    return share


def write_model(path: Path, *sensors: tuple[str, str]) -> str:
    """Write the header of a model, which is all that launch files read; return its path."""
    geometry = {'angle_min': -3.0, 'angle_max': 3.0, 'range_min': 0.1, 'range_max': 10.0}
    header = ModelHeader(tuple(
        SensorSpec(name, 'laser_scan', topic, name, (8,), geometry) for name, topic in sensors
    ), (), {})
    text = json.dumps({'__metadata__': {METADATA_KEY: header.to_json()}}).encode()
    path.write_bytes(len(text).to_bytes(8, 'little') + text)
    return str(path)


def module_of(package: Path, name: str) -> ModuleType:
    """Return a launch file, imported."""
    from launch.launch_description_sources.python_launch_file_utilities import (
        load_python_launch_file_as_module,
    )
    return load_python_launch_file_as_module(str(package / 'launch' / name))


def arguments_of(package: Path, name: str) -> dict[str, Any]:
    """Return the arguments of a launch file by name, as ``--show-args`` lists them."""
    description = module_of(package, name).generate_launch_description()
    return {argument.name: argument for argument in description.get_launch_arguments()}


class Launched(Process):
    """
    A launch file that runs in a process group of its own.

    Parameters
    ----------
    package
        Its share directory; see the fixture of that name.
    name
        Name of the launch file.
    arguments
        Arguments of the launch, ``name:=value``.
    domain
        ROS domain of its nodes.

    """

    def __init__(self, package: Path, name: str, *arguments: str, domain: int) -> None:
        super().__init__(
            RUN, [package / 'launch' / name, *arguments], package.parents[1] / 'launch.log',
            session=True, ROS_DOMAIN_ID=str(domain), OMP_NUM_THREADS='1',
        )
        self.domain = domain

    def wait_for_line(self, text: str) -> None:
        """Wait until the output has a text."""
        self.wait_for(lambda: text in self.log, repr(text))

    def interrupt(self) -> None:
        """Interrupt the launch as Ctrl-C does, which a terminal sends to all its processes."""
        os.killpg(self.pid, signal.SIGINT)


@contextmanager
def launched(package: Path, name: str, *arguments: str) -> Iterator[Launched]:
    """Launch a file; end it as Ctrl-C does, and check that all of it ends well."""
    with (
        reserved_domain() as domain,
        Launched(package, name, *arguments, domain=domain) as process,
    ):
        yield process
        process.interrupt()
        assert process.wait() == 0, process.log
        assert 'process has died' not in process.log, process.log
        assert 'Traceback' not in process.log, process.log


def run_to_its_end(package: Path, name: str, *arguments: str) -> tuple[int, str]:
    """Launch a file that ends by itself; return exit code and output."""
    with (
        reserved_domain() as domain,
        Launched(package, name, *arguments, domain=domain) as process,
    ):
        return process.wait(), process.log

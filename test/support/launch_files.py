# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The launch files of this tree, laid out as if the package were installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading
from types import ModuleType
from typing import Any

import pytest

from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.specs import SensorSpec
from m2vae_ros.vae.header import METADATA_KEY, ModelHeader

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'config'
PATIENCE = 90.0  # s, until the first latent; loading torch takes most of it on a busy machine
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


@pytest.fixture(scope='module')
def untrained_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of the simulated robot's sensors; that it is untrained matters to none."""
    from m2vae_ros.vae import checkpoint
    from m2vae_ros.vae.model import M2VAE

    path: Path = tmp_path_factory.mktemp('model') / 'default.safetensors'
    model = M2VAE(SENSORS)
    checkpoint.save(path, model, checkpoint.describe(model))
    return path


@pytest.fixture
def package(untrained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay this tree out as an installed package and return its share directory."""
    prefix = tmp_path / 'prefix'
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
    (models / 'default.safetensors').symlink_to(untrained_model)
    entries = {'fusion_node': 'fusion_node', 'robot_node': 'robot_node',
               'latent_recorder': 'latent_recorder', 'm2vae': 'main'}
    for name, function in entries.items():
        script = executables / name
        script.write_text(
            f'#!{sys.executable}\nimport sys\nfrom m2vae_ros.cli import {function}\n'
            f'sys.exit({function}())\n'
        )
        script.chmod(0o755)
    for variable, path in (('AMENT_PREFIX_PATH', prefix), ('PYTHONPATH', ROOT)):
        known = os.environ.get(variable)
        monkeypatch.setenv(variable, f'{path}{os.pathsep}{known}' if known else str(path))
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    monkeypatch.setattr(sys, 'argv', ['ros2'])
    return share


def write_model(path: Path, *sensors: tuple[str, str]) -> str:
    """Write a file with the header of a model, which is all that a launch file reads of it."""
    header = ModelHeader(
        tuple(SensorSpec(name, 'laser_scan', topic, name, (8,)) for name, topic in sensors), (), {}
    )
    text = json.dumps({'__metadata__': {METADATA_KEY: header.to_json()}}).encode()
    path.write_bytes(len(text).to_bytes(8, 'little') + text)
    return str(path)


def module_of(package: Path, name: str) -> ModuleType:
    from launch.launch_description_sources.python_launch_file_utilities import (
        load_python_launch_file_as_module,
    )
    return load_python_launch_file_as_module(str(package / 'launch' / name))


def described(package: Path, name: str) -> dict[str, Any]:
    """Return what --show-args lists, by name of the argument."""
    description = module_of(package, name).generate_launch_description()
    return {argument.name: argument for argument in description.get_launch_arguments()}


class Launched:
    """
    A launch file that runs in its own process group.

    Parameters
    ----------
    package
        Its share directory; see the fixture of that name.
    name
        Of the launch file.
    arguments
        Of the launch, ``name:=value``.
    domain
        ROS domain of its nodes.

    """

    def __init__(self, package: Path, name: str, *arguments: str, domain: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, '-c', RUN, str(package / 'launch' / name), *arguments],
            env={**os.environ, 'ROS_DOMAIN_ID': str(domain), 'OMP_NUM_THREADS': '1'}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )
        self.output = ''
        self._heard = threading.Condition()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def wait_for(self, text: str) -> str:
        """Wait until the output has a text; return all of it."""
        with self._heard:
            found = self._heard.wait_for(
                lambda: text in self.output or self._process.poll() is not None, PATIENCE
            )
        assert found, f'no {text!r} within {PATIENCE} s: {self.output}'
        assert text in self.output
        return self.output

    def interrupt(self) -> None:
        """Interrupt the launch as Ctrl-C does, which a terminal sends to all its processes."""
        os.killpg(self._process.pid, signal.SIGINT)

    def wait(self) -> int:
        """Wait for the end; return the exit code."""
        code = self._process.wait(PATIENCE)
        self._listener.join(PATIENCE)
        return code

    def kill(self) -> None:
        """Leave no process."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._heard:
                self.output += line
                self._heard.notify_all()
        with self._heard:
            self._process.wait()
            self._heard.notify_all()


@contextmanager
def launched(package: Path, name: str, *arguments: str, domain: int) -> Iterator[Launched]:
    """Launch a file; end it as Ctrl-C does, and check that all of it ends well."""
    process = Launched(package, name, *arguments, domain=domain)
    try:
        yield process
        process.interrupt()
        assert process.wait() == 0, process.output
        assert 'process has died' not in process.output, process.output
        assert 'Traceback' not in process.output
    finally:
        process.kill()


def run_to_its_end(package: Path, name: str, *arguments: str, domain: int) -> tuple[int, str]:
    """Launch a file that ends by itself; return exit code and output."""
    process = Launched(package, name, *arguments, domain=domain)
    try:
        return process.wait(), process.output
    finally:
        process.kill()

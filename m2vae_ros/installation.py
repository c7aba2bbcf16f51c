# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""How to install what is missing, and where pip has installed the packages of ROS."""

from __future__ import annotations

from importlib.util import find_spec
import os
from pathlib import Path
import shlex
import shutil
import sys
import sysconfig

# Module -> the requirement that pip installs it by; the versions are those of setup.py.
RUNTIME = {
    'cv2': 'opencv-python-headless>=4.5',
    'numpy': 'numpy>=1.25',
    'safetensors': 'safetensors>=0.4',
    'torch': 'torch>=2.1',
    'yaml': 'PyYAML>=5.4',
}
LEARNING = {  # for training, evaluation and the demo
    'jinja2': 'jinja2>=3',
    'lightning': 'lightning>=2.6',
    'markupsafe': 'markupsafe>=2',
    'matplotlib': 'matplotlib>=3.5',
    'rich': 'rich>=13',
    'rosbags': 'rosbags>=0.11.9',
    'tensorboardX': 'tensorboardX>=2.6',
    'tqdm': 'tqdm>=4.57',
}
# Modules of a ROS 2 distribution; the wheels are those of Kilted.
ROS = {
    'ament_index_python': 'ros-ament-index-python',
    'builtin_interfaces': 'ros-builtin-interfaces',
    'cv_bridge': 'cv-bridge==1.13.0.post0',
    'diagnostic_msgs': 'ros-diagnostic-msgs',
    'geometry_msgs': 'ros-geometry-msgs',
    'lifecycle_msgs': 'ros-lifecycle-msgs',
    'rcl_interfaces': 'ros-rcl-interfaces',
    'rclpy': 'ros-rclpy[fastrtps]==9.1.2',
    'rosgraph_msgs': 'ros-rosgraph-msgs',
    'sensor_msgs': 'ros-sensor-msgs',
    'std_msgs': 'ros-std-msgs',
    'std_srvs': 'ros-std-srvs',
}


def advice(module: str) -> str | None:
    """
    Return one line that says how to install a missing module.

    Parameters
    ----------
    module
        The name that could not be imported, such as ``torch`` or ``torch.nn``.

    Returns
    -------
    str or None
        None if this package does not depend on the module.

    """
    package = module.partition('.')[0]
    missing = f'{package} is not installed for {sys.executable}'
    if package in RUNTIME:
        return f'{missing}: {_pip(RUNTIME)}'
    if package in LEARNING:
        return f'{missing}: {_pip(RUNTIME | LEARNING)}'
    if package not in ROS:
        return None
    distribution = os.environ.get('ROS_DISTRO')
    if distribution:
        debian = f'ros-{distribution}-{package.replace("_", "-")}'
        return f'{missing}: sudo apt install {debian}'
    return (
        f'{missing}: source your ROS 2 (source /opt/ros/DISTRIBUTION/setup.bash), or without one: '
        f'{_pip(ROS)}'
    )


def command(words: str = '') -> str:
    """
    Return how the `m2vae` command is called here, with some words behind it.

    Its path in a virtual environment that is not active, or through ``ros2 run`` where colcon has
    installed it, since it is not on the shell's path then.
    """
    beside = Path(sys.executable).with_name('m2vae')
    if shutil.which('m2vae'):
        name = 'm2vae'
    elif Path(sys.argv[0]).parent.name == 'm2vae_ros':  # where colcon puts executables
        name = 'ros2 run m2vae_ros m2vae'
    elif beside.exists():
        name = shlex.quote(os.path.relpath(beside))
    else:
        name = f'{shlex.quote(sys.executable)} -m m2vae_ros.cli'
    return f'{name} {words}'.strip()


def find_wheels_shares() -> None:
    """
    Let rclpy find the share folders of ROS packages that pip installed, also in child processes.

    Their wheels install them below ``sys.prefix`` and leave it to the user to add that to
    ``AMENT_PREFIX_PATH``. Where rclpy is not from these wheels, nothing is changed.
    """
    if find_spec('ros_wheels_bootstrapper') is None:
        return
    known = [path for path in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if path]
    if sys.prefix not in known:
        os.environ['AMENT_PREFIX_PATH'] = os.pathsep.join([*known, sys.prefix])


def _pip(table: dict[str, str]) -> str:
    """Return the command that installs the modules of a table that are missing."""
    packages = shlex.join(table[module] for module in table if find_spec(module) is None)
    python = shlex.quote(sys.executable)
    if not _is_externally_managed():
        return f'{python} -m pip install {packages}'
    return (
        f'{python} -m venv --system-site-packages .venv && source .venv/bin/activate && '
        f'python -m pip install {packages}'
    )


def _is_externally_managed() -> bool:
    """Return whether pip refuses to install into this Python, as the system owns it (PEP 668)."""
    marker = Path(sysconfig.get_path('stdlib')) / 'EXTERNALLY-MANAGED'
    return sys.prefix == sys.base_prefix and marker.exists()

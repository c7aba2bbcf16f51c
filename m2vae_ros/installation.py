# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What to type when a module is missing, and where the package shares of ROS's wheels lie."""

from __future__ import annotations

from importlib.util import find_spec
import os
from pathlib import Path
import shlex
import sys
import sysconfig

# Module -> what pip installs it from; the versions are those of setup.py.
PYPI = {
    'cv2': 'opencv-python-headless>=4.5',
    'lightning': 'lightning>=2.2',
    'matplotlib': 'matplotlib>=3.5',
    'numpy': 'numpy>=1.21.5',
    'rich': 'rich>=13',
    'rosbags': 'rosbags>=0.10',
    'safetensors': 'safetensors>=0.4',
    'torch': 'torch>=2.1',
    'tqdm': 'tqdm>=4.57',
    'yaml': 'PyYAML>=5.4',
}
# The same for what a ROS 2 distribution brings; the wheels are those of Kilted.
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
        The name that could not be imported; of a submodule, its package counts.

    Returns
    -------
    str or None
        None if the module is none that this package depends on.

    """
    package = module.partition('.')[0]
    if package in PYPI:
        return f'{_lacks(package)}: {_pip([PYPI[package]])}'
    if package not in ROS:
        return None
    distribution = os.environ.get('ROS_DISTRO')
    if distribution:
        debian = f'ros-{distribution}-{package.replace("_", "-")}'
        return f'{_lacks(package)}: sudo apt install {debian}'
    missing = [wheel for name, wheel in ROS.items() if find_spec(name) is None]
    return (
        f'{_lacks(package)}: source your ROS 2 (source /opt/ros/DISTRIBUTION/setup.bash), or '
        f'without one: {_pip(missing or [ROS[package]])}'
    )


def find_wheels_shares() -> None:
    """
    Let rclpy find the package shares of ROS's wheels, in this process and its children.

    The wheels install them below the environment's own prefix and leave it to the user to add that
    to ``AMENT_PREFIX_PATH``. Where rclpy comes from elsewhere, nothing is changed.
    """
    if find_spec('ros_wheels_bootstrapper') is None:
        return
    known = [path for path in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if path]
    if sys.prefix not in known:
        os.environ['AMENT_PREFIX_PATH'] = os.pathsep.join([*known, sys.prefix])


def _lacks(package: str) -> str:
    return f'{package} is not installed for {sys.executable}'


def _pip(requirements: list[str]) -> str:
    packages = shlex.join(requirements)
    if not _owned_by_the_system():
        return f'{shlex.quote(sys.executable)} -m pip install {packages}'
    return (
        f'{shlex.quote(sys.executable)} -m venv --system-site-packages .venv && '
        f'.venv/bin/python -m pip install {packages} && source .venv/bin/activate'
    )


def _owned_by_the_system() -> bool:
    """Tell whether pip refuses to install into this interpreter (PEP 668)."""
    marker = Path(sysconfig.get_path('stdlib')) / 'EXTERNALLY-MANAGED'
    return sys.prefix == sys.base_prefix and marker.exists()

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Paths of the files that the package installs, or has in the checkout that it runs from."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError as PackageNotFound
from importlib.metadata import version
import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory, PackageNotFoundError

_BEFORE_KILTED = ('humble', 'iron', 'jazzy')
_RCLPY_OF_KILTED = 8  # from this major version on Fast DDS is 3


def shared_file(*parts: str) -> Path:
    """
    Return the path of a file that the package installs, such as ``config/fusion.yaml``.

    Raises
    ------
    FileNotFoundError
        If it is in neither place; names both.

    """
    relative = Path(*parts)
    places = [Path(__file__).resolve().parents[2]]
    with suppress(PackageNotFoundError):
        places.insert(0, Path(get_package_share_directory('m2vae_ros')))
    for place in places:
        if (place / relative).is_file():
            return place / relative
    raise FileNotFoundError(
        f'no {relative} in {" or ".join(map(str, places))}: build the package anew'
    )


def large_messages_environment() -> dict[str, str]:
    """
    Return what to add to the environment of a process that publishes large messages.

    A Fast DDS publisher on defaults loses best-effort messages of about 512 KiB and more. The
    installed profile cures that; its variable has another name before Kilted. With both names
    set, Fast DDS reads the file twice and complains.
    """
    variable = 'FASTDDS_DEFAULT_PROFILES_FILE'
    if _is_before_kilted():
        variable = 'FASTRTPS_DEFAULT_PROFILES_FILE'
    return {variable: str(shared_file('config', 'fastdds_large_messages.xml'))}


def _is_before_kilted() -> bool:
    """Tell by the rclpy that is installed; only where it has no version by ``ROS_DISTRO``."""
    for name in ('rclpy', 'ros-rclpy'):
        with suppress(PackageNotFound):
            return int(version(name).partition('.')[0]) < _RCLPY_OF_KILTED
    return os.environ.get('ROS_DISTRO') in _BEFORE_KILTED

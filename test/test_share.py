# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Files of the package are found, and the profile has the name that the installed rclpy reads."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from m2vae_ros.node import share  # noqa: E402


@pytest.mark.parametrize(('version', 'variable'), [
    ('3.3.16', 'FASTRTPS_DEFAULT_PROFILES_FILE'), ('7.1.6', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
    ('9.1.2', 'FASTDDS_DEFAULT_PROFILES_FILE'), ('10.0.0', 'FASTDDS_DEFAULT_PROFILES_FILE'),
])
@pytest.mark.parametrize('distribution', [None, 'humble', 'kilted'])
def test_the_profiles_variable_is_that_of_the_rclpy_that_is_installed(
    version, variable, distribution, monkeypatch
):
    monkeypatch.setattr(share, 'version', lambda _: version)
    set_distribution(monkeypatch, distribution)
    (name, path), = share.large_messages_environment().items()
    assert name == variable
    assert Path(path).is_file()


@pytest.mark.parametrize(('distribution', 'variable'), [
    ('jazzy', 'FASTRTPS_DEFAULT_PROFILES_FILE'), ('kilted', 'FASTDDS_DEFAULT_PROFILES_FILE'),
    (None, 'FASTDDS_DEFAULT_PROFILES_FILE'),
])
def test_an_rclpy_without_a_version_is_judged_by_the_distribution(
    distribution, variable, monkeypatch
):
    def version(name):
        raise share.PackageNotFound(name)

    monkeypatch.setattr(share, 'version', version)
    set_distribution(monkeypatch, distribution)
    assert list(share.large_messages_environment()) == [variable]


def set_distribution(monkeypatch, distribution):
    if distribution is None:
        monkeypatch.delenv('ROS_DISTRO', raising=False)
    else:
        monkeypatch.setenv('ROS_DISTRO', distribution)

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What every test runs under, however pytest was started."""

from __future__ import annotations

import os

from hypothesis import settings

from m2vae_ros.installation import find_wheels_shares

# Nodes of the tests neither hear a robot in the same network nor are heard by it.
os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
if os.environ.get('ROS_DISTRO') == 'humble':  # which knows only this
    os.environ.setdefault('ROS_LOCALHOST_ONLY', '1')
find_wheels_shares()

# How long an example takes says more of the machine than of the package.
settings.register_profile('any machine', deadline=None)
settings.load_profile('any machine')

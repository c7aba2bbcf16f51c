# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Recordings: opened, read, written and described, without a ROS installation or torch."""

from __future__ import annotations

from m2vae_ros.public import lazy_exports

_EXPORTS = {
    'Bag': 'm2vae_ros.bags.bag',
    'BagError': 'm2vae_ros.bags.storage',
    'BagWriter': 'm2vae_ros.bags.writer',
    'Received': 'm2vae_ros.bags.bag',
    'SensorsFileError': 'm2vae_ros.bags.sensors_file',
    'Serialized': 'm2vae_ros.bags.bag',
    'open_bag': 'm2vae_ros.bags.bag',
    'propose': 'm2vae_ros.bags.sensors_file',
    'read_sensors': 'm2vae_ros.bags.sensors_file',
    'resolve_topics': 'm2vae_ros.bags.resolution',
}
__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
From a ROS message to a `Measurement` and back, one file per kind of sensor; no torch, no rclpy.

sensor_msgs and cv_bridge are imported only by the calls that need them, so decoding and encoding
work without ROS.
"""

from __future__ import annotations

from m2vae_ros.public import lazy_exports

_EXPORTS = {
    'InvalidMessage': 'm2vae_ros.sensors.messages',
    'KINDS': 'm2vae_ros.sensors.kinds',
    'Measurement': 'm2vae_ros.specs',
    'MessageClasses': 'm2vae_ros.sensors.messages',
    'SensorSpec': 'm2vae_ros.specs',
    'decode': 'm2vae_ros.sensors.kinds',
    'encode': 'm2vae_ros.sensors.kinds',
    'message_type': 'm2vae_ros.sensors.kinds',
    'ros_message_classes': 'm2vae_ros.sensors.messages',
    'rosbags_message_classes': 'm2vae_ros.sensors.messages',
    'validate': 'm2vae_ros.sensors.kinds',
}
__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)

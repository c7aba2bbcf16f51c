# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The latent as rclpy's messages: whole, or its mean alone, which plots read."""

from __future__ import annotations

from array import array
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Float32MultiArray, MultiArrayDimension

from m2vae_ros.fusion import latent_message
from m2vae_ros.fusion.latent_message import Latent, latent_from_message
from m2vae_ros.sensors.messages import ros_message_classes

# Readers of latents may take `latent_from_message` from here, too.
__all__ = ['latent_from_message', 'latent_to_message', 'mean_to_message']
_classes = lru_cache(ros_message_classes)


def latent_to_message(latent: Latent) -> Any:
    """Return the PointCloud2 that carries a latent."""
    return latent_message.latent_to_message(latent, _classes())


def mean_to_message(mean: NDArray[np.float32]) -> Any:
    """Return a latent's mean as a Float32MultiArray, which plots and ``ros2 topic echo`` read."""
    message = Float32MultiArray()
    message.layout.dim = [
        MultiArrayDimension(label='latent', size=len(mean), stride=len(mean))
    ]
    message.data = array('f', np.ascontiguousarray(mean, np.float32).tobytes())
    return message

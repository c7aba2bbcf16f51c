# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The publishers of the fusion node: latents and reconstructions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float32MultiArray

from m2vae_ros.fusion.latent_message import Latent, sensors_mask
from m2vae_ros.node.messages import latent_to_message, mean_to_message
from m2vae_ros.node.subscriptions import MESSAGE_CLASSES
from m2vae_ros.sensors.kinds import encode, message_type
from m2vae_ros.sensors.messages import ros_message_classes
from m2vae_ros.specs import SensorSpec

_DEPTH = 10


class Outputs:
    """
    Publish latents, their means and reconstructions.

    Parameters
    ----------
    node
        Who publishes.
    sensors
        The model's sensors.
    frames
        Sensor -> frame of its reconstructions, from a parameter; empty = as the sensor says.

    """

    def __init__(
        self, node: LifecycleNode, sensors: Sequence[SensorSpec], frames: Mapping[str, str]
    ) -> None:
        self._node = node
        self._sensors = {spec.name: spec for spec in sensors}
        self._names = tuple(self._sensors)
        self._chosen_frames = dict(frames)
        self._heard_frames = {spec.name: spec.frame_id for spec in sensors}
        self._classes = ros_message_classes()
        self._latent = self._publisher(PointCloud2, '~/latent')
        self._latent_mean = self._publisher(Float32MultiArray, '~/latent_mean')
        self._reconstructions = {
            spec.name: self._publisher(
                MESSAGE_CLASSES[message_type(spec)], f'~/{spec.name}/reconstruction'
            )
            for spec in sensors
        }

    def wanted(self, heard: Collection[str], reconstruct: str) -> tuple[str, ...]:
        """
        Return the sensors to reconstruct: only those whose reconstruction has a subscriber.

        Parameters
        ----------
        heard
            The sensors of the fused set.
        reconstruct
            ``missing`` or ``all``.

        """
        return tuple(
            name for name, publisher in self._reconstructions.items()
            if (reconstruct == 'all' or name not in heard)
            and publisher.get_subscription_count() > 0
        )

    def publish(self, result: Any, frames: Mapping[str, str]) -> None:
        """
        Publish a result of the pipeline.

        Parameters
        ----------
        result
            Stamp, sensors, posterior and reconstructions.
        frames
            Sensor -> frame of its message in this set.

        """
        self._heard_frames.update((name, frame) for name, frame in frames.items() if frame)
        latent = Latent(
            result.stamp_ns, _vector(result.posterior.mean),
            _vector(result.posterior.log_variance), sensors_mask(result.sensors, self._names),
        )
        self._latent.publish(latent_to_message(latent))
        if self._latent_mean.get_subscription_count() > 0:
            self._latent_mean.publish(mean_to_message(latent.mean))
        for name, reconstruction in result.reconstructions.items():
            frame_id = self._chosen_frames[name] or self._heard_frames[name]
            stamped = replace(reconstruction, stamp_ns=result.stamp_ns, frame_id=frame_id)
            self._reconstructions[name].publish(
                encode(self._sensors[name], stamped, self._classes)
            )

    def destroy(self) -> None:
        """Destroy the publishers."""
        for publisher in (self._latent, self._latent_mean, *self._reconstructions.values()):
            self._node.destroy_lifecycle_publisher(publisher)

    def _publisher(self, message_class: Any, topic: str) -> Any:
        return self._node.create_lifecycle_publisher(
            message_class, topic, _DEPTH,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )


def _vector(tensor: Any) -> NDArray[np.float32]:
    """Return a posterior's parameter without its batch dimension."""
    return np.asarray(tensor, np.float32).reshape(-1)

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
A sensor's subscription, whose reliability follows what the publishers offer.

As rosbag2 does: reliable where every publisher offers it, else best effort, which matches every
publisher. It begins reliable, because a reliable publisher on Fast DDS's defaults loses nearly all
of its large messages to a best-effort subscription. When a publisher turns out to be incompatible,
the subscription is made anew within milliseconds of its discovery.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image, LaserScan, PointCloud2

from m2vae_ros.node.parameters import SensorParameters
from m2vae_ros.sensors.kinds import message_type
from m2vae_ros.specs import SensorSpec

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ModuleNotFoundError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

MESSAGE_CLASSES = {
    'sensor_msgs/msg/Image': Image,
    'sensor_msgs/msg/CompressedImage': CompressedImage,
    'sensor_msgs/msg/LaserScan': LaserScan,
    'sensor_msgs/msg/PointCloud2': PointCloud2,
}
_DEPTH = 5


@dataclass(frozen=True)
class Offer:
    """What one publisher on a sensor's topic offers."""

    node: str
    message_type: str
    reliable: bool


class SensorSubscription:
    """
    Subscribe to one sensor of the model.

    Parameters
    ----------
    node
        Who subscribes.
    spec
        The sensor.
    chosen
        Its parameters.
    callback
        Called with each message.

    """

    def __init__(
        self,
        node: Node,
        spec: SensorSpec,
        chosen: SensorParameters,
        callback: Callable[[Any], None],
    ) -> None:
        self._node = node
        self._callback = callback
        self._reliability = chosen.reliability
        self._subscription: Any = None
        self.message_type = message_type(spec)
        self._name = chosen.topic
        if chosen.transport == 'compressed':
            self.message_type = 'sensor_msgs/msg/CompressedImage'
            # Resolved before the suffix, so that remapping the raw topic moves this one as well.
            self._name = f'{node.resolve_topic_name(chosen.topic)}/compressed'
        self.reliable = self._reliability != 'best_effort'
        self._subscribe()

    @property
    def topic(self) -> str:
        """Topic with its namespace, remapped."""
        return str(self._subscription.topic_name)

    def offers(self) -> list[Offer]:
        """Return what the publishers on the topic offer, as far as they are discovered."""
        return [
            Offer(
                node=f'{info.node_namespace.rstrip("/")}/{info.node_name}',
                message_type=info.topic_type,
                reliable=info.qos_profile.reliability == ReliabilityPolicy.RELIABLE,
            )
            for info in self._node.get_publishers_info_by_topic(self._name)
        ]

    def matches(self, offer: Offer) -> bool:
        """Return whether the subscription hears a publisher."""
        return offer.message_type == self.message_type and (offer.reliable or not self.reliable)

    def adapt(self) -> None:
        """
        Follow what the publishers offer now.

        While there is none the subscription stays as it is: the one that comes back is most
        likely the one that went.
        """
        offers = [offer for offer in self.offers() if offer.message_type == self.message_type]
        if self._reliability != 'auto' or not offers:
            return
        reliable = all(offer.reliable for offer in offers)
        if reliable != self.reliable:
            self.reliable = reliable
            self._subscribe()

    def destroy(self) -> None:
        """Stop to listen."""
        self._node.destroy_subscription(self._subscription)

    def _subscribe(self) -> None:
        before = self._subscription
        self._subscription = self._node.create_subscription(
            MESSAGE_CLASSES[self.message_type], self._name, self._callback,
            QoSProfile(depth=_DEPTH, reliability=(
                ReliabilityPolicy.RELIABLE if self.reliable else ReliabilityPolicy.BEST_EFFORT
            )),
            event_callbacks=SubscriptionEventCallbacks(
                incompatible_qos=lambda _: self.adapt(), use_default_callbacks=False
            ),
            qos_overriding_options=QoSOverridingOptions(
                [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH]
            ),
        )
        if before is not None:
            self._node.destroy_subscription(before)

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
A sensor's subscription, whose reliability follows what the publishers offer.

As in rosbag2: reliable where every publisher offers it, else best effort, which matches every
publisher. Reliable matters: a reliable publisher on Fast DDS's defaults loses nearly all of its
large messages to a best-effort subscription. The publishers are asked for before the first
subscription is made, so that no driver warns of an incompatible one; while there is none it is
best effort, under simulation time reliable. Where the offers change, the new subscription is made
first, and the old one goes on until the new one delivers, for at most a second.

The graph is asked for the publishers now and then. Events of the middleware would tell sooner, but
rclpy's events executor crashes when a subscription that has some is destroyed (rclpy #1644).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
import time
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
_REMEMBERED_STAMPS = 2 * _DEPTH
_LONGEST_HANDOVER = 1.0  # s, of two subscriptions where the new one has nothing to deliver


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
        Called with each message, once.

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
        self.message_type = message_type(spec)
        self._name = chosen.topic
        if chosen.transport == 'compressed':
            self.message_type = 'sensor_msgs/msg/CompressedImage'
            # Resolved before the suffix, so that remapping the raw topic moves this one as well.
            self._name = f'{node.resolve_topic_name(chosen.topic)}/compressed'
        self._serial = 0  # of the newest subscription
        self._subscriptions: dict[int, Any] = {}  # the newest, and one that it replaces
        self._recent_stamps: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED_STAMPS)
        self.reliable = False
        self._made_at = 0.0  # on the steady clock, s
        try:
            self._subscribe(self._wanted_reliability())
        except RuntimeError as error:
            if not node.context.ok():
                raise
            raise ValueError(
                f'no subscription to {self._name}, whose quality of service comes from '
                f'qos_overrides: {" ".join(str(error).split())}'
            ) from None

    @property
    def topic(self) -> str:
        """Topic with its namespace, remapped."""
        return str(self._subscriptions[self._serial].topic_name)

    @property
    def adapts(self) -> bool:
        """Whether the reliability follows the publishers."""
        return self._reliability == 'auto'

    @property
    def age(self) -> float:
        """Seconds since the subscription was made, or made anew."""
        return time.monotonic() - self._made_at

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
        """Return whether the subscription receives what a publisher sends."""
        return offer.message_type == self.message_type and (offer.reliable or not self.reliable)

    def adapt(self) -> None:
        """Follow what the publishers offer now."""
        if self._subscriptions and self._wanted_reliability() != self.reliable:
            self._subscribe(not self.reliable)
        elif self.age > _LONGEST_HANDOVER:
            self._retire_older(self._serial)

    def destroy(self) -> None:
        """End the subscription; what is queued for it is not delivered any more."""
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions = {}

    def _wanted_reliability(self) -> bool:
        if not self.adapts:
            return self._reliability == 'reliable'
        offers = [offer for offer in self.offers() if offer.message_type == self.message_type]
        if not offers:  # a player of a recording offers reliable, and its first messages count
            return bool(self._node.get_clock().ros_time_is_active)
        return all(offer.reliable for offer in offers)

    def _subscribe(self, reliable: bool) -> None:
        """Make a subscription; the one before it stays until this one has delivered."""
        self._retire_older(self._serial)
        self._serial += 1
        self.reliable = reliable
        self._made_at = time.monotonic()
        self._recent_stamps.clear()
        self._subscriptions[self._serial] = self._node.create_subscription(
            MESSAGE_CLASSES[self.message_type], self._name, partial(self._take, self._serial),
            QoSProfile(depth=_DEPTH, reliability=(
                ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
            )),
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            qos_overriding_options=QoSOverridingOptions(
                [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH]
            ),
        )

    def _take(self, serial: int, message: Any) -> None:
        """Deliver a message, unless it came through the other subscription as well."""
        if serial not in self._subscriptions:  # destroyed while the message was queued
            return
        if len(self._subscriptions) > 1 or self._recent_stamps:
            stamp = message.header.stamp.sec, message.header.stamp.nanosec
            if stamp in self._recent_stamps:
                self._retire_older(serial)
                return
            if serial == self._serial:  # the first that only it has delivered
                self._retire_older(serial)
                self._recent_stamps.clear()
            else:
                self._recent_stamps.append(stamp)
        self._callback(message)

    def _retire_older(self, serial: int) -> None:
        for older in [other for other in self._subscriptions if other < serial]:
            self._node.destroy_subscription(self._subscriptions.pop(older))

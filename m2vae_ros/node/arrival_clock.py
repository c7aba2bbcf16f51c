# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The simulation time of the message in hand.

rclpy keeps but the newest time on ``/clock``. When the executor is late, that is newer than the
messages that wait behind it, and how much they are waited for would depend on the load of the
machine. Here every time is taken in its turn between the messages, where the executor has turns:
the one of events has them, from Kilted on; others take what is ready in the order of topics.
"""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from m2vae_ros.node.process import keeps_order

_DEPTH = 200
_MOST_APART_NS = 2_000_000_000  # from rclpy's; beyond that times were lost


class ArrivalClock:
    """
    Tell what time it was when the message in hand was sent.

    It is the node's own time unless simulation time was used when this was made, and the executor
    keeps the order of what arrives.

    Parameters
    ----------
    node
        Whose clock.

    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._clock = node.get_clock()
        self._latest_ns = 0
        self._subscription = None
        if self._clock.ros_time_is_active and keeps_order():
            self._subscription = node.create_subscription(
                Clock, '/clock', self._take,
                QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT),
            )

    def now_ns(self) -> int:
        """Return the time, nanoseconds."""
        newest_ns: int = self._clock.now().nanoseconds
        if self._subscription is None or not self._clock.ros_time_is_active:
            return newest_ns
        apart = abs(newest_ns - self._latest_ns)
        return self._latest_ns if apart <= _MOST_APART_NS else newest_ns

    def destroy(self) -> None:
        """Stop to listen."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)

    def _take(self, message: Clock) -> None:
        self._latest_ns = message.clock.sec * 10**9 + message.clock.nanosec

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The simulation time at which the message in hand was sent.

rclpy keeps only the newest time of ``/clock``. When the executor is late, that time is newer than
the messages that are still queued, and what is fused would depend on the load of the machine. Here
each time is taken in its turn among the messages. That needs an executor that keeps the order of
arrival: the events executor does, others take what is ready topic by topic.
"""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from m2vae_ros.node.process import keeps_order

_DEPTH = 200
_MAX_LAG_NS = 2_000_000_000  # behind rclpy's newest time; beyond that, times were lost


class ArrivalClock:
    """
    Say what time it was when the message in hand was sent.

    Without simulation time, or with an executor that does not keep the order of arrival, it is
    the node's own time.

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
        return self._latest_ns if apart <= _MAX_LAG_NS else newest_ns

    def destroy(self) -> None:
        """End the subscription to ``/clock``."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)

    def _take(self, message: Clock) -> None:
        self._latest_ns = message.clock.sec * 10**9 + message.clock.nanosec

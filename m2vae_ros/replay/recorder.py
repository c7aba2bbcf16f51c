# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The node ``latent_recorder``, which writes the latents of a fusion node to a bag."""

from __future__ import annotations

from collections.abc import Sequence
import os.path
from pathlib import Path
import time
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2

from m2vae_ros import ending
from m2vae_ros.bags.storage import BagError
from m2vae_ros.bags.writer import BagWriter
from m2vae_ros.fusion.latent_message import LATENT_TYPE
from m2vae_ros.node.process import run_node

_QUEUE_DEPTH = 1000
_LOOK_PERIOD = 0.2  # s
_LONGEST_PAUSE = 2.0  # s, between latents of a busy node


class LatentRecorder(Node):  # type: ignore[misc]  # rclpy carries no types
    """
    Write the latents that are published on ``fusion/latent`` to a bag, byte by byte.

    The bag appears when the node has ended, and only if a latent was received and all were
    written. With ``end_with_clock`` it ends by itself: when a recording has been played and the
    fusion node has gone through all that waited for the model, which may take long.

    Raises
    ------
    ValueError
        If the parameter ``output`` is empty or its path exists.

    """

    def __init__(self, **node_options: Any) -> None:
        super().__init__('latent_recorder', **node_options)
        self._writer: BagWriter | None = None
        self.count = 0
        self._has_failed = False
        self._clock_was_seen = False
        self._busy_at = time.monotonic()  # when there was a clock or a latent, the last time
        output = self._declare('output', '', 'Folder of the bag that is written')
        storage = self._declare('storage', 'mcap', 'Format of the bag: mcap or sqlite3')
        if self._declare('end_with_clock', False, (
            'End when the publisher of /clock has gone and no latent has come for 2 s'
        )):
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            self.create_timer(_LOOK_PERIOD, self._look_for_the_end, clock=steady)
        if not output:
            raise ValueError('parameter output is empty: name the folder of the bag to write')
        self._subscription = self.create_subscription(
            PointCloud2, 'fusion/latent', self._on_latent, QoSProfile(depth=_QUEUE_DEPTH),
            raw=True,
        )
        self._topic = self._subscription.topic_name
        self._writer = BagWriter(Path(os.path.expanduser(output)), storage=storage)
        self._writer.add_topic(self._topic, LATENT_TYPE)
        self.get_logger().info(f'recording {self._topic} to {self._writer.path}')

    def destroy_node(self) -> None:
        """Finish the bag, or leave none, and destroy the node."""
        writer, self._writer = self._writer, None
        if writer is not None:
            self._finish(writer)
        super().destroy_node()

    def _finish(self, writer: BagWriter) -> None:
        if self.count and not self._has_failed:
            writer.close()
            return
        writer.abandon()
        if not self._has_failed:
            self.get_logger().warning(
                f'{writer.path} is not written: nothing was published on {self._topic}'
            )

    def _look_for_the_end(self) -> None:
        now = time.monotonic()
        if self.count_publishers('/clock'):
            self._clock_was_seen, self._busy_at = True, now
        elif self._clock_was_seen and now - self._busy_at > _LONGEST_PAUSE:
            ending.request()

    def _declare(self, name: str, default: Any, description: str) -> Any:
        return self.declare_parameter(name, default, ParameterDescriptor(
            description=description, read_only=True,
        )).value

    def _on_latent(self, serialized: bytes) -> None:
        assert self._writer is not None
        self._busy_at = time.monotonic()
        try:
            self._writer.write_serialized(
                self._topic, self.get_clock().now().nanoseconds, serialized
            )
        except BagError:
            self._has_failed = True
            raise
        self.count += 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Record until the process is asked to end; return its exit code."""
    return run_node(LatentRecorder, 'latent_recorder', arguments)

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A node that records the fusion node's output and silences the simulated robot's sensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
import math
import time
from typing import Any

from geometry_msgs.msg import PoseStamped
from rcl_interfaces.srv import SetParameters
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import PointCloud2

from m2vae_ros.fusion.latent_message import Latent, latent_from_message
from m2vae_ros.node.subscriptions import MESSAGE_CLASSES
from m2vae_ros.sensors.kinds import message_type
from m2vae_ros.specs import SensorSpec


@dataclass(frozen=True, eq=False)
class Arrival:
    """A latent, its arrival on the steady clock, and its delay after its stamp, nanoseconds."""

    latent: Latent
    steady_ns: int
    latency_ns: int


@contextmanager
def observing(sensors: Sequence[SensorSpec]) -> Iterator[Observer]:
    """Yield an observer; Ctrl-C raises KeyboardInterrupt as usual."""
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        observer = Observer(sensors)
        yield observer
        observer.destroy_node()
    finally:
        rclpy.try_shutdown()


class Observer(Node):  # type: ignore[misc]  # rclpy carries no types
    """
    Record latents, reconstructions and the robot's poses.

    Parameters
    ----------
    sensors
        The sensors whose reconstructions to keep.
    fusion, robot
        Names of the nodes.

    """

    def __init__(
        self, sensors: Sequence[SensorSpec], *, fusion: str = 'fusion', robot: str = 'robot'
    ) -> None:
        super().__init__('observer')
        self.arrivals: list[Arrival] = []
        self.reconstructions: dict[int, dict[str, Any]] = {}  # stamp -> sensor -> message
        self.poses: list[tuple[int, float, float, float]] = []  # stamp, x, y, heading
        self.create_subscription(PointCloud2, f'{fusion}/latent', self._on_latent, 50)
        for spec in sensors:
            self.create_subscription(
                MESSAGE_CLASSES[message_type(spec)],
                f'{fusion}/{spec.name}/reconstruction',
                partial(self._on_reconstruction, spec.name),
                qos_profile_sensor_data,
            )
        self.create_subscription(PoseStamped, f'{robot}/pose', self._on_pose, 50)
        self._set_parameters = self.create_client(SetParameters, f'{robot}/set_parameters')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def spin_once(self, seconds: float) -> None:
        """Handle the next event, waiting for at most some seconds."""
        self._executor.spin_once(timeout_sec=seconds)

    def request(self, parameters: dict[str, bool]) -> Any:
        """Ask the robot to set parameters; return the future of its answer."""
        request = SetParameters.Request(parameters=[
            Parameter(name, value=value).to_parameter_msg() for name, value in parameters.items()
        ])
        return self._set_parameters.call_async(request)

    def robot_is_ready(self) -> bool:
        """Return whether the robot's parameter service is there."""
        return bool(self._set_parameters.service_is_ready())

    def _on_latent(self, message: PointCloud2) -> None:
        latent = latent_from_message(message)
        now_ns = self.get_clock().now().nanoseconds
        self.arrivals.append(Arrival(latent, time.monotonic_ns(), now_ns - latent.stamp_ns))

    def _on_reconstruction(self, sensor: str, message: Any) -> None:
        self.reconstructions.setdefault(_stamp_ns(message), {})[sensor] = message

    def _on_pose(self, message: PoseStamped) -> None:
        pose = message.pose
        heading = 2 * math.atan2(pose.orientation.z, pose.orientation.w)
        self.poses.append((_stamp_ns(message), pose.position.x, pose.position.y, heading))


def _stamp_ns(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)

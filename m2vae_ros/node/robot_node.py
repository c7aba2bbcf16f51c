# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The simulated robot as a ROS 2 node, which publishes what drivers of three sensors would.

A VGA image is larger than a Fast DDS publisher on defaults can send best effort: name the
installed ``config/fastdds_large_messages.xml`` in the environment of this node's process
(``FASTDDS_DEFAULT_PROFILES_FILE``, on Humble and Jazzy ``FASTRTPS_DEFAULT_PROFILES_FILE``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
import math

import cv2
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions

from m2vae_ros.node.process import run_node
from m2vae_ros.node.subscriptions import MESSAGE_CLASSES
from m2vae_ros.sensors.kinds import message_type
from m2vae_ros.sensors.messages import ros_message_classes
from m2vae_ros.simulation.faults import STAMP_JITTER, Transmission, transmissions
from m2vae_ros.simulation.generator import world_seeds
from m2vae_ros.simulation.native_messages import observe, PERIODS
from m2vae_ros.simulation.robot import Robot, SENSORS
from m2vae_ros.simulation.sensing import Noise
from m2vae_ros.simulation.world import World

_MAX_STEP = 1.0  # s; during a longer gap in time the robot stands still
_MAX_RATE = 100.0  # Hz
_NOISE = {  # field of Noise -> description and highest value
    'image': ('Standard deviation of a pixel, grey levels of 255', 100.0),
    'exposure': ("Standard deviation of a whole image's brightness, relative", 1.0),
    'scan': ('Standard deviation of a lidar range, metres', 10.0),
    'depth': ('Standard deviation of a depth at 1 m, metres', 1.0),
    'lost': ('Share of lidar and depth returns that are lost at random', 1.0),
}


def parameter_names() -> list[str]:
    """Return the names of the robot's parameters."""
    names = ['seed', 'stamp_jitter', 'pose_rate', *(f'noise.{name}' for name in _NOISE)]
    return names + [
        f'{spec.name}.{name}' for spec in SENSORS for name in ('enabled', 'lost', 'rate')
    ]


class RobotNode(Node):  # type: ignore[misc]  # rclpy carries no types
    """
    Drive through a seeded world and publish camera, lidar, depth cloud and pose.

    Published topics: ``camera/image_raw`` (Image), ``scan`` (LaserScan), ``depth/points``
    (PointCloud2), sensor-data QoS, and ``~/pose`` (PoseStamped in ``map``). ``<sensor>.enabled``,
    ``<sensor>.lost`` and ``stamp_jitter`` may be set while it runs.
    """

    def __init__(self) -> None:
        super().__init__('robot')
        seed = self._declare_seed()
        noise = Noise(**{
            name: self._declare(f'noise.{name}', default, *_NOISE[name])
            for name, default in asdict(Noise()).items()
        })
        self._declare(
            'stamp_jitter', STAMP_JITTER,
            'How far stamps are behind their time, standard deviation, s', 1.0, read_only=False,
        )
        pose_rate = self._declare('pose_rate', 20.0, 'Rate of ~/pose, Hz', _MAX_RATE, low=0.1)
        self._robot = Robot(World(seed), seed, noise=noise)
        self._classes = ros_message_classes()
        self._time_ns = self.get_clock().now().nanoseconds
        for spec, transmission in zip(SENSORS, transmissions(seed, len(SENSORS)), strict=True):
            rate = self._declare_sensor(spec.name)
            publisher = self.create_publisher(
                MESSAGE_CLASSES[message_type(spec)], spec.topic, qos_profile_sensor_data,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            self.create_timer(1 / rate, partial(self._publish, spec.name, publisher, transmission))
        self._pose_publisher = self.create_publisher(PoseStamped, '~/pose', 10)
        self.create_timer(1 / pose_rate, self._publish_pose)
        self.get_logger().info(f'driving through world {seed}')

    def _declare_seed(self) -> int:
        default = world_seeds('test', 1)[0]
        seed: int = self.declare_parameter('seed', default, ParameterDescriptor(
            description='World and noise; the default is a world that no model is trained on',
            read_only=True, integer_range=[IntegerRange(from_value=0, to_value=2**62, step=0)],
        )).value
        return seed

    def _declare(
        self, name: str, default: float, description: str, high: float,
        *, low: float = 0.0, read_only: bool = True,
    ) -> float:
        value: float = self.declare_parameter(name, default, ParameterDescriptor(
            description=description, read_only=read_only,
            floating_point_range=[FloatingPointRange(from_value=low, to_value=high, step=0.0)],
        )).value
        return value

    def _declare_sensor(self, sensor: str) -> float:
        """Declare the parameters of a sensor and return its rate in Hz."""
        self.declare_parameter(f'{sensor}.enabled', True, ParameterDescriptor(
            description=f'Whether the {sensor} says anything; may be set at any time',
        ))
        self._declare(
            f'{sensor}.lost', 0.0, f'Share of messages of the {sensor} that are lost', 1.0,
            read_only=False,
        )
        return self._declare(
            f'{sensor}.rate', round(1 / PERIODS[sensor], 6), f'Rate of the {sensor}, Hz',
            _MAX_RATE, low=0.1,
        )

    def _drive(self) -> int:
        """Move the robot to where it is now; return the time in nanoseconds."""
        now_ns: int = self.get_clock().now().nanoseconds
        elapsed = (now_ns - self._time_ns) * 1e-9
        self._time_ns = now_ns
        if elapsed > 0:
            self._robot.step(min(elapsed, _MAX_STEP))
        return now_ns

    def _publish(self, sensor: str, publisher: Publisher, transmission: Transmission) -> None:
        transmission.silent = not self.get_parameter(f'{sensor}.enabled').value
        transmission.lost = self.get_parameter(f'{sensor}.lost').value
        transmission.jitter = self.get_parameter('stamp_jitter').value
        stamp_ns = transmission.stamp(self._drive())
        if stamp_ns is not None:
            publisher.publish(observe(self._robot, sensor, stamp_ns, self._classes))

    def _publish_pose(self) -> None:
        message = PoseStamped()
        message.header.frame_id = 'map'
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(self._drive(), 10**9)
        pose = self._robot.pose
        message.pose.position.x, message.pose.position.y = pose.x, pose.y
        message.pose.orientation.z = math.sin(pose.heading / 2)
        message.pose.orientation.w = math.cos(pose.heading / 2)
        self._pose_publisher.publish(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the robot until Ctrl-C; return the process's exit code."""
    cv2.setNumThreads(1)  # images this small are faster alone
    return run_node(RobotNode, 'robot', arguments)

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The three sensors of the simulated robot, published by a test: in real or simulated time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from rcl_interfaces.srv import GetParameters
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock

from m2vae_ros.sensors.kinds import encode
from m2vae_ros.sensors.messages import ros_message_classes
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.specs import Measurement
from support.node_processes import Peer

PERIODS = {'camera': 1 / 30, 'lidar': 1 / 10, 'depth': 1 / 12}  # s
SPECS = {spec.name: spec for spec in SENSORS}
NAMES = tuple(SPECS)
CLASSES = ros_message_classes()
TYPES = {
    'image': CLASSES.Image, 'laser_scan': CLASSES.LaserScan, 'point_cloud': CLASSES.PointCloud2,
}


def message(name: str, stamp_ns: int, frame_id: str | None = None):
    """Return a small message that a sensor might send."""
    spec = SPECS[name]
    rng = np.random.default_rng(stamp_ns % 2**32)
    low, high = (0.0, 1.0) if spec.kind == 'image' else (0.5, 5.0)
    seen = np.ones(spec.spatial_shape, bool)
    measurement = Measurement(
        rng.uniform(low, high, spec.shape).astype(np.float32), seen, seen, stamp_ns,
        spec.frame_id if frame_id is None else frame_id,
    )
    return encode(spec, measurement, CLASSES)


class LiveSensors:
    """
    The sensors at their rates, as far as the machine keeps up; each may be silenced.

    Parameters
    ----------
    peer
        Publishes.
    qos
        Quality of service of the publishers.

    Attributes
    ----------
    silent
        Names of the sensors that send nothing.
    frames
        Sensor -> frame, where it is not that of its spec.
    shift_ns
        Added to all stamps.
    shifts_ns
        Sensor -> added to its stamps besides.
    stamps
        Sensor -> stamps of what it has sent, nanoseconds.

    """

    def __init__(self, peer: Peer, qos=qos_profile_sensor_data) -> None:
        self.silent: set[str] = set()
        self.frames: dict[str, str] = {}
        self.shift_ns = 0
        self.shifts_ns: dict[str, int] = {}
        self.stamps: dict[str, list[int]] = {name: [] for name in NAMES}
        self._peer = peer
        self.publishers = _publishers(peer, qos)
        for name, period in PERIODS.items():
            peer.node.create_timer(period, lambda name=name: self.publish(name))

    def publish(self, name: str) -> None:
        if name in self.silent:
            return
        stamp_ns = self._peer.now_ns() + self.shift_ns + self.shifts_ns.get(name, 0)
        self.stamps[name].append(stamp_ns)
        self.publishers[name].publish(message(name, stamp_ns, self.frames.get(name)))


class SimulatedTime:
    """
    Time on ``/clock``, in lockstep with a node: it goes on when the node has followed.

    So what happens in simulated time does not depend on how busy the machine is.

    Parameters
    ----------
    peer
        Publishes the time.
    node
        Name of the node that follows; it uses simulated time.
    step
        Seconds by which time goes on at once, less than any period of the node.

    """

    def __init__(self, peer: Peer, node: str, step: float = 0.01) -> None:
        self._step_ns = round(step * 1e9)
        self.now_ns = 1_000 * 10**9
        self._peer = peer
        self._clock = peer.node.create_publisher(Clock, '/clock', 10)
        self._asked = peer.client(GetParameters, f'{node}/get_parameters')

    def advance(self, seconds: float) -> None:
        """Let time go on."""
        end_ns = self.now_ns + round(seconds * 1e9)
        while self.now_ns < end_ns:
            self.step()

    def advance_until(self, condition: Callable, what='it'):
        """Let time go on until a condition holds; return its value."""
        return self._peer.wait_for(condition, what, step=self.step)

    def step(self) -> None:
        """Let time go on by a step; return when the node has taken all that was published."""
        self.now_ns += self._step_ns
        self._clock.publish(Clock(clock=CLASSES.Time(
            sec=self.now_ns // 10**9, nanosec=self.now_ns % 10**9,
        )))
        self._publish_due()
        answer = self._asked.call_async(GetParameters.Request())
        self._peer.wait_for(answer.done, 'answer of the node')

    def _publish_due(self) -> None:
        """Publish what is due besides the time."""


class Recording(SimulatedTime):
    """The sensors and ``/clock`` of a recording, for a fusion node; each may be silenced."""

    def __init__(self, peer: Peer) -> None:
        super().__init__(peer, 'fusion')
        self.silent: set[str] = set()
        self._publishers = _publishers(peer, 10)
        self._due_ns = dict.fromkeys(NAMES, 0)
        for name, publisher in self._publishers.items():
            peer.wait_for(publisher.get_subscription_count, f'subscription to the {name}')

    def jump_to(self, seconds: float) -> None:
        self.now_ns = round(seconds * 1e9)
        self._due_ns = dict.fromkeys(NAMES, 0)

    def publish(self, name: str) -> None:
        self._publishers[name].publish(message(name, self.now_ns))

    def _publish_due(self) -> None:
        for name in NAMES:
            if self.now_ns >= self._due_ns[name] and name not in self.silent:
                self._due_ns[name] = self.now_ns + round(PERIODS[name] * 1e9)
                self.publish(name)


def _publishers(peer: Peer, qos) -> dict:
    return {
        name: peer.node.create_publisher(TYPES[spec.kind], spec.topic, qos)
        for name, spec in SPECS.items()
    }

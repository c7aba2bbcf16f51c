# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The fusion node in a process of its own, and the other end of its topics in the test's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data

from m2vae_ros.sensors.kinds import encode
from m2vae_ros.sensors.messages import ros_message_classes
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.specs import Measurement
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.model import Architecture, M2VAE

os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)
ROOT = Path(__file__).resolve().parents[2]
RUN = 'import sys; from m2vae_ros.cli import fusion_node; sys.exit(fusion_node())'
PATIENCE = 30.0  # s, on a machine that does much else
TEMPERATURE = 1e6  # of every subset: no untrained posterior is as wide by itself
PERIODS = {'camera': 1 / 30, 'lidar': 1 / 10, 'depth': 1 / 12}
SPECS = {spec.name: spec for spec in SENSORS}
CLASSES = ros_message_classes()
TYPES = {
    'image': CLASSES.Image, 'laser_scan': CLASSES.LaserScan, 'point_cloud': CLASSES.PointCloud2,
}


class NodeProcess:
    """
    The fusion node, started as a user starts it.

    Parameters
    ----------
    domain
        ROS domain.
    folder
        Where its log goes.
    values
        Parameter -> value.
    arguments
        What else stands behind ``--ros-args``.

    """

    def __init__(self, domain: int, folder: Path, values: Mapping, *arguments: str) -> None:
        given = [f'{name}:={_text(value)}' for name, value in values.items()]
        self._log = folder / 'node.log'
        with self._log.open('w') as log:
            self._process = subprocess.Popen(
                [sys.executable, '-c', RUN, '--ros-args', *arguments]
                + [word for pair in given for word in ('-p', pair)],
                stdout=log, stderr=subprocess.STDOUT, cwd=ROOT,
                env={**os.environ, 'ROS_DOMAIN_ID': str(domain)},
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Fail, with its log, if the node is no more."""
        code = self._process.poll()
        assert code is None, f'the node ended with exit code {code}:\n{self.log}'

    def wait(self, timeout: float = PATIENCE) -> int:
        """Return its exit code once it has ended by itself."""
        return self._process.wait(timeout)

    def stop(self, by: int = signal.SIGINT) -> int:
        """Tell it to end and return its exit code."""
        self._process.send_signal(by)
        try:
            return self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f'the node does not end:\n{self.log}') from None

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()


class Peer:
    """
    Publishers, subscriptions and clients in the test's process, spun while the test waits.

    Parameters
    ----------
    domain
        ROS domain.
    process
        Whose death ends every wait.

    """

    def __init__(self, domain: int, process: NodeProcess) -> None:
        self.process = process
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node('peer', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def wait_for(self, condition: Callable, what='it', timeout: float = PATIENCE):
        """Spin until a condition holds and return its value; fail with the node's log."""
        end = time.monotonic() + timeout
        while not (value := condition()):
            self.process.check()
            if time.monotonic() > end:
                missed = what() if callable(what) else what
                raise AssertionError(f'no {missed} in {timeout} s; node:\n{self.process.log}')
            self._executor.spin_once(timeout_sec=0.05)
        return value

    def pass_time(self, seconds: float) -> None:
        """Spin for a while, in which something is not to happen or is to be counted."""
        end = time.monotonic() + seconds
        self.wait_for(lambda: time.monotonic() >= end)

    def hear(self, message_class, topic: str, qos=10) -> list:
        """Return a list that grows with what is published on a topic."""
        heard: list = []
        self.node.create_subscription(message_class, topic, heard.append, qos)
        return heard

    def forget(self, topic: str) -> None:
        """End the subscriptions of a topic."""
        for subscription in list(self.node.subscriptions):
            if subscription.topic_name == self.node.resolve_topic_name(topic):
                self.node.destroy_subscription(subscription)

    def call(self, service_class, name: str, **fields):
        """Call a service and return its response."""
        client = self.node.create_client(service_class, name)
        try:
            self.wait_for(client.service_is_ready, f'service {name}')
            future = client.call_async(service_class.Request(**fields))
            self.wait_for(future.done, f'answer of {name}')
            return future.result()
        finally:
            self.node.destroy_client(client)


class SimulatedSensors:
    """
    The three sensors at their rates, with small messages; each may be silenced.

    Parameters
    ----------
    peer
        Publishes.
    qos
        Of all publishers.

    """

    def __init__(self, peer: Peer, qos=qos_profile_sensor_data) -> None:
        self.silent: set[str] = set()
        self.frames: dict[str, str] = {}
        self.stamps: dict[str, list[int]] = {name: [] for name in SPECS}
        self.shift_ns = 0
        self._node = peer.node
        self.publishers = {
            name: peer.node.create_publisher(TYPES[spec.kind], spec.topic, qos)
            for name, spec in SPECS.items()
        }
        self._timers = [
            peer.node.create_timer(period, lambda name=name: self.publish(name))
            for name, period in PERIODS.items()
        ]

    def publish(self, name: str) -> None:
        if name in self.silent:
            return
        stamp_ns = self._node.get_clock().now().nanoseconds + self.shift_ns
        self.stamps[name].append(stamp_ns)
        self.publishers[name].publish(message(name, stamp_ns, self.frames.get(name)))

    def destroy(self) -> None:
        for timer in self._timers:
            self._node.destroy_timer(timer)
        for publisher in self.publishers.values():
            self._node.destroy_publisher(publisher)


def save_untrained_model(folder: Path) -> Path:
    """Write a small model of the simulated robot's sensors; what it says means nothing."""
    path = folder / 'untrained.safetensors'
    model = M2VAE(SENSORS, Architecture(latent_size=8, feature_size=16, hidden_size=16))
    calibration = {'temperature': {'+'.join(s): TEMPERATURE for s in model.trained_subsets}}
    checkpoint.save(path, model, checkpoint.describe(model, calibration=calibration))
    return path


def message(name: str, stamp_ns: int, frame_id: str | None = None):
    """Return what a sensor might say."""
    spec = SPECS[name]
    rng = np.random.default_rng(stamp_ns % 2**32)
    low, high = (0.0, 1.0) if spec.kind == 'image' else (0.5, 5.0)
    seen = np.ones(spec.spatial_shape, bool)
    measurement = Measurement(
        rng.uniform(low, high, spec.shape).astype(np.float32), seen, seen, stamp_ns,
        spec.frame_id if frame_id is None else frame_id,
    )
    return encode(spec, measurement, CLASSES)


def stamp_of(heard) -> int:
    """Return the stamp of a message in nanoseconds."""
    return heard.header.stamp.sec * 10**9 + heard.header.stamp.nanosec


def parameter(name: str, value):
    """Return a parameter as services want it."""
    return Parameter(name, value=value).to_parameter_msg()


def _text(value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

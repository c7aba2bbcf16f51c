# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Measure the latency that the fusion node adds to decoding and encoding, at full rates over DDS.

One process publishes the messages of the simulated robot: VGA image, scan and cloud at 30, 10 and
12 Hz. Another process is first the node, then the reference. The node's latency is from the entry
of the callback that completes a set to the return of publish. The reference receives the same
messages at the same rates; whenever a scan has arrived, one thread decodes the newest message of
each sensor and runs the encoder of the full subset on them, back to back. Printed are the
percentiles of both with their ratio, the numbers of messages published, received and rejected, and
the sets dropped.

    python benchmarks/node_latency.py [--model FILE] [--seconds 30] [--threads 1]

Without ``--model``, an untrained model of the default architecture is measured: it is as fast.
"""

from __future__ import annotations

import argparse
from collections import Counter
from functools import partial
import json
import os
from pathlib import Path
import queue
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import rclpy
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data, QoSProfile
import torch

from m2vae_ros.fusion.engine import Engine
from m2vae_ros.installation import find_wheels_shares
from m2vae_ros.node.fusion_node import FusionNode
from m2vae_ros.node.process import make_executor
from m2vae_ros.node.share import large_messages_environment
from m2vae_ros.node.subscriptions import MESSAGE_CLASSES
from m2vae_ros.sensors.kinds import decode, message_type
from m2vae_ros.sensors.messages import ros_message_classes
from m2vae_ros.simulation.native_messages import observe, PERIODS
from m2vae_ros.simulation.robot import Robot, SENSORS
from m2vae_ros.simulation.world import World
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.model import M2VAE

WARM_UP = 3.0  # s
MOMENTS = 30  # of the drive, published in a loop
NAMES = tuple(spec.name for spec in SENSORS)


def spin(node: Any, seconds: float | None = None) -> None:
    """Spin as the node's own process does, for some seconds, or until a line arrives on stdin."""
    told_to_end = threading.Event()
    if seconds is None:
        threading.Thread(
            target=lambda: (sys.stdin.readline(), told_to_end.set()), daemon=True,
        ).start()
    end = time.monotonic() + (seconds or float('inf'))
    executor = make_executor()
    executor.add_node(node)
    while rclpy.ok() and not told_to_end.is_set() and time.monotonic() < end:
        executor.spin_once(timeout_sec=0.1)


def recorded_moments(stamp_ns: int = 0) -> list[dict[str, Any]]:
    """Return sensor -> message, of `MOMENTS` moments of a drive."""
    robot = Robot(World(12345), 12345)
    classes = ros_message_classes()
    moments = []
    for _ in range(MOMENTS):
        robot.step(0.1)
        moments.append({name: observe(robot, name, stamp_ns, classes) for name in NAMES})
    return moments


def publish() -> dict[str, int]:
    """Publish at full rates from the first subscription of each topic on; return the counts."""
    moments = recorded_moments()
    node = rclpy.create_node('sensors')
    counts: Counter[str] = Counter()
    publishers = {
        spec.name: node.create_publisher(
            MESSAGE_CLASSES[message_type(spec)], spec.topic, qos_profile_sensor_data
        )
        for spec in SENSORS
    }

    def send(name: str) -> None:
        message = moments[counts[name] % MOMENTS][name]
        message.header.stamp = node.get_clock().now().to_msg()
        publishers[name].publish(message)
        counts[name] += 1

    while not all(p.get_subscription_count() for p in publishers.values()):
        spin(node, 0.1)
    spin(node, 0.5)
    for name in NAMES:
        node.create_timer(PERIODS[name], partial(send, name))
    spin(node)
    return dict(counts)


def run_node(model: str, threads: int) -> list[float]:
    """Run the node until told to end; return the latency in ms of each set of all sensors."""
    traces: list[Any] = []
    overrides = {'model': model, 'threads': threads, 'device': 'cpu'}
    node = FusionNode(trace=traces.append, parameter_overrides=[
        Parameter(name, value=value) for name, value in overrides.items()
    ])
    spin(node)
    node.destroy_node()
    begin_ns = traces[0].published_ns + int(WARM_UP * 1e9)
    return [
        (trace.published_ns - trace.entered_ns) * 1e-6
        for trace in traces if trace.sensors == NAMES and trace.entered_ns > begin_ns
    ]


def run_reference(model: str, threads: int) -> list[float]:
    """Decode and encode the newest messages whenever a scan has arrived; return the times, ms."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    engine = Engine(checkpoint.load(model).model, device='cpu')
    engine.warm()
    node = rclpy.create_node('fusion')
    newest: dict[str, Any] = {}
    arrived: queue.Queue[dict[str, Any] | None] = queue.Queue()
    times: list[tuple[float, float]] = []

    def receive(name: str, message: Any) -> None:
        newest[name] = message
        if name == 'lidar' and len(newest) == len(NAMES):
            arrived.put(dict(newest))

    def work() -> None:
        while (messages := arrived.get()) is not None:
            begin = time.perf_counter()
            engine.fuse({spec.name: decode(spec, messages[spec.name]) for spec in SENSORS})
            times.append((begin, (time.perf_counter() - begin) * 1e3))

    for spec in SENSORS:
        node.create_subscription(
            MESSAGE_CLASSES[message_type(spec)], spec.topic, partial(receive, spec.name),
            qos_profile_sensor_data,
        )
    worker = threading.Thread(target=work)
    worker.start()
    spin(node)
    arrived.put(None)
    worker.join()
    return [milliseconds for begin, milliseconds in times if begin > times[0][0] + WARM_UP]


class Role:
    """This file in another process, which prints its result when it is told to end."""

    def __init__(self, role: str, arguments: argparse.Namespace, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, '--role', role, '--model', arguments.model,
             '--threads', str(arguments.threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **environment},
        )

    def end(self) -> Any:
        """Tell it to end and return its result."""
        output, _ = self._process.communicate('end\n')
        return json.loads(output.splitlines()[-1])


class Diagnostics:
    """The newest diagnostics of the node, by status name and key."""

    def __init__(self, node: Any) -> None:
        self.values: dict[str, dict[str, str]] = {}
        node.create_subscription(
            DiagnosticArray, '/diagnostics', self._receive, QoSProfile(depth=10)
        )

    def _receive(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.values[status.name] = {pair.key: pair.value for pair in status.values}


def measure(arguments: argparse.Namespace) -> None:
    """Run node and reference one after the other under the same load and print the results."""
    node = rclpy.create_node('measure')
    diagnostics = Diagnostics(node)
    times = {}
    for role in ('node', 'reference'):
        sensors = Role('sensors', arguments, **large_messages_environment())
        measured = Role(role, arguments)
        spin(node, arguments.seconds + WARM_UP)
        published = sensors.end()
        spin(node, 2.5)  # for diagnostics from after the last message
        times[role] = np.array(measured.end())
        if role == 'node':
            report(published, diagnostics.values)
    print(f'{"":10} {"node":>10} {"reference":>10} {"ratio":>6}   milliseconds')
    for percentile in (50, 99):
        ours, reference = (np.percentile(times[role], percentile) for role in times)
        print(f'{f"p{percentile}":10} {ours:10.2f} {reference:10.2f} {ours / reference:6.2f}')
    print(f'{"sets":10} {len(times["node"]):10} {len(times["reference"]):10}')


def report(published: dict[str, int], values: dict[str, dict[str, str]]) -> None:
    """Print how many messages were published, received and rejected, and the node's counts."""
    print(f'{"sensor":10} {"published":>10} {"received":>10} {"rejected":>10}')
    for name, count in published.items():
        status = values[f'fusion: {name}']
        print(f'{name:10} {count:10} {status["received"]:>10} {status["rejected"]:>10}')
    for key, value in values['fusion: fusion'].items():
        if key.startswith(('sets', 'latency', 'device')):
            print(f'{key}: {value}')


def main() -> None:
    """Measure; in a process of `Role`, play that role."""
    find_wheels_shares()
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--model', default='')
    parser.add_argument('--seconds', type=float, default=30.0)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--role', choices=('sensors', 'node', 'reference'), help='internal')
    arguments = parser.parse_args()
    rclpy.init()
    if arguments.role == 'sensors':
        print(json.dumps(publish()))
    elif arguments.role == 'node':
        print(json.dumps(run_node(arguments.model, arguments.threads)))
    elif arguments.role == 'reference':
        print(json.dumps(run_reference(arguments.model, arguments.threads)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            if not arguments.model:
                arguments.model = str(Path(folder, 'untrained.safetensors'))
                model = M2VAE(SENSORS)
                checkpoint.save(arguments.model, model, checkpoint.describe(model))
            measure(arguments)


if __name__ == '__main__':
    main()

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Measure how far images that take long to decode hold up the scans of the fusion node, over DDS.

One process publishes a PNG of 3840 x 2160 pixels at 5 Hz and a scan at 40 Hz. Another runs the
node, first with all decoding in the thread of the callbacks, then as it is, with images decoded in
a thread of their own. Printed are, for each: the delay of scans from stamp to callback, the age of
latents that a scan is in, when they are published, the longest time without one, and how many of
them are of scan and image; and the ratios of the two.

    python benchmarks/slow_images.py [--seconds 20] [--width 3840] [--max-wait 0.12]
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, ClassVar

import cv2
import numpy as np
import rclpy
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, LaserScan

from m2vae_ros.fusion.live import reception
from m2vae_ros.installation import find_wheels_shares
from m2vae_ros.node.fusion_loop import FusionLoop
from m2vae_ros.node.fusion_node import FusionNode
from m2vae_ros.node.process import make_executor
from m2vae_ros.node.share import large_messages_environment
from m2vae_ros.sensors.messages import ros_message_classes
from m2vae_ros.simulation.native_messages import observe
from m2vae_ros.simulation.robot import Robot, SENSORS
from m2vae_ros.simulation.world import World
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.model import M2VAE

WARM_UP = 3.0  # s
IMAGE_PERIOD, SCAN_PERIOD = 1 / 5, 1 / 40  # s


def spin(node: Any) -> None:
    """Spin as the node's own process does, until a line arrives on stdin."""
    told_to_end = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), told_to_end.set()), daemon=True).start()
    executor = make_executor()
    executor.add_node(node)
    while rclpy.ok() and not told_to_end.is_set():
        executor.spin_once(timeout_sec=0.1)


def picture(width: int) -> Any:
    """Return the PNG of a picture with a little noise, 9 to 16, as a uint8 sequence."""
    rng = np.random.default_rng(0)
    shape = width * 9 // 16, width
    smooth = cv2.resize(rng.integers(0, 256, (9, 16, 3), dtype=np.uint8), shape[::-1])
    noisy = cv2.add(smooth, rng.integers(0, 4, smooth.shape, dtype=np.uint8))
    return ros_message_classes().uint8_sequence(cv2.imencode('.png', noisy)[1])


def publish(width: int) -> dict[str, Any]:
    """Publish until told to end; return how many scans, the file's size and its decoding time."""
    node = rclpy.create_node('sensors')
    scan = observe(Robot(World(1), 1), 'lidar', 0, ros_message_classes())
    image = CompressedImage(format='png', data=picture(width))
    begin = time.perf_counter()
    cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_UNCHANGED)
    decoding = time.perf_counter() - begin
    scans = node.create_publisher(LaserScan, 'scan', qos_profile_sensor_data)
    images = node.create_publisher(
        CompressedImage, 'camera/image_raw/compressed', qos_profile_sensor_data
    )
    count = 0

    def send(publisher: Any, message: Any) -> None:
        nonlocal count
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)
        count += message is scan

    # An image takes milliseconds to publish: another thread keeps the scans regular.
    ended = threading.Event()

    def send_images() -> None:
        while not ended.wait(IMAGE_PERIOD):
            send(images, image)

    sender = threading.Thread(target=send_images)
    sender.start()
    node.create_timer(SCAN_PERIOD, lambda: send(scans, scan))
    spin(node)
    ended.set()
    sender.join()
    return {'scans': count, 'bytes': len(image.data), 'decoding': decoding}


class MeasuredLoop(FusionLoop):
    """Notes when scans enter their callback."""

    entries: ClassVar[list[tuple[float, float]]] = []  # time and delay, s

    def _receive(self, sensor: str, message: Any) -> None:
        if sensor == 'lidar':
            stamp = message.header.stamp
            now = time.time()
            self.entries.append((now, now - stamp.sec - stamp.nanosec * 1e-9))
        super()._receive(sensor, message)


def run_node(model: str, max_wait: float, *, inline: bool) -> dict[str, float]:
    """Run the node until told to end; return what was measured after the warm-up."""
    from m2vae_ros.node import fusion_node

    fusion_node.FusionLoop = MeasuredLoop  # type: ignore[misc]
    if inline:
        reception.takes_long = lambda message: False
    latents: list[tuple[float, float]] = []  # time and age, s
    of_both = 0

    def trace(result: Any) -> None:
        nonlocal of_both
        of_both += len(result.sensors) == 2
        if 'lidar' in result.sensors:
            now = time.time()
            latents.append((now, now - result.stamp_ns * 1e-9))

    node = FusionNode(trace=trace, parameter_overrides=[
        Parameter(name, value=value) for name, value in {
            'model': model, 'device': 'cpu', 'camera.transport': 'compressed',
            'depth.enabled': False, 'max_wait': max_wait,
        }.items()
    ])
    spin(node)
    node.destroy_node()
    if len(latents) < 10:
        raise SystemExit(f'only {len(latents)} latents: measure for longer')
    begin = latents[0][0] + WARM_UP
    entries = [delay for now, delay in MeasuredLoop.entries if now > begin]
    ages = [age for now, age in latents if now > begin]
    times = [now for now, _ in latents if now > begin]
    return {
        'scans received': len(MeasuredLoop.entries),
        'scan to callback, p50 (ms)': 1e3 * float(np.percentile(entries, 50)),
        'scan to callback, p99 (ms)': 1e3 * float(np.percentile(entries, 99)),
        'age of a latent, p50 (ms)': 1e3 * float(np.percentile(ages, 50)),
        'age of a latent, p99 (ms)': 1e3 * float(np.percentile(ages, 99)),
        'longest time without (ms)': 1e3 * float(np.diff(times).max()),
        'latents a second': len(times) / (times[-1] - times[0]),
        'with the image, a second': of_both / (latents[-1][0] - latents[0][0]),
    }


class Role:
    """This file in another process, which prints its result when it is told to end."""

    def __init__(self, role: str, *words: str, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, '--role', role, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **environment},
        )

    def end(self) -> Any:
        """Tell it to end and return its result."""
        output, _ = self._process.communicate('end\n')
        return json.loads(output.splitlines()[-1])


def measure(model: str, seconds: float, width: int, max_wait: float) -> None:
    """Measure the node both ways and print the results."""
    found = {}
    for role in ('inline', 'threads'):
        node = Role(role, '--model', model, '--max-wait', str(max_wait))
        sensors = Role('sensors', '--width', str(width), **large_messages_environment())
        time.sleep(seconds + 2 * WARM_UP)
        found[role] = node.end()
        sent = sensors.end()
    print(f'png of {sent["bytes"] / 1e6:.1f} MB, decoded in {sent["decoding"]:.3f} s')
    print(f'{"":28}{"in the callback":>16}{"in a thread":>12}{"ratio":>8}')
    for name in found['inline']:
        before, after = (found[role][name] for role in found)
        print(f'{name:28}{before:16.1f}{after:12.1f}{ratio(before, after):>8}')


def ratio(before: float, after: float) -> str:
    """Return the ratio as text; empty where there is none."""
    return f'{before / after:.2f}' if after else ''


def main() -> None:
    """Measure; in a process of `Role`, play that role."""
    find_wheels_shares()
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--seconds', type=float, default=20.0)
    parser.add_argument('--width', type=int, default=3840)
    parser.add_argument('--max-wait', type=float, default=0.12)
    parser.add_argument('--model', default='', help='internal')
    parser.add_argument('--role', choices=('sensors', 'inline', 'threads'), help='internal')
    arguments = parser.parse_args()
    if arguments.role is None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, 'untrained.safetensors')
            model = M2VAE(SENSORS)
            checkpoint.save(path, model, checkpoint.describe(model))
            measure(str(path), arguments.seconds, arguments.width, arguments.max_wait)
        return
    rclpy.init()
    if arguments.role == 'sensors':
        print(json.dumps(publish(arguments.width)))
    else:
        found = run_node(arguments.model, arguments.max_wait, inline=arguments.role == 'inline')
        print(json.dumps(found))


if __name__ == '__main__':
    main()

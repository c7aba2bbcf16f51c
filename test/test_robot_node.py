# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The robot's node in a process of its own, heard and told over DDS."""

from __future__ import annotations

import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest

from m2vae_ros.sensors.kinds import decode
from m2vae_ros.simulation.robot import SENSORS

rclpy = pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from geometry_msgs.msg import PoseStamped  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import qos_profile_sensor_data  # noqa: E402
from sensor_msgs.msg import Image, LaserScan, PointCloud2  # noqa: E402

from m2vae_ros.node.share import large_messages_environment  # noqa: E402

TYPES = {'camera': Image, 'lidar': LaserScan, 'depth': PointCloud2}
RUN = 'import sys; from m2vae_ros.node.robot_node import main; sys.exit(main())'


def start(environment, *arguments):
    return subprocess.Popen(
        [sys.executable, '-c', RUN, '--ros-args', *arguments], env=environment,
        stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
    )


def spin_until(executor, condition, timeout=20.0):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f'not within {timeout} s'
        executor.spin_once(timeout_sec=0.1)


class Listener:
    """Hear all that the robot says."""

    def __init__(self, context):
        self.node = rclpy.create_node('robot_listener', context=context)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.heard = {name: [] for name in [*TYPES, 'pose']}
        for spec in SENSORS:
            self.node.create_subscription(
                TYPES[spec.name], spec.topic, self.heard[spec.name].append,
                qos_profile_sensor_data,
            )
        self.node.create_subscription(PoseStamped, 'robot/pose', self.heard['pose'].append, 10)
        self.parameters = self.node.create_client(SetParameters, 'robot/set_parameters')

    def change(self, name, value):
        parameter = Parameter(name, value=value).to_parameter_msg()
        future = self.parameters.call_async(SetParameters.Request(parameters=[parameter]))
        spin_until(self.executor, future.done)
        return future.result().results[0]

    def hear(self, seconds):
        """Return what was said from now on, until the pose says that so much time has passed."""
        for messages in self.heard.values():
            messages.clear()
        poses = self.heard['pose']
        spin_until(self.executor, lambda: poses and stamp(poses[-1]) - stamp(poses[0]) > seconds)
        return {name: list(messages) for name, messages in self.heard.items()}


def stamp(message):
    return message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec


@pytest.fixture(scope='module')
def environment():
    return {
        **os.environ, **large_messages_environment(),
        'ROS_DOMAIN_ID': '51', 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }


@pytest.fixture(scope='module')
def robot(environment):
    process = start(environment)
    yield process
    process.terminate()
    process.communicate(timeout=10)


@pytest.fixture(scope='module')
def listener(robot):
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=51)
    heard = Listener(context)
    spin_until(heard.executor, lambda: all(heard.heard.values()))
    yield heard
    heard.executor.shutdown()
    heard.node.destroy_node()
    rclpy.shutdown(context=context)


def test_every_sensor_is_heard_at_its_rate_and_decodes(listener):
    heard = listener.hear(3.0)
    for spec, rate in zip(SENSORS, (30, 10, 12), strict=True):
        messages = heard[spec.name]
        assert rate * 0.8 <= len(messages) / 3.0 <= rate * 1.2
        stamps = [stamp(message) for message in messages]
        assert stamps == sorted(set(stamps))
        assert messages[0].header.frame_id == spec.frame_id
        assert decode(spec, messages[0]).valid.mean() > 0.9
    assert heard['camera'][0].encoding == 'rgb8'
    assert (heard['camera'][0].height, heard['camera'][0].width) == (480, 640)
    assert len(heard['lidar'][0].ranges) == 360
    assert heard['pose'][0].header.frame_id == 'map'
    ways = [(message.pose.position.x, message.pose.orientation.z) for message in heard['pose']]
    assert len(set(ways)) > 30


@pytest.mark.parametrize('name', ['camera', 'lidar', 'depth'])
def test_a_sensor_is_silenced_and_revived_by_its_parameter(listener, name):
    assert listener.change(f'{name}.enabled', False).successful
    listener.hear(0.3)  # what was on its way when it fell silent
    heard = listener.hear(1.0)
    assert heard.pop(name) == []
    assert all(heard.values())
    assert listener.change(f'{name}.enabled', True).successful
    assert len(listener.hear(1.0)[name]) >= 6


def test_as_many_messages_are_lost_as_the_parameter_says(listener):
    assert listener.change('camera.lost', 0.5).successful
    listener.hear(0.2)
    assert 20 <= len(listener.hear(3.0)['camera']) <= 70
    assert listener.change('camera.lost', 0.0).successful


@pytest.mark.parametrize(('name', 'value'), [
    ('camera.lost', 1.5), ('camera.enabled', 1), ('stamp_jitter', -1.0), ('camera.rate', 5.0),
])
def test_a_parameter_outside_of_its_range_type_or_time_is_refused(listener, name, value):
    result = listener.change(name, value)
    assert not result.successful
    assert result.reason


def test_ctrl_c_ends_the_node_without_a_traceback(environment):
    process = start(environment, '-r', '__node:=second', '-r', '__ns:=/elsewhere')
    assert any('driving through world' in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=10)
    assert process.returncode == 0
    assert 'Traceback' not in rest


def test_a_wrong_start_parameter_ends_in_a_line_that_names_it(environment):
    process = start(environment, '-p', 'noise.lost:=2.0', '-r', '__ns:=/elsewhere')
    _, said = process.communicate(timeout=20)
    assert process.returncode == 2
    assert 'noise.lost' in said
    assert 'Traceback' not in said

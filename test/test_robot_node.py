# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The simulated robot's node in a process of its own, over DDS, mostly in simulated time."""

from __future__ import annotations

from contextlib import closing
import signal

import pytest

from m2vae_ros.sensors.kinds import decode
from m2vae_ros.simulation.robot import SENSORS

rclpy = pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from geometry_msgs.msg import PoseStamped  # noqa: E402
from rclpy.qos import qos_profile_sensor_data  # noqa: E402

from m2vae_ros.node.share import large_messages_environment  # noqa: E402
from support.domains import reserved_domain  # noqa: E402
from support.live_sensors import SimulatedTime, TYPES  # noqa: E402
from support.node_processes import Peer, stamp_of  # noqa: E402
from support.processes import entry, Process  # noqa: E402

RATES = {'camera': 30, 'lidar': 10, 'depth': 12}  # Hz


def start(log, domain, *arguments):
    return Process(
        entry('robot_node'), ['--ros-args', *arguments], log, ROS_DOMAIN_ID=str(domain),
        **large_messages_environment(),
    )


class Listener:
    """
    Collects all that the robot publishes.

    Parameters
    ----------
    peer
        Subscribes.

    """

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._heard = {
            spec.name: peer.hear(TYPES[spec.kind], spec.topic, qos_profile_sensor_data)
            for spec in SENSORS
        }
        self._heard['pose'] = peer.hear(PoseStamped, 'robot/pose')
        self._time = SimulatedTime(peer, 'robot')
        self._time.advance_until(lambda: all(self._heard.values()), 'message of every sensor')

    def hear(self, seconds: float) -> dict[str, list]:
        """Return name -> messages of the next seconds of simulated time."""
        begin_ns = self._time.now_ns
        self._time.advance(seconds)
        end_ns = self._time.now_ns
        self._time.advance_until(lambda: stamp_of(self._heard['pose'][-1]) > end_ns, 'last pose')
        return {
            name: [m for m in messages if begin_ns < stamp_of(m) <= end_ns]
            for name, messages in self._heard.items()
        }


@pytest.fixture(scope='module')
def listener(tmp_path_factory):
    log = tmp_path_factory.mktemp('robot') / 'log'
    parameters = '-p', 'use_sim_time:=true', '-p', 'stamp_jitter:=0.0'
    with (
        reserved_domain() as domain,
        start(log, domain, *parameters) as process,
        closing(Peer(domain, process)) as peer,
    ):
        yield Listener(peer)


def test_every_sensor_is_heard_at_its_rate_and_decodes(listener):
    heard = listener.hear(2.0)
    for spec in SENSORS:
        messages = heard[spec.name]
        assert len(messages) / 2.0 == pytest.approx(RATES[spec.name], rel=0.1)
        stamps = list(map(stamp_of, messages))
        assert stamps == sorted(stamps)  # an executor may call a timer twice at a simulated time
        assert messages[0].header.frame_id == spec.frame_id
        assert decode(spec, messages[0]).valid.mean() > 0.9
    assert heard['camera'][0].encoding == 'rgb8'
    assert (heard['camera'][0].height, heard['camera'][0].width) == (480, 640)
    assert len(heard['lidar'][0].ranges) == 360
    assert heard['pose'][0].header.frame_id == 'map'
    places = [(message.pose.position.x, message.pose.orientation.z) for message in heard['pose']]
    assert len(set(places)) > 30


@pytest.mark.parametrize('name', ['camera', 'lidar', 'depth'])
def test_a_sensor_is_silenced_and_revived_by_its_parameter(listener, name):
    assert listener.peer.set_parameter('robot', f'{name}.enabled', False).successful
    heard = listener.hear(0.5)
    assert heard.pop(name) == []
    assert all(heard.values())
    assert listener.peer.set_parameter('robot', f'{name}.enabled', True).successful
    assert len(listener.hear(0.5)[name]) >= 0.4 * RATES[name]


def test_as_many_messages_are_lost_as_the_parameter_says(listener):
    assert listener.peer.set_parameter('robot', 'camera.lost', 0.5).successful
    assert 15 <= len(listener.hear(2.0)['camera']) <= 45
    assert listener.peer.set_parameter('robot', 'camera.lost', 0.0).successful


@pytest.mark.parametrize(('name', 'value'), [
    ('camera.lost', 1.5), ('camera.enabled', 1), ('stamp_jitter', -1.0), ('camera.rate', 5.0),
])
def test_a_parameter_outside_of_its_range_type_or_time_is_refused(listener, name, value):
    result = listener.peer.set_parameter('robot', name, value)
    assert not result.successful
    assert result.reason


def test_in_real_time_stamps_increase_and_ctrl_c_ends_the_node(tmp_path):
    with (
        reserved_domain() as domain,
        start(tmp_path / 'log', domain, '-r', '__node:=second', '-r', '__ns:=/elsewhere') as robot,
    ):
        with closing(Peer(domain, robot)) as peer:
            topic = '/elsewhere/camera/image_raw'
            images = peer.hear(TYPES['image'], topic, qos_profile_sensor_data)
            peer.wait_for(lambda: len(images) > 10, 'images')
        stamps = list(map(stamp_of, images))
        assert stamps == sorted(set(stamps))
        assert 'driving through world' in robot.log
        assert robot.stop(signal.SIGINT) == 0
        assert 'Traceback' not in robot.log


def test_a_wrong_start_parameter_ends_in_a_line_that_names_it(tmp_path):
    with (
        reserved_domain() as domain,
        start(tmp_path / 'log', domain, '-p', 'noise.lost:=2.0') as robot,
    ):
        assert robot.wait() == 2
        assert 'noise.lost' in robot.log
        assert 'Traceback' not in robot.log

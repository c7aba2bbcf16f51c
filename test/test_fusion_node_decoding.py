# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Images that take long to decode hold up neither the other sensors nor the end of the node."""

from __future__ import annotations

from statistics import median
import time

import cv2
import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from sensor_msgs.msg import CompressedImage, PointCloud2  # noqa: E402

from m2vae_ros.sensors.messages import ros_message_classes  # noqa: E402
from support.live_sensors import LiveSensors  # noqa: E402
from support.node_processes import peer_of_node  # noqa: E402
from support.processes import Process  # noqa: E402
from support.waiting import BusyClock  # noqa: E402

SIDE = 8192  # pixels; the file is small, and takes most of a second
ABORTS = """
import builtins, sys, threading, time
import cv2, numpy as np
from m2vae_ros.fusion.live.decoding_thread import Decoding, DecodingThread
from m2vae_ros.node.process import run_node

class Slow:
    def __del__(self):
        time.sleep(1)

builtins.ends_last = Slow()
image = cv2.imencode('.png', np.zeros((1024, 1024, 3), np.uint8))[1]
begun = threading.Event()

def decode(message):
    while True:
        begun.set()
        cv2.imdecode(image, cv2.IMREAD_UNCHANGED)

def make():
    DecodingThread('camera', decode, print).put(Decoding(None))
    begun.wait()
    raise ValueError('this one fails')

sys.exit(run_node(make, 'node', []))
"""


@pytest.fixture(scope='module')
def peer(tmp_path_factory, untrained_model):
    parameters = {
        'model': untrained_model, 'camera.transport': 'compressed', 'max_image_pixels': SIDE**2,
    }
    with peer_of_node(tmp_path_factory.mktemp('node'), parameters) as peer:
        sensors = LiveSensors(peer)
        sensors.silent.add('camera')
        yield peer


@pytest.fixture(scope='module')
def send(peer):
    """Return a function that publishes a black image, large or small."""
    publisher = peer.node.create_publisher(CompressedImage, 'camera/image_raw/compressed', 1)
    files = {side: black(side) for side in (48, SIDE)}
    peer.wait_for(publisher.get_subscription_count, 'subscription')

    def publish(side):
        message = CompressedImage(format='png')
        message.data = ros_message_classes().uint8_sequence(files[side])
        message.header.stamp = peer.node.get_clock().now().to_msg()
        publisher.publish(message)

    return publish


@pytest.fixture(scope='module')
def times(peer):
    """Return a list that grows with the times at which latents arrive."""
    arrived: list[float] = []
    peer.node.create_subscription(
        PointCloud2, 'fusion/latent', lambda message: arrived.append(time.monotonic()), 10
    )
    peer.wait_for(lambda: len(arrived) > 10, 'latents')
    return arrived


def camera_values(peer):
    """Return the values of the camera's next diagnostics."""
    heard = peer.hear(DiagnosticArray, '/diagnostics')
    peer.wait_for(lambda: len(heard) > 1, 'diagnostics')
    peer.forget('/diagnostics')
    (status,) = (status for status in heard[-1].status if status.name.endswith(' camera'))
    return {pair.key: pair.value for pair in status.values}


def change(peer, transition):
    return peer.call(
        ChangeState, 'fusion/change_state', transition=Transition(id=transition)
    ).success


def decoding_time():
    """Return the seconds that decoding the large image takes here and now."""
    image = black(SIDE)
    begin = time.monotonic()
    cv2.imdecode(image, cv2.IMREAD_COLOR)
    return time.monotonic() - begin


def black(side):
    return cv2.imencode('.png', np.zeros((side, side, 3), np.uint8))[1]


def longest_gaps(peer, send, times, side, count=3):
    """Publish images; return the longest time without a latent after each."""
    gaps = []
    for _ in range(count):
        begin = time.monotonic()
        send(side)
        peer.pass_time(0.9)
        gaps.append(max(np.diff([begin, *(t for t in times if t > begin), time.monotonic()])))
    return gaps


def test_the_others_are_fused_while_an_image_is_decoded(peer, send, times):
    small = longest_gaps(peer, send, times, 48)
    large = longest_gaps(peer, send, times, SIDE)
    assert median(large) - median(small) < decoding_time() / 2
    values = camera_values(peer)
    assert float(values['longest decoding (s)']) > 0
    assert int(values['received']) == 6
    assert values['rejected'] == '0'


def test_it_is_deactivated_and_activated_while_an_image_is_decoded(peer, send, times):
    for _ in range(2):
        send(SIDE)
        peer.pass_time(0.1)
        assert change(peer, Transition.TRANSITION_DEACTIVATE)
        assert change(peer, Transition.TRANSITION_ACTIVATE)
    del times[:]
    peer.wait_for(lambda: len(times) > 5, 'latents')
    assert camera_values(peer)['rejected'] == '0'


def test_a_signal_ends_it_while_an_image_is_decoded(peer, send, times):
    send(SIDE)
    peer.pass_time(0.2)
    with BusyClock() as clock:
        assert peer.process.stop() == 0
        assert clock.seconds() < 2
    for word in ('Traceback', 'terminate called'):
        assert word not in peer.process.log


def test_python_does_not_abort_where_decoding_outlasts_the_node(tmp_path):
    with Process(ABORTS, [], tmp_path / 'log') as process:
        assert process.wait() == 2
        assert 'this one fails' in process.log
        assert 'terminate called' not in process.log

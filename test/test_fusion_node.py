# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the fusion node publishes while sensors fall silent and send nonsense, over real DDS."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
import json
from math import log

import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from sensor_msgs.msg import PointCloud2  # noqa: E402
from std_msgs.msg import Float32MultiArray, String  # noqa: E402

from m2vae_ros.fusion.latent_message import latent_from_message  # noqa: E402
from m2vae_ros.simulation.robot import SENSORS  # noqa: E402
from support.live_sensors import LiveSensors, message, NAMES, SPECS, TYPES  # noqa: E402
from support.node_processes import Peer, peer_of_node, stamp_of  # noqa: E402
from support.untrained_model import TEMPERATURE  # noqa: E402
from support.waiting import BusyClock  # noqa: E402


@pytest.fixture(scope='module')
def peer(tmp_path_factory, untrained_model):
    parameters = {
        'model': untrained_model, 'lidar.frame_id': 'chosen_frame', 'max_image_pixels': 10_000,
    }
    with peer_of_node(tmp_path_factory.mktemp('node'), parameters) as peer:
        yield peer


@pytest.fixture(scope='module')
def sensors(peer):
    return LiveSensors(peer)


@pytest.fixture(scope='module')
def latents(peer, sensors):
    return peer.hear(PointCloud2, 'fusion/latent', 100)


@pytest.fixture(scope='module')
def statuses(peer):
    return peer.hear(DiagnosticArray, '/diagnostics')


@pytest.fixture(autouse=True)
def all_live(peer, sensors, latents):
    """Begin every test with all sensors live."""
    sensors.silent.clear()
    del latents[:]
    settle(peer, latents, NAMES)


def subset_of(latent):
    return latent_from_message(latent).subset(NAMES)


def settle(peer, latents, subset):
    """Wait until three sets in a row, of measurements from now on, are of the subset."""
    now_ns = peer.now_ns()

    def settled():
        last = latents[-3:]
        return len(last) == 3 and all(
            stamp_of(latent) > now_ns and subset_of(latent) == subset for latent in last
        )

    peer.wait_for(settled, lambda: (
        f'three latents of {subset}; the last were of {list(map(subset_of, latents[-5:]))}'
    ))


def status(peer, statuses, name, holds):
    """Wait for a status of the name for which something holds."""
    del statuses[:]
    return peer.wait_for(
        lambda: next((
            found for array in statuses for found in array.status
            if found.name == f'fusion: {name}' and holds(found)
        ), None),
        lambda: f'such a status of {name}; heard {statuses[-1:]}',
    )


def values(found):
    return {pair.key: pair.value for pair in found.values}


@pytest.mark.parametrize('silent', [
    (), ('camera',), ('lidar',), ('depth',), ('camera', 'lidar'), ('lidar', 'depth'),
])
def test_the_mask_says_which_sensors_are_live(peer, sensors, latents, silent):
    sensors.silent.update(silent)
    settle(peer, latents, tuple(name for name in NAMES if name not in silent))


def test_latents_go_on_when_sensors_fall_silent_and_come_back(peer, sensors, latents):
    sensors.silent.update(['camera', 'lidar'])
    settle(peer, latents, ('depth',))
    sensors.silent.clear()
    settle(peer, latents, NAMES)
    stamps = [stamp_of(latent) for latent in latents]
    assert stamps == sorted(set(stamps))


def test_a_measurement_that_stays_alone_is_fused_all_the_same(peer, sensors, latents):
    with BusyClock() as clock:
        sensors.silent.update(NAMES)
        peer.pass_time(0.15)  # more than slop and max_wait; the sensors still count as live
        stamp_ns, sent = peer.now_ns(), clock.seconds()
        sensors.publishers['lidar'].publish(message('lidar', stamp_ns))
        peer.wait_for(lambda: stamp_of(latents[-1]) == stamp_ns, 'latent')
        assert clock.seconds() - sent < 1.0
    assert subset_of(latents[-1]) == ('lidar',)


def test_a_latent_carries_a_stamp_of_a_source_and_a_proper_posterior(peer, sensors, latents):
    peer.wait_for(lambda: len(latents) > 5)
    published = {stamp for stamps in sensors.stamps.values() for stamp in stamps}
    for heard in latents:
        latent = latent_from_message(heard)
        assert latent.stamp_ns in published
        assert latent.mean.shape == latent.log_variance.shape == (8,)
        assert np.isfinite(latent.mean).all()
        assert np.isfinite(latent.log_variance).all()
        assert (latent.log_variance > log(TEMPERATURE) / 2).all()  # it is calibrated
        assert heard.header.frame_id == ''


def test_the_mean_is_published_to_subscribers(peer, latents):
    means = peer.hear(Float32MultiArray, 'fusion/latent_mean')
    peer.wait_for(lambda: any(
        np.array_equal(latent_from_message(latent).mean, mean.data)
        for latent in latents for mean in means
    ), lambda: f'mean of a latent among {len(means)} means')
    peer.forget('fusion/latent_mean')


@pytest.mark.parametrize('name', NAMES)
def test_a_missing_sensor_is_reconstructed_as_its_own_message(peer, sensors, latents, name):
    spec = SPECS[name]
    heard = peer.hear(TYPES[spec.kind], f'fusion/{name}/reconstruction')
    settle(peer, latents, NAMES)
    sensors.silent.add(name)
    settle(peer, latents, tuple(other for other in NAMES if other != name))
    reconstruction = peer.wait_for(lambda: heard and heard[-1], 'reconstruction')
    having = {stamp_of(latent) for latent in latents if name in subset_of(latent)}
    assert not having & set(map(stamp_of, heard)), 'reconstructed although not missing'
    assert stamp_of(reconstruction) in {stamp for s in sensors.stamps.values() for stamp in s}
    frame_id = 'chosen_frame' if name == 'lidar' else spec.frame_id
    assert reconstruction.header.frame_id == frame_id
    size = (
        (len(reconstruction.ranges),) if name == 'lidar'
        else (reconstruction.height, reconstruction.width)
    )
    assert size == spec.spatial_shape
    peer.forget(f'fusion/{name}/reconstruction')


def test_a_reconstruction_takes_the_frame_that_was_last_heard(peer, sensors, latents):
    sensors.frames['depth'] = 'another_frame'
    settle(peer, latents, NAMES)
    sensors.silent.add('depth')
    heard = peer.hear(PointCloud2, 'fusion/depth/reconstruction')
    peer.wait_for(lambda: heard, 'reconstruction')
    peer.forget('fusion/depth/reconstruction')
    del sensors.frames['depth']
    assert heard[-1].header.frame_id == 'another_frame'


def test_all_sensors_are_reconstructed_when_that_is_set_while_running(peer, latents):
    heard = peer.hear(TYPES['image'], 'fusion/camera/reconstruction')

    def reconstructed_of_those_seen():
        having = {stamp_of(latent) for latent in latents if 'camera' in subset_of(latent)}
        return having & set(map(stamp_of, heard))

    assert peer.set_parameter('fusion', 'reconstruct', 'all').successful
    peer.wait_for(reconstructed_of_those_seen, 'reconstruction of a camera that is live')
    assert peer.set_parameter('fusion', 'reconstruct', 'missing').successful
    settle(peer, latents, NAMES)
    del latents[:], heard[:]
    settle(peer, latents, NAMES)
    assert not reconstructed_of_those_seen()
    peer.forget('fusion/camera/reconstruction')


@pytest.mark.parametrize(('name', 'value', 'reason'), [
    ('reconstruct', 'never', 'one of missing, all'),
    ('slop', 0.1, 'clean it up first'),
    ('camera.topic', 'elsewhere', 'clean it up first'),
    ('autostart', False, 'read-only'),
])
def test_a_parameter_that_cannot_be_set_now_is_refused_with_the_reason(peer, name, value, reason):
    result = peer.set_parameter('fusion', name, value)
    assert not result.successful
    assert reason in result.reason


def test_a_late_subscriber_still_hears_which_model_runs(peer):
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    heard = peer.hear(String, 'fusion/model', qos)
    peer.wait_for(lambda: heard, 'model')
    model = json.loads(heard[0].data)
    assert model['sensors'] == [spec.to_dict() for spec in SENSORS]
    assert len(model['trained_subsets']) == 7


def test_diagnostics_of_the_fusion_say_rate_latency_and_device(peer, statuses):
    found = status(peer, statuses, 'fusion', lambda s: s.level == DiagnosticStatus.OK)
    assert 0 < float(values(found)['latency p50 (ms)']) <= float(values(found)['latency p99 (ms)'])
    assert 'CPU' in values(found)['device'] or 'GPU' in values(found)['device']

    def rate_is_what_was_counted():
        for before, array in pairwise(statuses):
            counts = [
                sum(int(value) for key, value in values(a.status[0]).items()
                    if key.startswith('sets: '))
                for a in (before, array)
            ]
            rate = (counts[1] - counts[0]) / ((stamp_of(array) - stamp_of(before)) * 1e-9)
            if rate > 0 and float(values(array.status[0])['rate (Hz)']) == pytest.approx(
                rate, rel=0.1
            ):
                return True
        return False

    del statuses[:]
    peer.wait_for(rate_is_what_was_counted, lambda: f'rate that holds; heard {statuses[-2:]}')


@pytest.mark.parametrize('name', NAMES)
def test_diagnostics_of_a_sensor_say_rate_publisher_and_state(peer, sensors, statuses, name):
    def is_well_at_its_rate(found):
        sent = np.median(np.diff(sensors.stamps[name][-20:])) * 1e-9  # s, as the node takes it
        return found.level == DiagnosticStatus.OK and float(
            values(found)['rate (Hz)']
        ) == pytest.approx(1 / sent, rel=0.3)

    said = values(status(peer, statuses, name, is_well_at_its_rate))
    assert said['state'] == 'live'
    assert said['publishers'] == '/peer (best effort)'
    assert said['subscription'] == 'best effort'


def test_a_publisher_that_falls_silent_is_an_error_with_the_cure(peer, sensors, statuses):
    sensors.silent.add('camera')
    found = status(peer, statuses, 'camera', lambda s: s.level == DiagnosticStatus.ERROR)
    for word in ('/camera/image_raw', 'best effort', 'FASTDDS_DEFAULT_PROFILES_FILE',
                 'fastdds_large_messages.xml'):
        assert word in found.message
    assert values(found)['state'] == 'silent'
    peer.wait_for(lambda: 'fusion: camera: nothing arrives' in peer.process.log, 'log line')
    sensors.silent.clear()
    status(peer, statuses, 'camera', lambda s: s.level == DiagnosticStatus.OK)
    peer.wait_for(lambda: 'fusion: camera is well again' in peer.process.log, 'log line')


def test_a_publisher_of_the_wrong_type_is_named(peer, statuses):
    other = Peer(peer.domain, peer.process)  # a participant has one type to a topic
    other.node.create_publisher(PointCloud2, 'scan', 10)
    found = status(peer, statuses, 'lidar', lambda s: s.level == DiagnosticStatus.ERROR)
    assert 'sensor_msgs/msg/PointCloud2, expected is sensor_msgs/msg/LaserScan' in found.message
    other.close()


def malformed_messages(now_ns):
    """Return sensor -> messages, each of which breaks another rule."""
    cut, unknown, absurd = (message('camera', now_ns) for _ in range(3))
    cut.data = cut.data[:1000]
    unknown.encoding = 'smell'
    absurd.step = 3
    blind, empty = message('lidar', now_ns), message('depth', now_ns)
    blind.ranges = [float('nan')] * len(blind.ranges)
    empty.width = empty.height = empty.row_step = 0
    empty.data = []
    return {
        'camera': [cut, unknown, absurd, message('camera', 0)], 'lidar': [blind], 'depth': [empty],
    }


def test_malformed_messages_are_counted_by_rule_and_stop_nothing(peer, sensors, latents, statuses):
    malformed = malformed_messages(peer.now_ns())
    del statuses[:]
    before = peer.wait_for(lambda: statuses, 'diagnostics')[0]
    times, broken = 0, {}
    while {name: len(rules) for name, rules in broken.items()} != {
        name: len(messages) for name, messages in malformed.items()
    }:
        for name, messages in malformed.items():
            for wrong in messages:  # again where best effort has lost one
                sensors.publishers[name].publish(wrong)
        times += 1
        heard = len(statuses)
        peer.wait_for(lambda heard=heard: len(statuses) > heard + 1, 'diagnostics')
        broken = newly_rejected(before, statuses[-1])
    assert {count <= times for rules in broken.values() for count in rules.values()} == {True}
    warned = {(found.name, found.level) for array in statuses for found in array.status
              if 'rejected just now' in found.message}
    assert warned == {(f'fusion: {name}', DiagnosticStatus.WARN) for name in NAMES}
    settle(peer, latents, NAMES)


def newly_rejected(before, after):
    """Return sensor -> rule -> messages that were rejected between two diagnostics."""
    def rejected(array, name):
        (found,) = (s for s in array.status if s.name == f'fusion: {name}')
        return Counter({key: int(value) for key, value in values(found).items()
                        if key.startswith('rejected: ')})

    return {name: rejected(after, name) - rejected(before, name) for name in NAMES}


def test_an_image_above_the_limit_is_rejected_and_the_parameter_named(peer, sensors, statuses):
    large = message('camera', peer.now_ns())
    large.height, large.width, large.step = 101, 100, 300
    large.data = bytes(101 * 300)
    sensors.publishers['camera'].publish(large)
    found = status(peer, statuses, 'camera', lambda found: 'image_size' in found.message)
    assert 'max_image_pixels' in found.message

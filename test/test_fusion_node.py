# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the fusion node says while sensors come, die and lie: real processes, real DDS."""

from __future__ import annotations

import json
from math import log

import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from sensor_msgs.msg import PointCloud2  # noqa: E402
from std_msgs.msg import Float32MultiArray, String  # noqa: E402

from m2vae_ros.fusion.latent_message import latent_from_message  # noqa: E402
from m2vae_ros.simulation.robot import SENSORS  # noqa: E402
from support.node_processes import (  # noqa: E402
    message,
    NodeProcess,
    parameter,
    Peer,
    save_untrained_model,
    SimulatedSensors,
    SPECS,
    stamp_of,
    TEMPERATURE,
    TYPES,
)

DOMAIN = 70
NAMES = tuple(SPECS)


@pytest.fixture(scope='module')
def node(tmp_path_factory):
    folder = tmp_path_factory.mktemp('node')
    model = save_untrained_model(folder)
    process = NodeProcess(
        DOMAIN, folder,
        {'model': model, 'lidar.frame_id': 'chosen_frame', 'max_image_pixels': 10_000},
    )
    yield process
    assert process.stop() == 0
    assert 'Traceback' not in process.log


@pytest.fixture(scope='module')
def peer(node):
    peer = Peer(DOMAIN, node)
    yield peer
    peer.close()


@pytest.fixture(scope='module')
def sensors(peer):
    return SimulatedSensors(peer)


@pytest.fixture(scope='module')
def latents(peer, sensors):
    heard = peer.hear(PointCloud2, 'fusion/latent')
    peer.wait_for(lambda: heard, 'latent')
    return heard


@pytest.fixture(scope='module')
def statuses(peer):
    return peer.hear(DiagnosticArray, '/diagnostics')


@pytest.fixture(autouse=True)
def all_live(peer, sensors, latents):
    """Begin every test with all sensors live."""
    sensors.silent.clear()
    settle(peer, latents, NAMES)


def subset_of(latent):
    return latent_from_message(latent).subset(NAMES)


def settle(peer, latents, subset):
    """Wait until three sets in a row are of the subset; forget what was before."""
    del latents[:]
    peer.wait_for(
        lambda: len(latents) >= 3 and all(subset_of(latent) == subset for latent in latents[-3:]),
        f'latents of {subset}',
    )
    del latents[:]


def status(peer, statuses, name, holds):
    """Wait for a status of the name that something holds for."""
    del statuses[:]
    return peer.wait_for(
        lambda: next((
            found for array in statuses for found in array.status
            if found.name == f'fusion: {name}' and holds(found)
        ), None),
        lambda: f'such a status of {name}; heard {statuses[-1:]}', 10.0,
    )


def values(found):
    return {pair.key: pair.value for pair in found.values}


@pytest.mark.parametrize('silent', [
    (), ('camera',), ('lidar',), ('depth',), ('camera', 'lidar'), ('lidar', 'depth'),
])
def test_the_mask_says_which_sensors_are_live(peer, sensors, latents, silent):
    sensors.silent.update(silent)
    settle(peer, latents, tuple(name for name in NAMES if name not in silent))


def test_latents_go_on_when_sensors_die_and_come_back(peer, sensors, latents):
    peer.wait_for(lambda: len(latents) > 5)
    sensors.silent.update(['camera', 'lidar'])
    peer.wait_for(lambda: subset_of(latents[-1]) == ('depth',))
    sensors.silent.clear()
    peer.wait_for(lambda: subset_of(latents[-1]) == NAMES)
    stamps = np.array([stamp_of(latent) for latent in latents])
    assert np.diff(stamps).min() > 0
    assert np.diff(stamps).max() < 0.4e9


def test_a_measurement_that_stays_alone_leaves_all_the_same(peer, sensors, latents):
    sensors.silent.update(NAMES)
    peer.pass_time(0.15)  # what was on its way has left; the sensors still count as live
    stamp_ns = peer.node.get_clock().now().nanoseconds
    sensors.publishers['lidar'].publish(message('lidar', stamp_ns))
    peer.wait_for(lambda: latents and stamp_of(latents[-1]) == stamp_ns, 'latent', 1.0)
    assert subset_of(latents[-1]) == ('lidar',)


def test_a_latent_carries_a_stamp_of_a_source_and_a_proper_posterior(peer, sensors, latents):
    peer.wait_for(lambda: len(latents) > 5)
    published = {stamp for stamps in sensors.stamps.values() for stamp in stamps}
    for message_heard in latents:
        latent = latent_from_message(message_heard)
        assert latent.stamp_ns in published
        assert latent.mean.shape == latent.log_variance.shape == (8,)
        assert np.isfinite(latent.mean).all()
        assert np.isfinite(latent.log_variance).all()
        assert (latent.log_variance > log(TEMPERATURE) / 2).all()  # it is calibrated
        assert message_heard.header.frame_id == ''


def test_the_mean_is_published_to_who_listens(peer, latents):
    means = peer.hear(Float32MultiArray, 'fusion/latent_mean')
    peer.wait_for(lambda: means, 'mean')
    peer.wait_for(lambda: any(
        np.array_equal(latent_from_message(latent).mean, means[0].data) for latent in latents
    ), 'latent of that mean')
    peer.forget('fusion/latent_mean')


@pytest.mark.parametrize('name', NAMES)
def test_a_missing_sensor_is_reconstructed_as_its_own_message(peer, sensors, latents, name):
    spec = SPECS[name]
    heard = peer.hear(TYPES[spec.kind], f'fusion/{name}/reconstruction')
    settle(peer, latents, NAMES)
    assert not heard, 'it is not missing'
    sensors.silent.add(name)
    settle(peer, latents, tuple(other for other in NAMES if other != name))
    reconstruction = peer.wait_for(lambda: heard and heard[-1], 'reconstruction')
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
    assert heard[-1].header.frame_id == 'another_frame'


def test_all_sensors_are_reconstructed_when_that_is_set_while_running(peer, latents):
    heard = peer.hear(TYPES['image'], 'fusion/camera/reconstruction')
    for value in ('all', 'missing'):
        answer = peer.call(
            SetParameters, 'fusion/set_parameters', parameters=[parameter('reconstruct', value)]
        )
        assert answer.results[0].successful
        settle(peer, latents, NAMES)
        del heard[:]
        settle(peer, latents, NAMES)
        assert bool(heard) == (value == 'all')
    peer.forget('fusion/camera/reconstruction')


@pytest.mark.parametrize(('name', 'value', 'reason'), [
    ('reconstruct', 'never', 'one of missing, all'),
    ('slop', 0.1, 'clean it up first'),
    ('camera.topic', 'elsewhere', 'clean it up first'),
    ('autostart', False, 'read-only'),
])
def test_a_parameter_that_cannot_be_set_now_is_refused_with_the_reason(peer, name, value, reason):
    answer = peer.call(
        SetParameters, 'fusion/set_parameters', parameters=[parameter(name, value)]
    )
    assert not answer.results[0].successful
    assert reason in answer.results[0].reason


def test_who_comes_late_still_hears_which_model_runs(peer):
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    heard = peer.hear(String, 'fusion/model', qos)
    peer.wait_for(lambda: heard, 'model')
    model = json.loads(heard[0].data)
    assert model['sensors'] == [spec.to_dict() for spec in SENSORS]
    assert len(model['trained_subsets']) == 7


def test_diagnostics_say_how_it_goes(peer, statuses):
    found = status(peer, statuses, 'fusion', lambda s: s.level == DiagnosticStatus.OK)
    assert float(values(found)['rate (Hz)']) > 5
    assert 0 < float(values(found)['latency p50 (ms)']) <= float(values(found)['latency p99 (ms)'])
    assert 'CPU' in values(found)['device'] or 'GPU' in values(found)['device']
    for name, rate in {'camera': 30, 'lidar': 10, 'depth': 12}.items():
        found = status(peer, statuses, name, lambda s: s.level == DiagnosticStatus.OK)
        said = values(found)
        assert said['state'] == 'live'
        assert float(said['rate (Hz)']) == pytest.approx(rate, rel=0.3)
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
    other = Peer(DOMAIN, peer.process)  # a participant has one type to a topic
    other.node.create_publisher(PointCloud2, 'scan', 10)
    found = status(peer, statuses, 'lidar', lambda s: s.level == DiagnosticStatus.ERROR)
    assert 'sensor_msgs/msg/PointCloud2, expected is sensor_msgs/msg/LaserScan' in found.message
    other.close()


def test_malformed_messages_are_counted_by_reason_and_stop_nothing(
    peer, sensors, latents, statuses
):
    def now():
        return peer.node.get_clock().now().nanoseconds

    cut, unknown, absurd = (message('camera', now()) for _ in range(3))
    cut.data = cut.data[:1000]
    unknown.encoding = 'smell'
    absurd.step = 3
    blind, empty = message('lidar', now()), message('depth', now())
    blind.ranges = [float('nan')] * len(blind.ranges)
    empty.width = empty.height = empty.row_step = 0
    empty.data = []
    zoo = [
        ('camera', cut), ('camera', unknown), ('camera', absurd), ('camera', message('camera', 0)),
        ('lidar', blind), ('depth', empty),
    ]
    before = rejected(peer, statuses)
    for name, malformed in zoo:
        sensors.publishers[name].publish(malformed)

    def warned():
        return {found.name for array in statuses for found in array.status
                if found.level == DiagnosticStatus.WARN and 'rejected' in found.message}

    peer.wait_for(lambda: warned() >= {f'fusion: {name}' for name in NAMES}, 'warnings')
    after = rejected(peer, statuses)
    for name in NAMES:
        more = {rule: n - before[name].get(rule, 0) for rule, n in after[name].items()}
        sent = sum(1 for sensor, _ in zoo if sensor == name)
        assert sorted(more.values()) == [1] * sent, 'each breaks a rule of its own'
    settle(peer, latents, NAMES)


def test_an_image_above_the_limit_is_rejected_and_the_parameter_named(peer, sensors, statuses):
    large = message('camera', peer.node.get_clock().now().nanoseconds)
    large.height, large.width, large.step = 101, 100, 300
    large.data = bytes(101 * 300)
    sensors.publishers['camera'].publish(large)
    found = status(peer, statuses, 'camera', lambda found: 'image_size' in found.message)
    assert 'max_image_pixels' in found.message


def rejected(peer, statuses):
    """Return sensor -> rule -> rejected messages, from the next diagnostics."""
    del statuses[:]
    peer.wait_for(lambda: statuses, 'diagnostics')
    said = {found.name.removeprefix('fusion: '): values(found) for found in statuses[0].status}
    return {
        name: {
            key.removeprefix('rejected: '): int(value) for key, value in said[name].items()
            if key.startswith('rejected: ')
        }
        for name in NAMES
    }

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The fusion node's lifecycle: its transitions, its failures and its end."""

from __future__ import annotations

import signal

import cv2
import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from rcl_interfaces.srv import DescribeParameters, GetParameters  # noqa: E402
from sensor_msgs.msg import CompressedImage, PointCloud2  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from m2vae_ros.fusion.latent_message import latent_from_message  # noqa: E402
from support.hostile_files import joined, split  # noqa: E402
from support.live_sensors import LiveSensors, NAMES  # noqa: E402
from support.node_processes import peer_of_node, stamp_of  # noqa: E402
from support.waiting import BusyClock  # noqa: E402


@pytest.fixture(scope='module')
def manual(untrained_model, tmp_path_factory):
    """Return the peer of a node that changes its state only when asked."""
    parameters = {'model': untrained_model, 'autostart': False}
    with peer_of_node(tmp_path_factory.mktemp('node'), parameters) as peer:
        yield peer


def change(peer, transition):
    request = Transition(id=transition)
    return peer.call(ChangeState, 'fusion/change_state', transition=request).success


def state(peer):
    return peer.call(GetState, 'fusion/get_state').current_state.label


def set_parameter(peer, name, value):
    result = peer.set_parameter('fusion', name, value)
    assert result.successful, result.reason


def nothing_is_fused(peer, latents):
    """Return whether for a while no latent comes that is newer than now."""
    now_ns = peer.now_ns()
    peer.pass_time(0.3)
    return all(stamp_of(latent) < now_ns for latent in latents)


def test_a_manager_leads_the_node_through_its_whole_life(start_node):
    peer = start_node(autostart=False)
    sensors = LiveSensors(peer)
    latents = peer.hear(PointCloud2, 'fusion/latent')
    assert state(peer) == 'unconfigured'
    for _ in range(2):
        assert change(peer, Transition.TRANSITION_CONFIGURE)
        assert state(peer) == 'inactive'
        assert nothing_is_fused(peer, latents)
        assert sensors.publishers['camera'].get_subscription_count() == 0
        for _ in range(2):
            assert change(peer, Transition.TRANSITION_ACTIVATE)
            active_ns = peer.now_ns()
            peer.wait_for(lambda since=active_ns: len(
                [latent for latent in latents if stamp_of(latent) > since]
            ) > 3, 'latents')
            assert change(peer, Transition.TRANSITION_DEACTIVATE)
            assert nothing_is_fused(peer, latents)
            peer.wait_for(
                lambda: sensors.publishers['camera'].get_subscription_count() == 0,
                'end of the subscriptions',
            )
        assert change(peer, Transition.TRANSITION_CLEANUP)
        assert state(peer) == 'unconfigured'
    assert change(peer, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert state(peer) == 'finalized'
    assert peer.process.stop() == 0
    assert 'Traceback' not in peer.process.log


def test_what_waited_at_deactivate_is_not_published_when_the_node_comes_back(start_node):
    max_wait = 2.0
    peer = start_node(autostart=False, max_wait=max_wait, timeout=10.0)
    sensors = LiveSensors(peer)
    latents = peer.hear(PointCloud2, 'fusion/latent')
    assert change(peer, Transition.TRANSITION_CONFIGURE)
    assert change(peer, Transition.TRANSITION_ACTIVATE)
    peer.wait_for(
        lambda: latents and latent_from_message(latents[-1]).subset(NAMES) == NAMES,
        'complete set',
    )
    sensors.silent.update(('lidar', 'depth'))
    sent = len(sensors.stamps['camera'])
    peer.wait_for(lambda: len(sensors.stamps['camera']) > sent + 10, 'images that wait')
    assert change(peer, Transition.TRANSITION_DEACTIVATE)
    sensors.silent.add('camera')
    peer.pass_time(1.5 * max_wait)
    del latents[:]
    back_ns = peer.now_ns()
    sensors.silent.clear()
    assert change(peer, Transition.TRANSITION_ACTIVATE)
    peer.wait_for(lambda: len(latents) > 3, 'latents')
    assert all(stamp_of(latent) >= back_ns for latent in latents)


def test_a_model_that_is_not_there_fails_to_configure_in_one_line(
    start_node, untrained_model, tmp_path,
):
    peer = start_node(model=tmp_path / 'absent.safetensors')
    heard = peer.hear(DiagnosticArray, '/diagnostics')
    peer.wait_for(lambda: 'configure failed' in peer.process.log, 'configure failed')
    peer.wait_for(lambda: any(
        status.level == DiagnosticStatus.ERROR and 'absent.safetensors' in status.message
        for array in heard for status in array.status
    ), 'diagnostics')
    assert state(peer) == 'unconfigured'
    assert peer.process.log.count('\n') == 1
    set_parameter(peer, 'model', str(untrained_model))
    assert change(peer, Transition.TRANSITION_CONFIGURE)
    assert change(peer, Transition.TRANSITION_ACTIVATE)


@pytest.mark.parametrize('content', [b'', b'no model', bytes(100)])
def test_a_file_that_is_no_model_is_named(manual, untrained_model, tmp_path, content):
    path = tmp_path / 'broken.safetensors'
    path.write_bytes(content)
    set_parameter(manual, 'model', str(path))
    assert not change(manual, Transition.TRANSITION_CONFIGURE)
    assert state(manual) == 'unconfigured'
    assert f'configure failed: {path}' in manual.process.log
    set_parameter(manual, 'model', str(untrained_model))


def test_a_model_without_a_digest_is_used_and_named(start_node, untrained_model, tmp_path):
    path = tmp_path / 'old.safetensors'
    path.write_bytes(joined(*split(untrained_model.read_bytes())))
    peer = start_node(model=path)
    peer.wait_for(lambda: 'warm after' in peer.process.log, 'configured node')
    assert f'{path}: no digest, so damage to it goes unnoticed' in peer.process.log
    assert 'm2vae inspect --add-digest' in peer.process.log


def test_a_device_that_is_not_there_fails_to_configure(manual):
    set_parameter(manual, 'device', 'abacus')
    assert not change(manual, Transition.TRANSITION_CONFIGURE)
    assert "configure failed: device 'abacus'" in manual.process.log
    set_parameter(manual, 'device', 'auto')


@pytest.mark.parametrize(('name', 'value', 'rule'), [
    ('slop', 3, 'number with a point from 0.0 to 10.0'),
    ('reconstruct', 'never', 'one of missing, all'),
])
def test_a_wrong_parameter_ends_the_start_with_its_name_rule_and_value(
    start_node, name, value, rule,
):
    process = start_node(**{name: value}).process
    assert process.wait() == 2
    for word in (name, rule, str(value)):
        assert word in process.log
    assert 'Traceback' not in process.log


def test_a_wrong_parameter_of_a_sensor_is_mended_without_a_restart(start_node):
    peer = start_node(**{'camera.transport': 'pigeon'})
    rule = 'must be one of raw, compressed'
    wrong = f'configure failed: parameter camera.transport is pigeon, {rule}'
    peer.wait_for(lambda: wrong in peer.process.log, 'configure failed')
    assert not change(peer, Transition.TRANSITION_CONFIGURE)  # what was given is not forgotten
    assert peer.process.log.count(wrong) == 2
    set_parameter(peer, 'camera.transport', 'raw')
    assert change(peer, Transition.TRANSITION_CONFIGURE)
    assert 'Traceback' not in peer.process.log


@pytest.mark.parametrize('wrong', [{'device': 'abacus'}, {'lidar.reliability': 'so so'}], ids=str)
def test_a_failed_autostart_ends_the_process_where_that_is_asked_for(start_node, wrong):
    process = start_node(exit_on_failure=True, **wrong).process
    assert process.wait() == 2
    assert 'configure failed: ' in process.log
    assert 'Traceback' not in process.log
    assert process.log.count('\n') == 1


def test_the_path_of_the_model_may_begin_with_the_home(start_node, untrained_model, monkeypatch):
    monkeypatch.setenv('HOME', str(untrained_model.parent))
    peer = start_node(model=f'~/{untrained_model.name}')
    peer.wait_for(lambda: 'warm' in peer.process.log, 'model')
    assert str(untrained_model) in peer.process.log


def test_a_parameter_file_that_is_not_there_ends_the_start_in_one_line(start_node):
    process = start_node('--params-file', 'absent.yaml').process
    assert process.wait() == 2
    assert 'absent.yaml' in process.log
    assert 'Traceback' not in process.log


@pytest.mark.parametrize('topic', ['', 'no spaces', 'camera//image'])
def test_a_topic_that_cannot_be_fails_to_configure(manual, topic):
    assert change(manual, Transition.TRANSITION_CONFIGURE)
    assert change(manual, Transition.TRANSITION_CLEANUP)
    set_parameter(manual, 'camera.topic', topic)
    assert not change(manual, Transition.TRANSITION_CONFIGURE)
    rule = f'parameter camera.topic must be the name of a topic, is {topic!r}'
    assert rule in manual.process.log
    set_parameter(manual, 'camera.topic', 'camera/image_raw')


def test_parameters_describe_themselves(manual):
    assert change(manual, Transition.TRANSITION_CONFIGURE)
    names = ['max_wait', 'queue_size', 'reconstruct', 'autostart', 'depth.offset']
    answer = manual.call(DescribeParameters, 'fusion/describe_parameters', names=names)
    wait, queue, reconstruct, autostart, offset = answer.descriptors
    assert wait.description.endswith('plus slop')
    assert ', s;' in wait.description
    seconds = wait.floating_point_range[0]
    assert (seconds.from_value, seconds.to_value) == (0.0, 60.0)
    assert queue.integer_range[0].from_value == 1
    assert reconstruct.additional_constraints == 'one of missing, all'
    assert autostart.read_only
    assert offset.description
    assert change(manual, Transition.TRANSITION_CLEANUP)


def test_what_was_set_for_a_sensor_stays_after_a_cleanup(manual):
    assert change(manual, Transition.TRANSITION_CONFIGURE)
    assert change(manual, Transition.TRANSITION_CLEANUP)
    set_parameter(manual, 'depth.offset', 0.25)
    assert change(manual, Transition.TRANSITION_CONFIGURE)
    answer = manual.call(GetParameters, 'fusion/get_parameters', names=['depth.offset'])
    assert answer.values[0].double_value == 0.25
    assert change(manual, Transition.TRANSITION_CLEANUP)


def test_a_busy_node_ends_at_once_and_well_on_a_termination_signal(start_node):
    peer = start_node()
    LiveSensors(peer)
    latents = peer.hear(PointCloud2, 'fusion/latent')
    peer.wait_for(lambda: latents, 'latent')
    with BusyClock() as clock:
        assert peer.process.stop(signal.SIGTERM) == 0
        assert clock.seconds() < 10.0
    assert 'Traceback' not in peer.process.log
    assert 'terminate called' not in peer.process.log


def test_namespace_remapping_and_transport_choose_the_topics(start_node):
    peer = start_node(
        '-r', '__ns:=/rover', '-r', 'scan:=front/scan',
        **{'camera.topic': '/head/image', 'camera.transport': 'compressed'},
    )
    peer.wait_for(lambda: 'warm' in peer.process.log, 'model')
    expected = {
        '/head/image/compressed': 'sensor_msgs/msg/CompressedImage',
        '/rover/front/scan': 'sensor_msgs/msg/LaserScan',
        '/rover/depth/points': 'sensor_msgs/msg/PointCloud2',
    }

    def subscribed():
        try:
            names = dict(peer.node.get_subscriber_names_and_types_by_node('fusion', '/rover'))
        except Exception:  # not yet discovered
            return False
        return {topic: types[0] for topic, types in names.items()}.items() >= expected.items()

    peer.wait_for(subscribed, 'subscriptions')
    latents = peer.hear(PointCloud2, '/rover/fusion/latent')
    camera = peer.node.create_publisher(CompressedImage, '/head/image/compressed', 10)
    jpeg = cv2.imencode('.jpg', np.full((48, 64, 3), 128, np.uint8))[1]
    peer.node.create_timer(0.05, lambda: camera.publish(CompressedImage(
        header=Header(stamp=peer.node.get_clock().now().to_msg()), format='jpeg',
        data=jpeg.tobytes(),
    )))
    peer.wait_for(lambda: latents, 'latent of a compressed image')
    assert latent_from_message(latents[0]).subset(NAMES) == ('camera',)

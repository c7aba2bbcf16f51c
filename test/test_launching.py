# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the launch files read and say, without launch: arguments and last words."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from m2vae_ros.launching.arguments import (  # noqa: E402
    choose_model,
    ignored_arguments,
    LaunchArgumentError,
    lower_case,
    node_name,
    parse_number,
    parse_topics,
    public_topic,
    read_sensors,
)
from m2vae_ros.launching.last_words import LastWords  # noqa: E402
from support.launch_files import write_model  # noqa: E402


@pytest.mark.parametrize(('topic', 'public'), [
    ('scan', 'scan'), ('/scan', '/scan'), ('~/scan', '/robot1/fusion/scan'),
])
def test_a_private_topic_is_named_for_other_nodes(topic: str, public: str) -> None:
    assert public_topic(topic, '/robot1/fusion') == public


@pytest.mark.parametrize(('values', 'name'), [
    ({}, '/fusion'), ({'namespace': ''}, '/fusion'), ({'namespace': 'a/'}, '/a/fusion'),
    ({'namespace': '/a/b'}, '/a/b/fusion'), ({'ros_namespace': '/a'}, '/a/fusion'),
    ({'ros_namespace': '/a', 'namespace': 'b'}, '/a/b/fusion'),
    ({'ros_namespace': '/a', 'namespace': '/b'}, '/b/fusion'),
])
def test_a_node_is_named_as_launch_names_it(values: dict[str, str], name: str) -> None:
    assert node_name(values, 'fusion') == name


@pytest.mark.parametrize(('typed', 'said'), [
    ('devcie:=cpu', ['devcie:= is ignored: there is no such argument: did you mean device?']),
    ('wheels:=4', ['wheels:= is ignored: there is no such argument, see --show-args']),
    ('device:=cpu', []), ('a:=b c', ['a:= is ignored: there is no such argument, see --show-args'])
])
def test_an_argument_that_a_launch_file_does_not_have_is_named(
    typed: str, said: list[str],
) -> None:
    known = ['device', 'rviz']
    for file in ('fusion.launch.py', '/opt/share/launch/fusion.launch.py'):
        words = ['ros2', 'launch', 'm2vae_ros', file, typed, 'rviz:=true']
        assert ignored_arguments(words, known, 'fusion.launch.py') == said
    words = ['ros2', 'launch', 'my_robot', 'robot.launch.py', typed]
    assert ignored_arguments(words, known, 'fusion.launch.py') == []  # they are for that file


def test_switches_may_be_written_in_any_case() -> None:
    values = {'rviz': 'True', 'loop': 'FALSE', 'model': 'Own.safetensors'}
    lower_case(values, ['rviz', 'loop', 'pause'])
    assert values == {'rviz': 'true', 'loop': 'false', 'model': 'Own.safetensors'}


def test_the_model_is_that_of_the_argument_then_of_the_file_then_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('HOME', '/anybody')
    default = Path('default.safetensors')
    in_file = {'model': '~/file.safetensors'}
    assert choose_model({'model': '~/a.safetensors'}, in_file, default) == Path(
        '/anybody/a.safetensors'
    )
    assert choose_model({'model': ''}, in_file, default) == Path('/anybody/file.safetensors')
    assert choose_model({}, {}, default) == default


@pytest.mark.parametrize('content', [
    b'', b'\xff' * 8, (2).to_bytes(8, 'little') + b'{}', (9).to_bytes(8, 'little') + b'{"a"',
], ids=['empty', 'hostile length', 'foreign', 'truncated'])
def test_a_file_that_is_no_model_ends_in_an_error_that_names_it(
    tmp_path: Path, content: bytes,
) -> None:
    file = tmp_path / 'broken.safetensors'
    file.write_bytes(content)
    with pytest.raises(LaunchArgumentError, match=r'^model .*broken\.safetensors: .*\bno'):
        read_sensors(file)


def test_errors_name_the_launch_argument_that_was_typed() -> None:
    assert parse_topics('front=/a, rear=/b') == {'front': '/a', 'rear': '/b'}
    for text in ('/scan', '=/scan', 'front='):
        with pytest.raises(LaunchArgumentError, match=f'^topics:={text}: must be SENSOR=TOPIC'):
            parse_topics(text)
    assert parse_number('rate', '2', 0.5, 4, 'a number') == 2
    for text in ('fast', 'nan', '-1', '1e300'):
        with pytest.raises(LaunchArgumentError, match=f'^rate:={text}: must be a number$'):
            parse_number('rate', text, 0.5, 4, 'a number')


def test_a_replay_is_told_where_the_bag_has_its_sensors(tmp_path: Path) -> None:
    pytest.importorskip('rosbags', reason='needs rosbags: pip install rosbags')
    from m2vae_ros.launching.replay_arguments import check_output, replay_parameters
    from support.bag_files import write_drive

    drive = write_drive(
        tmp_path / 'drive', seconds=0.3, sensors=('camera', 'lidar'), compressed_images=True,
    )
    values = {'bag': str(drive), 'topics': '', 'rate': '1.0', 'start_offset': '0.0'}
    model = Path(write_model(tmp_path / 'model.safetensors', ('front', 'scan')))
    parameters, topics = replay_parameters(values, model)
    assert (parameters['front.topic'], topics) == ('/scan', ['/scan'])
    assert parameters['autostart']
    assert parameters['front.enabled']
    for wrong, said in (
        ({'topics': 'front=/back/scan'}, r'drive: .*/back/scan.*; choose one with topics:=front='),
        ({'topics': 'rear=/scan'}, r'^topics:=rear=/scan: no such sensor'),
        ({'topics': '/scan'}, 'must be SENSOR=TOPIC'),
        ({'rate': '0'}, '^rate:=0: must be'),
        ({'start_offset': '9'}, '^start_offset:=9: must be a number from 0 to the length'),
        ({'bag': 'absent'}, '^absent: '),
        ({'slop': '20'}, '^slop:=20: must be a number with a point from 0.0 to 10.0'),
        ({'max_wait': 'nan'}, '^max_wait:=nan: must be'),
        ({'timeout': 'soon'}, '^timeout:=soon: must be'),
        ({'offsets': 'front'}, '^offsets:=front: must be SENSOR=SECONDS'),
        ({'offsets': 'front=1e300'}, '^offsets:=front=1e300: must be'),
        ({'offsets': 'rear=1'}, '^offsets:=rear=1: the sensors are front'),
    ):
        with pytest.raises(LaunchArgumentError, match=said) as got:
            replay_parameters({**values, **wrong}, model)
        assert '\n' not in str(got.value)
        assert '--' not in str(got.value)
    given = {'slop': '0.08', 'max_wait': '1', 'timeout': '', 'offsets': 'front=-37.5'}
    parameters, _ = replay_parameters({**values, **given}, model)
    assert (parameters['slop'], parameters['max_wait']) == (0.08, 1.0)
    assert parameters['front.offset'] == -37.5
    assert 'timeout' not in parameters
    for taken in (drive, tmp_path / 'absent' / 'latents'):
        with pytest.raises(LaunchArgumentError, match=f'^output:={taken}: '):
            check_output(taken)
    check_output(tmp_path / 'latents')


def test_a_replay_goes_on_without_sensors_that_the_bag_lacks_or_nobody_wants(
    tmp_path: Path,
) -> None:
    pytest.importorskip('rosbags', reason='needs rosbags: pip install rosbags')
    from m2vae_ros.launching.replay_arguments import replay_parameters
    from support.bag_files import write_drive

    drive = write_drive(tmp_path / 'drive', seconds=0.3, sensors=('lidar',))
    values = {'bag': str(drive), 'topics': '', 'rate': '1.0', 'start_offset': '0.0'}
    sensors = ('front', 'front/scan'), ('rear', 'rear/scan')
    alone = Path(write_model(tmp_path / 'alone.safetensors', sensors[0]))
    both = Path(write_model(tmp_path / 'both.safetensors', *sensors))
    said: list[str] = []
    parameters, topics = replay_parameters(values, alone, warn=said.append)
    assert (parameters['front.topic'], topics) == ('/scan', ['/scan'])
    assert said == [
        'front is taken from /scan, the only topic that fits: its own is not in the bag'
    ]
    with pytest.raises(LaunchArgumentError, match='choose one with topics:=front=/scan'):
        replay_parameters(values, both)  # of which of the two it is would be a guess
    said.clear()
    parameters, topics = replay_parameters(values, both, {'rear.enabled': False}, said.append)
    assert (parameters['front.topic'], topics) == ('/scan', ['/scan'])
    assert (parameters['front.enabled'], parameters['rear.enabled']) == (True, False)
    assert 'rear.topic' not in parameters
    assert said[0] == 'without rear: not enabled'


def test_the_last_words_of_a_process_are_its_last_error() -> None:
    said = LastWords('the node')
    said.hear(b'[INFO] [17956.4] [fusion]: ready\n\x1b[31m[ERROR] [17956.5] [fusion]: configure f')
    said.hear(b'ailed: no device\x1b[0m\n[WARN] [17956.6] [fusion]: later\n\n')
    assert said.reason(2) == 'the node ended with exit code 2: configure failed: no device'
    assert said.reason(-9) == 'the node was ended by SIGKILL'
    said.hear(b'Traceback (most recent call last):\n  File "x"\nTypeError: wrong')
    assert said.reason(1) == 'the node ended with exit code 1: TypeError: wrong'
    said.hear(b'\n[ERROR] [17956.6] [fusion]: activate failed: odd\n[ERROR] [17956.7] [fusion]: '
              b'Traceback (most recent call last):\n  File "x"\nKeyError: odd\n\nDuring handling '
              b'...\nTraceback (most recent call last):\n  File "y"\nRuntimeError: odder\n')
    assert said.reason(2) == 'the node ended with exit code 2: activate failed: odd'
    said.hear(b'[INFO] [17956.6] [fusion]: again\nTraceback (most recent call last):\nA: b\n')
    assert said.reason(2) == 'the node ended with exit code 2: A: b'
    player = LastWords('the player')
    assert player.reason(0) == 'the player has ended too early'
    assert player.reason(3) == 'the player ended with exit code 3: it gave no reason'
    player.hear(b'm2vae: error: drive: no such bag\n')
    assert player.reason(2) == 'the player ended with exit code 2: drive: no such bag'

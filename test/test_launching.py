# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the launch files read and say, without launch: parameter files, arguments, last words."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys

import pytest
import yaml

pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from m2vae_ros.launching.arguments import (  # noqa: E402
    choose_model,
    expanded,
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
from m2vae_ros.launching.parameter_file import ParameterFile  # noqa: E402
from m2vae_ros.simulation.robot import SENSORS  # noqa: E402
from support.launch_files import CONFIG, write_model  # noqa: E402

SEVERAL_ROBOTS = """
/**:
  ros__parameters: {slop: 0.2, device: cpu}
/robot1/fusion:
  ros__parameters: {model: ~/one.safetensors, slop: 0.1}
robot2:
  fusion:
    ros__parameters: {model: two.safetensors, use_sim_time: true, camera: {topic: a, offset: 0.1}}
/robot3/*:
  ros__parameters: {model: three.safetensors}
"""
# rclpy's own opinion of which parameters a node gets.
ASK_RCLPY = """
import sys
import rclpy
from rclpy.node import Node
namespace, *files = sys.argv[1:]
rclpy.init(args=['--ros-args'] + [word for file in files for word in ('--params-file', file)])
node = Node('fusion', namespace=namespace, automatically_declare_parameters_from_overrides=True)
given = {name: node.get_parameter(name).value for name in node._parameter_overrides}
print(given)
rclpy.shutdown()
"""


def written(path: Path, text: str) -> ParameterFile:
    path.write_text(text)
    return ParameterFile(path)


def read_by_rclpy(namespace: str, *files: Path) -> dict[str, object]:
    result = subprocess.run(
        [sys.executable, '-c', ASK_RCLPY, namespace, *map(str, files)], text=True,
        capture_output=True,
    )
    assert result.returncode == 0, result.stderr
    parameters: dict[str, object] = yaml.safe_load(result.stdout)
    return parameters


@pytest.mark.parametrize('robot', ['robot1', 'robot2', 'robot3', 'robot4'])
def test_a_file_of_several_robots_is_read_as_rclpy_reads_it(tmp_path: Path, robot: str) -> None:
    file = written(tmp_path / 'robots.yaml', SEVERAL_ROBOTS)
    node = f'/{robot}/fusion'
    found = file.parameters_of(node)
    assert found == read_by_rclpy(f'/{robot}', file.path)
    models = {'robot1': '~/one.safetensors', 'robot2': 'two.safetensors',
              'robot3': 'three.safetensors'}
    assert found.get('model') == models.get(robot)
    assert file.unused(node, SENSORS) == [] or robot in ('robot3', 'robot4')


@pytest.mark.parametrize('sections', [
    ['/robot1/fusion', '/**'], ['/**', '/robot1/fusion'], ['robot1/fusion', '/**'], ['/**/fusion'],
    ['/robot1/fusion', 'robot1/fusion', '/**/fusion', '/**/**/fusion', '/*/*'], [],
], ids=str)
def test_what_a_launch_sets_overrides_the_file_whatever_the_order(
    tmp_path: Path, sections: list[str],
) -> None:
    content = {name: {'ros__parameters': {'device': 'file', 'slop': 0.1}} for name in sections}
    file = written(tmp_path / 'own.yaml', yaml.safe_dump(content, sort_keys=False))
    typed = {'device': 'typed', 'autostart': False, 'model': '1e5', 'camera.topic': 'true'}
    (override,) = file.override('/robot1/fusion', {**typed, 'path': 'é😀: {"'})
    try:
        found = read_by_rclpy('/robot1', file.path, override)
    finally:
        override.unlink()
    assert found == {**typed, 'path': 'é😀: {"', **({'slop': 0.1} if sections else {})}
    assert file.override('/robot1/fusion', {}) == []


@pytest.mark.parametrize(('content', 'problem'), [
    (b'\x00\xff\xfe', 'is binary'),
    (bytes(range(256)), 'is binary'),
    (b'/**: {ros__parameters: [', 'is no YAML: .*line 1, column 25'),
    (b'/**:\n  ros__parameters:\n\tslop: 1\n', 'is no YAML: .*line 3, column 1'),
    (b'*: {ros__parameters: {}}', 'is no YAML: .*line 1'),
    (b'/**: &a {ros__parameters: {slop: 1.0}}\n/fusion: *a\n', 'has an alias'),
    (b'slop: 0.1\n', 'slop must hold NODE: ros__parameters'),
    (b'- slop\n', 'it must hold NODE: ros__parameters'),
    (b'fusion:\n', 'fusion must hold NODE: ros__parameters'),
    (b'ros__parameters: {slop: 0.1}\n', '.*below the name of a node'),
    (b'fusion: {ros__parameters: }\n', 'fusion: ros__parameters must hold NAME: VALUE'),
    (b'fusion: {ros__parameters: {camera: {topic: }}}\n', r'fusion: camera\.topic has no value'),
    (b'--- {}\n--- {}\n', 'is no YAML'),
    (b'[' * 5000, 'is no YAML'),
])
def test_a_file_that_is_no_parameter_file_is_refused_by_name(
    tmp_path: Path, content: bytes, problem: str,
) -> None:
    path = tmp_path / 'own.yaml'
    path.write_bytes(content)
    with pytest.raises(LaunchArgumentError, match=rf'^params_file:=.*own\.yaml: {problem}') as got:
        ParameterFile(path)
    assert '\n' not in str(got.value)


def test_a_file_that_is_not_there_is_refused_by_its_expanded_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    with pytest.raises(LaunchArgumentError, match=rf'^params_file:={tmp_path}/a.yaml: no such'):
        ParameterFile('~/a.yaml')
    with pytest.raises(LaunchArgumentError, match=rf'^params_file:={tmp_path}: .*directory'):
        ParameterFile('~')
    assert expanded('~nobody-of-this-name/x') == Path('~nobody-of-this-name/x')


def test_an_empty_file_and_the_shipped_one_are_taken_without_a_word(tmp_path: Path) -> None:
    assert written(tmp_path / 'empty.yaml', '# nothing\n').unused('/fusion', SENSORS) == []
    assert ParameterFile(CONFIG / 'fusion.yaml').unused('/robot1/fusion', SENSORS) == []


@pytest.mark.parametrize(('parameters', 'problem'), [
    ('slpo: 0.1', 'no parameter slpo: did you mean slop?'),
    ('camera: {topik: a}', 'no parameter camera.topik: did you mean camera.topic?'),
    ('camera.topik: a', 'no parameter camera.topik: did you mean camera.topic?'),
    ('lidr: {topic: a}', 'no parameter lidr.topic: did you mean lidar.topic?'),
    ('wheels: 4', 'no parameter wheels'),
    ('lidar: {transport: raw}', 'lidar.transport: only images have a transport'),
    ('sonar: {topic: a, offset: 0.1}',
     'sonar.topic, sonar.offset: the model has no sensor sonar, but camera, lidar, depth'),
])
def test_a_parameter_that_the_node_does_not_take_is_named(
    tmp_path: Path, parameters: str, problem: str,
) -> None:
    file = written(tmp_path / 'own.yaml', (
        f'/**:\n  ros__parameters:\n    {parameters}\n    use_sim_time: true\n'
        f'    qos_overrides: {{/scan: {{subscription: {{depth: 3}}}}}}\n'
    ))
    (line,) = file.unused('/robot1/fusion', SENSORS)
    assert line.startswith(f'params_file:={file.path}: section /**: ')
    assert line.endswith(problem)


@pytest.mark.parametrize(('sections', 'lost'), [
    (['fusion'], ['fusion']), (['/fusion'], ['/fusion']), (['/**', 'fusion'], ['fusion']),
    (['/**', '/**/fusoin'], ['/**/fusoin']), (['camera_driver'], ['camera_driver']),
    (['/robot2/fusion', '/robot3/fusion'], ['/robot2/fusion', '/robot3/fusion']),
    (['/robot2/fusion', '/robot1/fusion'], []), (['/**', '/camera_driver'], []), (['/*/*'], []),
    (['/**/fusion', 'fusion'], []),
])
def test_a_section_that_does_not_reach_the_node_is_named(
    tmp_path: Path, sections: list[str], lost: list[str],
) -> None:
    content = {name: {'ros__parameters': {'slop': 0.1}} for name in sections}
    file = written(tmp_path / 'own.yaml', yaml.safe_dump(content, sort_keys=False))
    assert file.unused('/robot1/fusion', SENSORS) == [
        f'params_file:={file.path}: section {name} is not for the node /robot1/fusion: call it '
        f'/robot1/fusion, /**/fusion or /**' for name in lost
    ]


def test_a_file_may_hold_what_another_node_takes(tmp_path: Path) -> None:
    robot = {'/robot': ['seed', 'lidar.rate', 'lidar.enabled']}
    file = written(tmp_path / 'own.yaml', """
/**: {ros__parameters: {seed: 3, slop: 0.1, lidar: {rate: 5.0, enabled: true}, slpo: 0.1}}
/robot: {ros__parameters: {seed: 4, use_sim_time: true, slop: 0.1, lidar: {rat: 5.0}}}
/robot2/robot: {ros__parameters: {seed: 5}}
""")
    start = f'params_file:={file.path}: section '
    assert file.unused('/fusion', SENSORS, robot) == [
        f'{start}/**: the fusion node has no parameter slpo: did you mean slop?',
        f'{start}/robot: the node /robot has no parameter slop',
        f'{start}/robot: the node /robot has no parameter lidar.rat: did you mean lidar.rate?',
    ]
    lost = written(tmp_path / 'lost.yaml', 'robt: {ros__parameters: {seed: 3}}')
    assert lost.unused('/fusion', SENSORS, robot) == [
        f'params_file:={lost.path}: section robt is not for the node /robot: call it /robot, '
        f'/**/robot or /**'
    ]
    only = written(tmp_path / 'only.yaml', 'robot: {ros__parameters: {seed: 3}}')
    assert only.unused('/fusion', SENSORS, robot) == []
    assert len(only.unused('/fusion', SENSORS)) == 1


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
    ):
        with pytest.raises(LaunchArgumentError, match=said) as got:
            replay_parameters({**values, **wrong}, model)
        assert '\n' not in str(got.value)
        assert '--' not in str(got.value)
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
    player = LastWords('the player')
    assert player.reason(0) == 'the player has ended too early'
    assert player.reason(3) == 'the player ended with exit code 3: it gave no reason'
    player.hear(b'm2vae: error: drive: no such bag\n')
    assert player.reason(2) == 'the player ended with exit code 2: drive: no such bag'

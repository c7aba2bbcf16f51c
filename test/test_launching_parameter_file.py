# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A parameter file is read as rclpy reads it, and what no node takes is named."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys

import pytest
import yaml

pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from m2vae_ros.launching.arguments import expanded, LaunchArgumentError  # noqa: E402
from m2vae_ros.launching.parameter_file import ParameterFile  # noqa: E402
from m2vae_ros.simulation.robot import SENSORS  # noqa: E402
from support.launch_files import CONFIG  # noqa: E402

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
    (b'[' * 5000, 'is nested deeper than 100 levels'),
    (b'{a: ' * 5000, 'is nested deeper'),
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

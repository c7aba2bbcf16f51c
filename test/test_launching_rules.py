# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Values of parameters that a launch refuses are those that the node would refuse later."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys

import pytest

pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')

from m2vae_ros.launching import parameter_rules  # noqa: E402
from m2vae_ros.launching.arguments import LaunchArgumentError  # noqa: E402
from m2vae_ros.launching.parameter_file import ParameterFile  # noqa: E402
from m2vae_ros.simulation.robot import SENSORS  # noqa: E402
from support.launch_files import CONFIG  # noqa: E402

# What the node says of parameter files: a line for each.
ASK_THE_NODE = """
import sys
import rclpy
from rclpy.node import Node
from m2vae_ros.node.parameters import ParameterDeclarations
from m2vae_ros.simulation.robot import SENSORS
for file in sys.argv[1:]:
    context = rclpy.Context()
    try:
        rclpy.init(args=['--ros-args', '--params-file', file], context=context)
        node = Node('fusion', context=context, enable_rosout=False)
        declarations = ParameterDeclarations(node, lambda: 'unconfigured')
        declarations.read()
        declarations.read_sensors(SENSORS)
        print('taken')
    except Exception as error:
        print('refused:', ' '.join(str(error).split()))
    context.try_shutdown()
"""
REFUSED = [
    'slop: -1.0', 'slop: 10.1', 'slop: 0', 'slop: fast', 'slop: true', 'slop: [0.1]',
    'queue_size: 0', 'queue_size: 2.5', 'queue_size: many', 'queue_size: 1001', 'threads: false',
    'autostart: perhaps', 'autostart: 1', "autostart: 'true'", 'reconstruct: none',
    'reconstruct: true', 'camera: {reliability: so so}', 'lidar.reliability: best-effort',
    'camera: {transport: theora}', 'depth: {offset: 1.0e+10}', 'depth: {offset: soon}',
    'lidar: {topic: two words}', 'lidar: {topic: 3d/scan}', 'lidar: {topic: /scan/}',
    'lidar: {topic: /front//scan}', 'lidar: {topic: ~scan}', "lidar: {topic: '{robot}/scan'}",
    'lidar: {enabled: maybe}', 'lidar: {frame_id: true}', 'model: [a, b]', 'use_sim_time: 1',
]
TAKEN = [
    'slop: 0.0', 'slop: 10.0', 'max_age: 1e9', 'max_age: 1.0e+3', 'queue_size: 1000',
    'queue_size: 0x10', 'autostart: no', 'autostart: n', 'autostart: Off', 'reconstruct: all',
    'camera: {reliability: best_effort, transport: compressed, offset: -10.0}',
    'lidar.topic: /front/scan', 'lidar: {topic: ~/scan}',
    "lidar: {topic: '{node}/scan'}", 'lidar: {enabled: false}',
    'lidar.frame_id: 10:30', 'use_sim_time: true', 'model: 2026-01-01',
]


def given(folder: Path, number: int, parameters: str) -> ParameterFile:
    path = folder / f'{number}.yaml'
    path.write_text(f'/**:\n  ros__parameters:\n    {parameters}\n')
    return ParameterFile(path)


def test_a_launch_refuses_the_values_that_the_node_refuses(tmp_path: Path) -> None:
    files = [given(tmp_path, *case) for case in enumerate(REFUSED + TAKEN)]
    result = subprocess.run(
        [sys.executable, '-c', ASK_THE_NODE, *(str(file.path) for file in files)], text=True,
        capture_output=True,
    )
    verdicts = [line.split(':')[0] for line in result.stdout.splitlines()]
    assert verdicts == ['refused'] * len(REFUSED) + ['taken'] * len(TAKEN), result
    for file in files[len(REFUSED):]:
        file.check('/fusion', SENSORS, {})
    for file, parameters in zip(files, REFUSED, strict=False):
        with pytest.raises(LaunchArgumentError) as caught:
            file.check('/fusion', SENSORS, {})
        ((name, value),) = file.parameters_of('/fusion').items()
        assert str(caught.value).startswith(
            f'params_file:={file.path}: {name} is {value!r}, must be '
        ), parameters
        assert '\n' not in str(caught.value)


def test_what_was_typed_is_named_as_it_was_typed_and_hides_what_the_file_says(
    tmp_path: Path,
) -> None:
    file = given(tmp_path, 0, '{device: abacus, lidar: {topic: a b}, slop: 0.1}')
    file.check('/fusion', SENSORS, {'device': 'cpu', 'lidar.topic': 'scan'})
    file.check('/fusion', SENSORS, {'device': 'cpu'}, overridden=['lidar.topic'])
    with pytest.raises(LaunchArgumentError) as caught:
        file.check('/fusion', SENSORS, {'device': 'typewriter', 'camera.topic': 'a b'})
    typed, topic, in_file = str(caught.value).split('; ')
    assert typed == 'device:=typewriter: must be auto, cpu, cuda or cuda:N'
    assert topic.startswith('camera_topic:=a b: must be the name of a topic')
    assert in_file.startswith(f"params_file:={file.path}: lidar.topic is 'a b', must be the name")


def test_the_shipped_file_is_taken_for_a_model_of_other_sensors() -> None:
    ParameterFile(CONFIG / 'fusion.yaml').check('/robot1/fusion', SENSORS[:1], {})


def test_a_launch_refuses_only_devices_that_torch_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    file = given(tmp_path, 0, '{}')

    def refuses(name: str) -> bool:
        try:
            file.check('/fusion', SENSORS, {'device': name})
        except LaunchArgumentError:
            return True
        return False

    monkeypatch.setattr(parameter_rules, 'version', lambda package: '2.12.0+cu130')
    for name in ('cpu', 'cuda', 'cuda:0', 'cuda:11', 'xpu', 'mps', 'hpu:1', 'mtia', 'xla'):
        assert torch.device(name)
        assert not refuses(name)
    assert not refuses('auto')
    for name in ('abacus', 'gpu', 'CPU', 'cuda:', 'cuda:x', 'cuda 0', ''):
        with pytest.raises(RuntimeError):
            torch.device(name)
        assert refuses(name)
    monkeypatch.setattr(parameter_rules, 'version', lambda package: '2.12.0+cpu')
    assert refuses('cuda')
    assert refuses('cuda:1')
    assert not refuses('cpu')

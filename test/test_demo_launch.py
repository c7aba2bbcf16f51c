# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The simulated robot that the launch file of the demo starts."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import yaml

from m2vae_ros.simulation.robot import SENSORS
from support.launch_files import launched, module_of, needs_launch


@needs_launch
def test_the_demos_robot_is_the_simulated_one(package: Path) -> None:
    from m2vae_ros.simulation.sensing import CAMERA_FORWARD, CAMERA_HEIGHT
    from m2vae_ros.simulation.world import LIDAR_HEIGHT

    demo = module_of(package, 'demo.launch.py')
    assert {spec.name: spec.topic for spec in SENSORS} == demo.TOPICS
    assert {spec.frame_id for spec in SENSORS} == set(demo.FRAMES)
    position = ['--x', str(CAMERA_FORWARD), '--z', str(CAMERA_HEIGHT)]
    assert demo.FRAMES['laser'] == ['--z', str(LIDAR_HEIGHT)]
    assert demo.FRAMES['camera_optical_frame'][:4] == position
    assert demo.FRAMES['depth_optical_frame'][:4] == position


@needs_launch
def test_the_robot_of_the_demo_gets_its_part_of_the_parameter_file(
    package: Path, tmp_path: Path,
) -> None:
    from rcl_interfaces.srv import GetParameters, ListParameters

    from m2vae_ros.node.robot_node import parameter_names
    from support.node_processes import Peer

    file = tmp_path / 'own.yaml'
    file.write_text(yaml.dump({
        '/robot4/fusion': {'ros__parameters': {
            'use_sim_time': True, 'autostart': False, 'lidar': {'topic': '~/scan'},
        }},
        '/robot4/robot': {'ros__parameters': {'pose_rate': 7.0, 'seeed': 3}},
        '/robot5/robot': {'ros__parameters': {'pose_rate': 9.0}},
    }))
    arguments = [f'params_file:={file}', 'namespace:=robot4', 'camera_topic:=front']
    with (
        launched(package, 'demo.launch.py', *arguments) as process,
        closing(Peer(process.domain, process)) as peer,
    ):
        answer = peer.call(
            GetParameters, '/robot4/robot/get_parameters', names=['use_sim_time', 'pose_rate'],
        )
        clock, pose_rate = answer.values
        assert (clock.bool_value, pose_rate.double_value) == (True, 7.0)
        declared = peer.call(ListParameters, '/robot4/robot/list_parameters').result.names
        assert set(parameter_names()) == {
            name for name in declared
            if name.split('.')[0] not in ('use_sim_time', 'qos_overrides')
            and not name.startswith('start_type')
        }
        for topic in ('/robot4/fusion/scan', '/robot4/front', '/robot4/depth/points'):
            assert peer.node.count_publishers(topic) == 1
    warnings = [line for line in process.log.splitlines() if 'params_file:=' in line]
    (line,) = warnings
    assert line.endswith(
        'section /robot4/robot: the node /robot4/robot has no parameter seeed: did you mean seed?'
    )

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The launch files, really run where launch is importable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path
import sys
from typing import Any

import pytest
import yaml

from m2vae_ros.simulation.robot import SENSORS
from support.domains import reserved_domain
from support.launch_files import (
    arguments_of,
    CONFIG,
    module_of,
    needs_launch,
    RUN,
    write_model,
)
from support.processes import Process

ARGUMENTS = {
    'params_file', 'model', 'device', 'namespace', 'use_sim_time', 'autostart', 'log_level',
    'rviz',
}
SENSOR_TOPICS = {f'{spec.name}_topic' for spec in SENSORS}


@needs_launch
@pytest.mark.parametrize('name', ['fusion.launch.py', 'demo.launch.py'])
def test_show_args_lists_every_argument_with_a_description(package: Path, name: str) -> None:
    arguments = arguments_of(package, name)
    assert set(arguments) == ARGUMENTS | SENSOR_TOPICS
    for argument in arguments.values():
        assert argument.description not in ('', 'no description given')


@needs_launch
def test_show_args_lists_the_sensors_of_the_model_on_the_command_line(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = write_model(tmp_path / 'other.safetensors', ('velodyne', 'points'))
    monkeypatch.setattr(sys, 'argv', ['ros2', 'launch', f'model:={other}', '--show-args'])
    arguments = arguments_of(package, 'demo.launch.py')
    assert set(arguments) == ARGUMENTS | {'velodyne_topic'}
    assert 'points' in arguments['velodyne_topic'].description


@needs_launch
def test_the_parameter_file_may_choose_the_model_and_the_argument_overrides_it(
    package: Path, tmp_path: Path,
) -> None:
    launch_file = module_of(package, 'fusion.launch.py')
    in_file = write_model(tmp_path / 'in_file.safetensors', ('front', 'front/scan'))
    argument = write_model(tmp_path / 'argument.safetensors', ('rear', 'rear/scan'))
    file = tmp_path / 'params.yaml'
    file.write_text(yaml.dump({'/**/fusion': {'ros__parameters': {'model': in_file}}}))
    chosen = launch_file.chosen_topics
    assert chosen({'params_file': str(file)}) == {'front': 'front/scan'}
    assert chosen({'params_file': str(file), 'model': argument}) == {'rear': 'rear/scan'}


@needs_launch
def test_a_parameter_file_may_nest_the_node_in_its_namespace(
    package: Path, tmp_path: Path,
) -> None:
    launch_file = module_of(package, 'fusion.launch.py')
    file = tmp_path / 'params.yaml'
    nested = {'robot': {'fusion': {'ros__parameters': {'model': 'own.safetensors'}}}}
    file.write_text(yaml.dump({'fusion': None, **nested}))
    assert launch_file.model_in(file) == 'own.safetensors'


@needs_launch
@pytest.mark.parametrize('content', [
    b'', b'\xff' * 8, (2).to_bytes(8, 'little') + b'{}', (9).to_bytes(8, 'little') + b'{"a"',
], ids=['empty', 'hostile length', 'foreign', 'truncated'])
def test_a_file_that_is_no_model_ends_in_an_error_that_names_it(
    package: Path, tmp_path: Path, content: bytes,
) -> None:
    file = tmp_path / 'broken.safetensors'
    file.write_bytes(content)
    with pytest.raises(RuntimeError, match=r'^model .*broken\.safetensors: .*\bno'):
        module_of(package, 'fusion.launch.py').sensor_topics(file)


@needs_launch
def test_only_arguments_that_are_set_override_parameters(package: Path) -> None:
    from launch import LaunchContext

    from m2vae_ros.node.parameters import FusionParameters, SensorParameters

    launch_file = module_of(package, 'fusion.launch.py')
    arguments = arguments_of(package, 'fusion.launch.py')
    context = LaunchContext()
    for argument in arguments.values():
        argument.execute(context)
    assert launch_file.set_parameters(context.launch_configurations, ['lidar']) == {}
    given = {'device': 'cpu', 'autostart': 'false', 'use_sim_time': 'true', 'lidar_topic': 'a/b',
             'model': 'x.safetensors'}
    context.launch_configurations.update(given)
    parameters = launch_file.set_parameters(context.launch_configurations, ['lidar'])
    values = {name: value.evaluate(context) for name, value in parameters.items()}
    assert values == {'device': 'cpu', 'autostart': False, 'use_sim_time': True,
                      'lidar.topic': 'a/b', 'model': 'x.safetensors'}
    own = {parameter.name for parameter in fields(FusionParameters)} | {'use_sim_time'}
    of_lidar = {f'lidar.{parameter.name}' for parameter in fields(SensorParameters)}
    assert set(values) <= own | of_lidar


@needs_launch
def test_descriptions_name_the_defaults_of_unset_arguments(package: Path) -> None:
    from m2vae_ros.node.parameters import FusionParameters

    arguments = arguments_of(package, 'fusion.launch.py')
    shipped = yaml.safe_load((CONFIG / 'fusion.yaml').read_text())
    (section,) = (node['ros__parameters'] for node in shipped.values())
    for name in ('device', 'autostart'):
        default = yaml.safe_dump(getattr(FusionParameters(), name)).split('\n')[0]
        assert f'else {default}' in arguments[name].description
        assert section.get(name, getattr(FusionParameters(), name)) == getattr(
            FusionParameters(), name
        )
    assert section.get('model', '') == FusionParameters().model == ''


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


@contextmanager
def launched(file: Path, log: Path, *arguments: str) -> Iterator[Any]:
    """Launch a file and give a peer; end the launch as Ctrl-C does, and check exit code 0."""
    from support.node_processes import Peer

    with (
        reserved_domain() as domain,
        Process(RUN, [file, *arguments], log, session=True, ROS_DOMAIN_ID=str(domain),
                OMP_NUM_THREADS='1') as process,
    ):
        with closing(Peer(domain, process)) as peer:
            yield peer
        assert process.stop() == 0, process.log


def latent_of(peer: Any, topic: str, sensors: set[str]) -> Any:
    """Wait for a latent that is fused of these sensors."""
    from sensor_msgs.msg import PointCloud2

    from m2vae_ros.fusion.latent_message import latent_from_message

    names = [spec.name for spec in SENSORS]
    heard = peer.hear(PointCloud2, topic)
    return peer.wait_for(lambda: next((
        message for message in heard
        if set(latent_from_message(message).subset(names)) == sensors
    ), None), f'latent of {sorted(sensors)} on {topic}')


@needs_launch
def test_the_fusion_launch_fuses_a_remapped_scan_in_a_namespace(
    package: Path, tmp_path: Path,
) -> None:
    from sensor_msgs.msg import LaserScan

    file = package / 'launch' / 'fusion.launch.py'
    arguments = 'namespace:=robot1', 'lidar_topic:=front/scan', 'device:=cpu'
    with launched(file, tmp_path / 'log', *arguments) as peer:
        publisher = peer.node.create_publisher(LaserScan, '/robot1/front/scan', 10)

        def publish() -> None:
            scan = LaserScan(
                angle_min=-3.0, angle_max=3.0, angle_increment=0.1, range_min=0.1,
                range_max=10.0, ranges=[2.0] * 61,
            )
            scan.header.frame_id = 'laser'
            scan.header.stamp = peer.node.get_clock().now().to_msg()
            publisher.publish(scan)

        peer.node.create_timer(0.1, publish)
        message = latent_of(peer, '/robot1/fusion/latent', {'lidar'})
        assert [field.name for field in message.fields] == ['mean', 'log_variance', 'sensors']


@needs_launch
def test_the_demo_launch_fuses_all_sensors_of_a_remapped_robot_in_a_namespace(
    package: Path, tmp_path: Path,
) -> None:
    file = package / 'launch' / 'demo.launch.py'
    with launched(
        file, tmp_path / 'log', 'namespace:=robot2', 'camera_topic:=front/image',
    ) as peer:
        latent_of(peer, '/robot2/fusion/latent', {spec.name for spec in SENSORS})
        peer.wait_for(lambda: peer.node.count_publishers('/robot2/front/image') == 1, 'images')
        assert peer.node.count_publishers('/robot2/camera/image_raw') == 0

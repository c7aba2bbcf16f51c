# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The launch files, really run where launch is importable."""

from __future__ import annotations

from contextlib import closing
from dataclasses import fields
from pathlib import Path
import sys
from typing import Any

import pytest
import yaml

from m2vae_ros.simulation.robot import SENSORS
from support.launch_files import (
    arguments_of,
    CONFIG,
    launched,
    module_of,
    needs_launch,
    run_to_its_end,
    write_model,
)

ARGUMENTS = {
    'params_file', 'model', 'device', 'namespace', 'use_sim_time', 'autostart', 'log_level',
    'rviz',
}
OF_SENSORS = {f'{spec.name}_{word}' for spec in SENSORS for word in ('topic', 'enabled')}


@needs_launch
@pytest.mark.parametrize('name', ['fusion.launch.py', 'demo.launch.py'])
def test_show_args_lists_every_argument_with_a_description(package: Path, name: str) -> None:
    arguments = arguments_of(package, name)
    assert set(arguments) == ARGUMENTS | OF_SENSORS
    for argument in arguments.values():
        assert argument.description not in ('', 'no description given')


@needs_launch
def test_show_args_lists_the_sensors_of_the_model_on_the_command_line(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = write_model(tmp_path / 'other.safetensors', ('velodyne', 'points'))
    monkeypatch.setattr(sys, 'argv', ['ros2', 'launch', f'model:={other}', '--show-args'])
    arguments = arguments_of(package, 'demo.launch.py')
    assert set(arguments) == ARGUMENTS | {'velodyne_topic', 'velodyne_enabled'}
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

    def chosen(**arguments: str) -> dict[str, str]:
        return {spec.name: spec.topic for spec in launch_file.chosen_sensors(arguments)}

    assert chosen(params_file=str(file)) == {'front': 'front/scan'}
    assert chosen(params_file=str(file), model=argument) == {'rear': 'rear/scan'}


@needs_launch
def test_a_parameter_file_may_nest_the_node_in_its_namespace(
    package: Path, tmp_path: Path,
) -> None:
    launch_file = module_of(package, 'fusion.launch.py')
    file = tmp_path / 'params.yaml'
    own = write_model(tmp_path / 'own.safetensors', ('front', 'front/scan'))
    file.write_text(yaml.dump({'robot': {'fusion': {'ros__parameters': {'model': own}}}}))
    for namespace, names in (('robot', ['front']), ('', [spec.name for spec in SENSORS])):
        arguments = {'params_file': str(file), 'namespace': namespace}
        assert [spec.name for spec in launch_file.chosen_sensors(arguments)] == names


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
             'lidar_enabled': 'false', 'model': 'x.safetensors'}
    context.launch_configurations.update(given)
    parameters = launch_file.set_parameters(context.launch_configurations, ['lidar'])
    assert parameters == {'device': 'cpu', 'autostart': False, 'use_sim_time': True,
                          'lidar.topic': 'a/b', 'lidar.enabled': False, 'model': 'x.safetensors'}
    own = {parameter.name for parameter in fields(FusionParameters)} | {'use_sim_time'}
    of_lidar = {f'lidar.{parameter.name}' for parameter in fields(SensorParameters)}
    assert set(parameters) <= own | of_lidar


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


def publish_scans(peer: Any, topic: str) -> None:
    """Let a peer publish scans at 10 Hz."""
    from sensor_msgs.msg import LaserScan

    publisher = peer.node.create_publisher(LaserScan, topic, 10)

    def publish() -> None:
        scan = LaserScan(
            angle_min=-3.0, angle_max=3.0, angle_increment=0.1, range_min=0.1,
            range_max=10.0, ranges=[2.0] * 61,
        )
        scan.header.frame_id = 'laser'
        scan.header.stamp = peer.node.get_clock().now().to_msg()
        publisher.publish(scan)

    peer.node.create_timer(0.1, publish)


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
    package: Path,
) -> None:
    from support.node_processes import Peer

    arguments = ['namespace:=robot1', 'lidar_topic:=front/scan', 'device:=cpu']
    with (
        launched(package, 'fusion.launch.py', *arguments) as process,
        closing(Peer(process.domain, process)) as peer,
    ):
        publish_scans(peer, '/robot1/front/scan')
        message = latent_of(peer, '/robot1/fusion/latent', {'lidar'})
        assert [field.name for field in message.fields] == ['mean', 'log_variance', 'sensors']


@needs_launch
def test_the_demo_launch_fuses_all_sensors_of_a_remapped_robot_in_a_namespace(
    package: Path,
) -> None:
    from support.node_processes import Peer

    arguments = ['namespace:=robot2', 'camera_topic:=front/image']
    with (
        launched(package, 'demo.launch.py', *arguments) as process,
        closing(Peer(process.domain, process)) as peer,
    ):
        latent_of(peer, '/robot2/fusion/latent', {spec.name for spec in SENSORS})
        peer.wait_for(lambda: peer.node.count_publishers('/robot2/front/image') == 1, 'images')
        assert peer.node.count_publishers('/robot2/camera/image_raw') == 0


@needs_launch
@pytest.mark.parametrize(('content', 'problem'), [
    (None, 'no such file'), (b'/**: {ros__parameters: [', 'is no YAML: '),
    (b'\0\xff', 'is binary'),
], ids=['missing', 'broken', 'binary'])
def test_every_launch_file_refuses_a_parameter_file_by_name_in_the_same_line(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None,
    problem: str,
) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    if content is not None:
        (tmp_path / 'own.yaml').write_bytes(content)
    arguments = ['params_file:=~/own.yaml', 'bag:=any', 'output:=any']
    lines = set()
    for name in ('fusion', 'demo', 'replay'):
        code, output = run_to_its_end(package, f'{name}.launch.py', *arguments)
        assert code == 1, output
        lines |= {line.partition(']: ')[2] for line in output.splitlines() if 'ERROR' in line}
        assert 'process started' not in output
    (line,) = lines
    assert f'params_file:={tmp_path}/own.yaml: {problem}' in line


@needs_launch
@pytest.mark.parametrize('name', ['fusion.launch.py', 'demo.launch.py'])
def test_values_that_the_node_would_refuse_are_refused_before_anything_is_started(
    package: Path, tmp_path: Path, name: str,
) -> None:
    file = tmp_path / 'own.yaml'
    file.write_text(yaml.dump({'/**': {'ros__parameters': {'slop': 60.0}}}))
    arguments = [f'params_file:={file}', 'device:=gpu', 'lidar_topic:=front scan', 'rvis:=true']
    code, output = run_to_its_end(package, name, *arguments)
    assert code == 1, output
    for problem in (
        'device:=gpu: must be auto, cpu, cuda or cuda:N', 'lidar_topic:=front scan: must be the n',
        f'params_file:={file}: slop is 60.0, must be a number with a point from 0.0 to',
    ):
        assert problem in output
    assert 'rvis:= is ignored: there is no such argument: did you mean rviz?' in output
    assert 'process started' not in output


@needs_launch
def test_a_launch_warns_of_what_no_node_takes_but_not_in_its_own_file(
    package: Path, tmp_path: Path,
) -> None:
    other = write_model(tmp_path / 'other.safetensors', ('velodyne', 'points'))  # no weights
    file = tmp_path / 'own.yaml'
    file.write_text(yaml.dump({'/**': {'ros__parameters': {'slpo': 0.1}}}))
    with launched(package, 'fusion.launch.py', f'params_file:={file}') as process:
        process.wait_for_line('warm after')
    assert f'params_file:={file}: section /**: the fusion node has no parameter slpo: did you ' \
        'mean slop?' in process.log
    with launched(package, 'fusion.launch.py', f'model:={other}') as process:
        process.wait_for_line('configure failed')
    assert 'params_file' not in process.log.split('process started')[0]


@needs_launch
def test_rviz_may_be_asked_for_in_any_case_and_gets_the_time_of_the_parameter_file(
    package: Path, tmp_path: Path,
) -> None:
    prefix, seen = package.parents[1], tmp_path / 'seen'
    (prefix / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'rviz2').touch()
    rviz = prefix / 'lib' / 'rviz2' / 'rviz2'
    rviz.parent.mkdir()
    rviz.write_text(f"""#!{sys.executable}
import pathlib, sys
pairs = zip(sys.argv, sys.argv[1:])
files = [pathlib.Path(file).read_text() for word, file in pairs if word == '--params-file']
pathlib.Path({str(seen)!r}).write_text(''.join(files))
print('rviz was started', flush=True)
""")
    rviz.chmod(0o755)
    file = tmp_path / 'own.yaml'
    file.write_text(yaml.dump({
        '/robot1/fusion': {'ros__parameters': {'use_sim_time': True}},
        '/robot2/fusion': {'ros__parameters': {'use_sim_time': False}},
    }))
    for namespace, expected in (('robot1', True), ('robot2', False)):
        with launched(
            package, 'fusion.launch.py', 'rviz:=True', f'params_file:={file}',
            f'namespace:={namespace}',
        ) as process:
            process.wait_for_line('rviz2-2]: process has finished cleanly')
            process.wait_for_line('warm after')
        ((parameters,),) = (section.values() for section in yaml.safe_load(
            seen.read_text()
        ).values())
        assert parameters == {'use_sim_time': expected}


@needs_launch
def test_a_node_gets_its_part_of_a_file_of_several_robots_with_paths_in_its_home(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    from support.node_processes import Peer

    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'own.safetensors').symlink_to(package / 'config/models/default.safetensors')
    (tmp_path / 'robots.yaml').write_text(yaml.dump({
        '/robot5/fusion': {'ros__parameters': {
            'model': '~/own.safetensors', 'lidar': {'topic': 'front/scan'}, 'device': 'typewriter',
        }},
        '/**': {'ros__parameters': {'device': 'abacus'}},
        '/robot6/fusion': {'ros__parameters': {'model': '~/absent.safetensors'}},
    }, sort_keys=False))
    arguments = ['params_file:=~/robots.yaml', 'namespace:=robot5', 'device:=cpu']
    with (
        launched(package, 'fusion.launch.py', *arguments) as process,
        closing(Peer(process.domain, process)) as peer,
    ):
        publish_scans(peer, '/robot5/front/scan')
        latent_of(peer, '/robot5/fusion/latent', {'lidar'})
    assert f'{tmp_path}/own.safetensors: sensors' in process.log
    assert 'WARN' not in process.log.split('process started')[0]

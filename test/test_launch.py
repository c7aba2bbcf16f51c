# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The launch files, really run where launch is importable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
import sys
import time
from typing import Any

import pytest
import yaml

from m2vae_ros.simulation.robot import SENSORS
from support.launch_files import (
    CONFIG,
    described,
    launched,
    module_of,
    needs_launch,
    PATIENCE,
    run_to_its_end,
    write_model,
)

pytest_plugins = ['support.launch_files']  # for the fixture package

ARGUMENTS = {
    'params_file', 'model', 'device', 'namespace', 'use_sim_time', 'autostart', 'log_level',
    'rviz',
}
SENSOR_TOPICS = {f'{spec.name}_topic' for spec in SENSORS}


@needs_launch
@pytest.mark.parametrize('name', ['fusion.launch.py', 'demo.launch.py'])
def test_show_args_lists_every_argument_with_a_description(package: Path, name: str) -> None:
    arguments = described(package, name)
    assert set(arguments) == ARGUMENTS | SENSOR_TOPICS
    for argument in arguments.values():
        assert argument.description not in ('', 'no description given')


@needs_launch
def test_show_args_lists_the_sensors_of_the_model_on_the_command_line(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = write_model(tmp_path / 'other.safetensors', ('velodyne', 'points'))
    monkeypatch.setattr(sys, 'argv', ['ros2', 'launch', f'model:={other}', '--show-args'])
    arguments = described(package, 'demo.launch.py')
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
    arguments = described(package, 'fusion.launch.py')
    context = LaunchContext()
    for argument in arguments.values():
        argument.execute(context)
    assert launch_file.set_parameters(context.launch_configurations, ['lidar']) == {}
    given = {'device': 'cpu', 'autostart': 'false', 'use_sim_time': 'true', 'lidar_topic': 'a/b',
             'model': 'x.safetensors'}
    context.launch_configurations.update(given)
    parameters = launch_file.set_parameters(context.launch_configurations, ['lidar'])
    assert parameters == {'device': 'cpu', 'autostart': False, 'use_sim_time': True,
                          'lidar.topic': 'a/b', 'model': 'x.safetensors'}
    own = {parameter.name for parameter in fields(FusionParameters)} | {'use_sim_time'}
    of_lidar = {f'lidar.{parameter.name}' for parameter in fields(SensorParameters)}
    assert set(parameters) <= own | of_lidar


@needs_launch
def test_descriptions_name_the_defaults_of_unset_arguments(package: Path) -> None:
    from m2vae_ros.node.parameters import FusionParameters

    arguments = described(package, 'fusion.launch.py')
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


@pytest.fixture
def fused_on() -> Iterator[Callable[..., Any]]:
    """Return a function that publishes scans while it waits for a latent of given sensors."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import LaserScan, PointCloud2

    from m2vae_ros.fusion.latent_message import latent_from_message

    contexts = []

    def wait(topic: str, sensors: set[str], domain: int, scan_topic: str | None = None) -> Any:
        context = rclpy.Context()
        contexts.append(context)
        rclpy.init(context=context, domain_id=domain)
        node = rclpy.create_node('listener', context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        received: list[Any] = []
        node.create_subscription(PointCloud2, topic, received.append, 10)
        if scan_topic is not None:
            publisher = node.create_publisher(LaserScan, scan_topic, 10)

            def publish() -> None:
                scan = LaserScan(
                    angle_min=-3.0, angle_max=3.0, angle_increment=0.1, range_min=0.1,
                    range_max=10.0, ranges=[2.0] * 61,
                )
                scan.header.frame_id = 'laser'
                scan.header.stamp = node.get_clock().now().to_msg()
                publisher.publish(scan)

            node.create_timer(0.1, publish)
        names = [spec.name for spec in SENSORS]
        mask = sum(1 << names.index(sensor) for sensor in sensors)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            executor.spin_once(timeout_sec=0.5)
            for message in received:
                if latent_from_message(message).sensors == mask:
                    return node, message
            received.clear()
        raise AssertionError(f'no latent of {sorted(sensors)} on {topic} within {PATIENCE} s')

    yield wait
    for context in contexts:
        context.try_shutdown()


@needs_launch
def test_the_fusion_launch_fuses_a_remapped_scan_in_a_namespace(
    package: Path, fused_on: Callable[..., Any],
) -> None:
    arguments = ['namespace:=robot1', 'lidar_topic:=front/scan', 'device:=cpu']
    with launched(package, 'fusion.launch.py', *arguments, domain=91):
        _, message = fused_on('/robot1/fusion/latent', {'lidar'}, 91, '/robot1/front/scan')
        assert [field.name for field in message.fields] == ['mean', 'log_variance', 'sensors']


@needs_launch
def test_the_demo_launch_fuses_all_sensors_of_a_remapped_robot_in_a_namespace(
    package: Path, fused_on: Callable[..., Any],
) -> None:
    arguments = ['namespace:=robot2', 'camera_topic:=front/image']
    with launched(package, 'demo.launch.py', *arguments, domain=92):
        all_sensors = {spec.name for spec in SENSORS}
        node, _ = fused_on('/robot2/fusion/latent', all_sensors, 92)
        end = time.monotonic() + 10
        while not node.count_publishers('/robot2/front/image') and time.monotonic() < end:
            node.executor.spin_once(timeout_sec=0.1)
        assert node.count_publishers('/robot2/front/image') == 1
        assert node.count_publishers('/robot2/camera/image_raw') == 0


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
        code, output = run_to_its_end(package, f'{name}.launch.py', *arguments, domain=90)
        assert code == 1, output
        lines |= {line.partition(']: ')[2] for line in output.splitlines() if 'ERROR' in line}
        assert 'process started' not in output
    (line,) = lines
    assert f'params_file:={tmp_path}/own.yaml: {problem}' in line


@needs_launch
def test_a_launch_warns_of_what_no_node_takes_but_not_in_its_own_file(
    package: Path, tmp_path: Path,
) -> None:
    other = write_model(tmp_path / 'other.safetensors', ('velodyne', 'points'))  # no weights
    file = tmp_path / 'own.yaml'
    file.write_text(yaml.dump({'/**': {'ros__parameters': {'slpo': 0.1}}}))
    with launched(package, 'fusion.launch.py', f'params_file:={file}', domain=91) as process:
        process.wait_for('warm after')
    assert f'params_file:={file}: section /**: the fusion node has no parameter slpo: did you ' \
        'mean slop?' in process.output
    with launched(package, 'fusion.launch.py', f'model:={other}', domain=91) as process:
        process.wait_for('configure failed')
    assert 'params_file' not in process.output.split('process started')[0]


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
            f'namespace:={namespace}', domain=91,
        ) as process:
            process.wait_for('rviz2-2]: process has finished cleanly')
            process.wait_for('warm after')
        ((parameters,),) = (section.values() for section in yaml.safe_load(
            seen.read_text()
        ).values())
        assert parameters == {'use_sim_time': expected}


@needs_launch
def test_the_robot_of_the_demo_has_the_clock_that_the_parameter_file_gives(
    package: Path, tmp_path: Path,
) -> None:
    from rcl_interfaces.srv import GetParameters
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    file = tmp_path / 'own.yaml'
    file.write_text(yaml.dump({
        '/robot4/fusion': {'ros__parameters': {'use_sim_time': True, 'autostart': False}}
    }))
    arguments = [f'params_file:={file}', 'namespace:=robot4']
    with launched(package, 'demo.launch.py', *arguments, domain=92):
        context = rclpy.Context()
        rclpy.init(context=context, domain_id=92)
        node = rclpy.create_node('asker', context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        client = node.create_client(GetParameters, '/robot4/robot/get_parameters')
        assert client.wait_for_service(PATIENCE)
        answer = client.call_async(GetParameters.Request(names=['use_sim_time']))
        executor.spin_until_future_complete(answer, PATIENCE)
        assert answer.result().values[0].bool_value
        context.try_shutdown()


@needs_launch
def test_a_node_gets_its_part_of_a_file_of_several_robots_with_paths_in_its_home(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fused_on: Callable[..., Any],
) -> None:
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
    with launched(package, 'fusion.launch.py', *arguments, domain=91) as process:
        fused_on('/robot5/fusion/latent', {'lidar'}, 91, '/robot5/front/scan')
    assert f'{tmp_path}/own.safetensors: sensors' in process.output
    assert 'WARN' not in process.output.split('process started')[0]

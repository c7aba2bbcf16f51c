# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Start the fusion node, and RViz on request.

Where an argument is not set, ``params_file`` decides. Every sensor of the model has an argument
``<name>_topic``. The sensors are read from the model's file, so
``ros2 launch m2vae_ros fusion.launch.py model:=FILE --show-args`` lists those of FILE.
"""

from __future__ import annotations

from collections.abc import Collection
from logging import Logger
from pathlib import Path
import sys
from typing import Any

from ament_index_python.packages import (
    get_package_prefix,
    get_package_share_directory,
    PackageNotFoundError,
)
from launch import Action, LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.logging import get_logger
from launch_ros.actions import Node

from m2vae_ros.launching.arguments import (
    check_model,
    choose_model,
    expanded,
    ignored_arguments,
    lower_case,
    node_name,
    public_topic,
    read_sensors,
    UNSET,
)
from m2vae_ros.launching.parameter_file import ParameterFile
from m2vae_ros.parent import launch_environment
from m2vae_ros.specs import SensorSpec

SHARE = Path(get_package_share_directory('m2vae_ros'))
DEFAULT_MODEL = SHARE / 'config' / 'models' / 'default.safetensors'
DEFAULT_PARAMETERS = SHARE / 'config' / 'fusion.yaml'
SWITCH = ['true', 'false']


def chosen_sensors(arguments: dict[str, str]) -> tuple[SensorSpec, ...]:
    """Return the sensors of the model that the launch arguments choose."""
    file = ParameterFile(arguments.get('params_file', DEFAULT_PARAMETERS))
    in_file = file.parameters_of(node_name(arguments, 'fusion'))
    return read_sensors(choose_model(arguments, in_file, DEFAULT_MODEL))


class DeclareSensors(Action):
    """
    Declare ``<name>_topic`` and ``<name>_enabled`` for each sensor of the chosen model.

    ``--show-args`` only asks actions for their sub-entities, without any launch arguments, so the
    model is then read from the command line. In a launch, also one included by another, this
    action is executed and gets the launch arguments.
    """

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Return the arguments for the model on the command line, or for the default model."""
        return self._declare(dict(word.split(':=', 1) for word in sys.argv if ':=' in word))

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        """Return the arguments for the model of this launch."""
        values = context.launch_configurations
        lower_case(values, [name for name in values if name.endswith('_enabled')])
        return self._declare(values)

    def _declare(self, arguments: dict[str, str]) -> list[LaunchDescriptionEntity]:
        topics = {spec.name: spec.topic for spec in chosen_sensors(arguments)}
        return [
            DeclareLaunchArgument(
                f'{sensor}_topic', default_value=UNSET,
                description=f'Topic of {sensor}, relative to the namespace. Unset: {sensor}.topic '
                f"of params_file, else {topic}, the model's own",
            ) for sensor, topic in topics.items()
        ] + [
            DeclareLaunchArgument(
                f'{sensor}_enabled', default_value=UNSET, choices=[UNSET, *SWITCH],
                description=f'Whether the robot has {sensor}. Unset: {sensor}.enabled of '
                f'params_file, else true',
            ) for sensor in topics
        ]


def set_parameters(values: dict[str, str], sensors: list[str]) -> dict[str, Any]:
    """Return the node's parameters for the launch arguments that are set."""
    texts = {'device': 'device'}
    texts |= {f'{sensor}_topic': f'{sensor}.topic' for sensor in sensors}
    parameters: dict[str, Any] = {
        parameter: values[argument]
        for argument, parameter in texts.items() if values[argument] != UNSET
    }
    if values['model'] != UNSET:
        parameters['model'] = str(expanded(values['model']))
    switches = {'use_sim_time': 'use_sim_time', 'autostart': 'autostart'}
    switches |= {f'{sensor}_enabled': f'{sensor}.enabled' for sensor in sensors}
    parameters |= {
        parameter: values[argument] == 'true'
        for argument, parameter in switches.items() if values[argument] != UNSET
    }
    return parameters


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the nodes to start."""
    values = context.launch_configurations
    logger = get_logger('fusion.launch')
    name = node_name(values, 'fusion')
    file = ParameterFile(values['params_file'])
    sensors = chosen_sensors(values)
    topics = {spec.name: spec.topic for spec in sensors}
    warn_of_ignored(values, topics, logger)
    if file.path != DEFAULT_PARAMETERS:
        for problem in file.unused(name, sensors, other_nodes(values)):
            logger.warning(problem)
    given = set_parameters(values, list(topics))
    file.check(name, sensors, given)
    check_model(choose_model(values, file.parameters_of(name), DEFAULT_MODEL))
    log_level = [] if values['log_level'] == UNSET else ['--log-level', values['log_level']]
    nodes = [Node(
        package='m2vae_ros', executable='fusion_node', name='fusion', output='screen',
        namespace=values['namespace'], ros_arguments=log_level,
        additional_env=launch_environment(),
        parameters=[str(path) for path in (file.path, *file.override(name, given))],
    )]
    if values['rviz'] == 'true':
        nodes.append(rviz(values, topics, file.parameters_of(name) | given))
    return nodes


def warn_of_ignored(values: dict[str, str], sensors: Collection[str], logger: Logger) -> None:
    """Warn of arguments that this file does not have."""
    words = ('topic', 'enabled')
    known = [argument.name for argument in arguments()]
    known += [f'{sensor}_{word}' for sensor in sensors for word in words]
    of_absent = [
        name for name in values
        if name not in known and name.rpartition('_')[0] and name.rpartition('_')[2] in words
    ]
    for name in of_absent:
        logger.warning(f'{name} is ignored: the model has the sensors {", ".join(sensors)}')
    for problem in ignored_arguments(
        sys.argv, known + of_absent, Path(__file__).name, 'demo.launch.py'
    ):
        logger.warning(problem)


def other_nodes(values: dict[str, str]) -> dict[str, list[str]]:
    """Return name -> parameters of the other nodes for which a parameter file may be meant."""
    if 'with_robot' not in values:
        return {}
    from m2vae_ros.node.robot_node import parameter_names
    return {node_name(values, 'robot'): parameter_names()}


def rviz(values: dict[str, str], topics: dict[str, str], of_fusion: dict[str, Any]) -> Node:
    """
    Return RViz, with its displays remapped to the namespace and topics of the launch.

    Parameters
    ----------
    values
        Arguments of the launch.
    topics
        Sensor -> topic of the model, which the displays show.
    of_fusion
        Parameters of the fusion node.

    """
    try:
        get_package_prefix('rviz2')
    except PackageNotFoundError:
        raise RuntimeError(
            'rviz:=true needs RViz: sudo apt install ros-$ROS_DISTRO-rviz2'
        ) from None
    remapped = {
        f'/{topic}': public_topic(
            of_fusion.get(f'{sensor}.topic') or topic, node_name(values, 'fusion')
        ) for sensor, topic in topics.items()
    }
    remapped |= {
        f'/{output}': output
        for output in (f'fusion/{sensor}/reconstruction' for sensor in topics)
    }
    return Node(
        package='rviz2', executable='rviz2', name='rviz', output='log',
        namespace=values['namespace'], arguments=['-d', str(SHARE / 'config' / 'fusion.rviz')],
        remappings=list(remapped.items()),
        parameters=[{'use_sim_time': of_fusion.get('use_sim_time', False)}],
    )


def arguments() -> list[DeclareLaunchArgument]:
    """Return the arguments of this file, without those of the sensors."""
    return [
        DeclareLaunchArgument(
            'params_file', default_value=str(SHARE / 'config' / 'fusion.yaml'),
            description='Parameter file of the node; the arguments below override it when set',
        ),
        DeclareLaunchArgument(
            'model', default_value=UNSET,
            description='Model file (.safetensors). Unset: that of params_file, else the '
            'installed default model, which knows only the simulated robot',
        ),
        DeclareLaunchArgument(
            'device', default_value=UNSET,
            description='Where to infer: auto, cpu, cuda or cuda:N. Unset: that of params_file, '
            'else auto',
        ),
        DeclareLaunchArgument(
            'namespace', default_value=UNSET,
            description='Namespace of the node and of all relative topics',
        ),
        DeclareLaunchArgument(
            'use_sim_time', default_value=UNSET, choices=[UNSET, *SWITCH],
            description='Take the time from /clock, as for a bag (ros2 bag play --clock). Unset: '
            'that of params_file, else false',
        ),
        DeclareLaunchArgument(
            'autostart', default_value=UNSET, choices=[UNSET, *SWITCH],
            description='Configure and activate at start. Unset: that of params_file, else true',
        ),
        DeclareLaunchArgument(
            'log_level', default_value=UNSET,
            choices=[UNSET, 'debug', 'info', 'warn', 'error', 'fatal'],
            description="Lowest severity of log lines shown. Unset: ROS's default, info",
        ),
        DeclareLaunchArgument(
            'rviz', default_value='false', choices=SWITCH,
            description='Show sensors and reconstructions in RViz',
        ),
    ]


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and what they start."""
    switches = ['use_sim_time', 'autostart', 'rviz', 'log_level']
    return LaunchDescription([
        OpaqueFunction(function=lambda context: lower_case(
            context.launch_configurations, switches
        )),
        *arguments(),
        DeclareSensors(),
        OpaqueFunction(function=start),
    ])

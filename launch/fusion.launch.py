# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Start the fusion node, and RViz on request.

Where an argument is not set, ``params_file`` decides. Every sensor of the model has an argument
``<name>_topic``. The sensors are read from the model's file, so
``ros2 launch m2vae_ros fusion.launch.py model:=FILE --show-args`` lists those of FILE.
"""

from __future__ import annotations

from pathlib import Path
import sys

from ament_index_python.packages import (
    get_package_prefix,
    get_package_share_directory,
    PackageNotFoundError,
)
from launch import Action, LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.logging import get_logger
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
import yaml

from m2vae_ros.vae.header import read_header
from m2vae_ros.weights_file import CheckpointError

UNSET = ''
SHARE = Path(get_package_share_directory('m2vae_ros'))
DEFAULT_MODEL = SHARE / 'config' / 'models' / 'default.safetensors'


def sensor_topics(model: Path) -> dict[str, str]:
    """Return sensor -> default topic, from the header of a model file."""
    try:
        return {spec.name: spec.topic for spec in read_header(model).sensors}
    except CheckpointError as error:
        raise RuntimeError(f'model {error}') from None


def model_in(params_file: Path) -> str:
    """Return the parameter ``model`` in a parameter file, or UNSET."""
    if not params_file.is_file():
        raise RuntimeError(f'params_file {params_file}: no such file')
    return _model_of(yaml.safe_load(params_file.read_text()) or {})


def _model_of(section: object, name: str = '', model: str = UNSET) -> str:
    """Return the model that a section sets for the node; its keys may be nested namespaces."""
    if not isinstance(section, dict):
        return model
    for key, content in section.items():
        if key != 'ros__parameters':
            model = _model_of(content, key.rsplit('/', 1)[-1], model)
        elif name in ('fusion', '*', '**'):
            model = (content or {}).get('model', model)
    return model


def chosen_topics(arguments: dict[str, str]) -> dict[str, str]:
    """Return sensor -> default topic of the model that the launch arguments choose."""
    model = arguments.get('model', UNSET)
    if model == UNSET and 'params_file' in arguments:
        model = model_in(Path(arguments['params_file']))
    return sensor_topics(DEFAULT_MODEL if model == UNSET else Path(model).expanduser())


class DeclareSensorTopics(Action):
    """
    Declare ``<name>_topic`` for each sensor of the chosen model.

    ``--show-args`` only asks actions for their sub-entities, without any launch arguments, so the
    model is then read from the command line. In a launch, also one included by another, this
    action is executed and gets the launch arguments.
    """

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Return the arguments for the model on the command line, or for the default model."""
        return self._declare(dict(word.split(':=', 1) for word in sys.argv if ':=' in word))

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        """Return the arguments for the model of this launch."""
        return self._declare(context.launch_configurations)

    def _declare(self, arguments: dict[str, str]) -> list[LaunchDescriptionEntity]:
        return [
            DeclareLaunchArgument(
                f'{sensor}_topic', default_value=UNSET,
                description=f'Topic of {sensor}, relative to the namespace. Unset: {sensor}.topic '
                f"of params_file, else {topic}, the model's own",
            ) for sensor, topic in chosen_topics(arguments).items()
        ]


def set_parameters(values: dict[str, str], sensors: list[str]) -> dict[str, ParameterValue]:
    """Return the node's parameters for the launch arguments that are set."""
    texts = {'model': 'model', 'device': 'device'}
    texts |= {f'{sensor}_topic': f'{sensor}.topic' for sensor in sensors}
    parameters = {
        parameter: ParameterValue(values[argument], value_type=str)
        for argument, parameter in texts.items() if values[argument] != UNSET
    }
    if 'model' in parameters:
        path = str(Path(values['model']).expanduser())
        parameters['model'] = ParameterValue(path, value_type=str)
    for switch in ('use_sim_time', 'autostart'):
        if values[switch] != UNSET:
            parameters[switch] = ParameterValue(values[switch] == 'true', value_type=bool)
    return parameters


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the nodes to start."""
    values = context.launch_configurations
    topics = chosen_topics(values)
    for name in values:
        if name.endswith('_topic') and name.removesuffix('_topic') not in topics:
            get_logger('fusion.launch').warning(
                f'{name} is ignored: the model has the sensors {", ".join(topics)}'
            )
    parameters = set_parameters(values, list(topics))
    log_level = [] if values['log_level'] == UNSET else ['--log-level', values['log_level']]
    nodes = [Node(
        package='m2vae_ros', executable='fusion_node', name='fusion', output='screen',
        namespace=values['namespace'], parameters=[values['params_file'], parameters],
        ros_arguments=log_level,
    )]
    if values['rviz'] == 'true':
        nodes.append(rviz(values, topics))
    return nodes


def rviz(values: dict[str, str], topics: dict[str, str]) -> Node:
    """Return RViz, with its displays remapped to the namespace and topics of the launch."""
    try:
        get_package_prefix('rviz2')
    except PackageNotFoundError:
        raise RuntimeError(
            'rviz:=true needs RViz: sudo apt install ros-$ROS_DISTRO-rviz2'
        ) from None
    remapped = {
        f'/{topic}': values[f'{sensor}_topic'] or topic for sensor, topic in topics.items()
    }
    remapped |= {
        f'/{output}': output
        for output in (f'fusion/{sensor}/reconstruction' for sensor in topics)
    }
    return Node(
        package='rviz2', executable='rviz2', name='rviz', output='log',
        namespace=values['namespace'], arguments=['-d', str(SHARE / 'config' / 'fusion.rviz')],
        remappings=list(remapped.items()),
        parameters=[{'use_sim_time': values['use_sim_time'] == 'true'}],
    )


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and what they start."""
    switch = ['true', 'false']
    return LaunchDescription([
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
            'use_sim_time', default_value=UNSET, choices=[UNSET, *switch],
            description='Take the time from /clock, as for a bag (ros2 bag play --clock). Unset: '
            'that of params_file, else false',
        ),
        DeclareLaunchArgument(
            'autostart', default_value=UNSET, choices=[UNSET, *switch],
            description='Configure and activate at start. Unset: that of params_file, else true',
        ),
        DeclareLaunchArgument(
            'log_level', default_value=UNSET,
            choices=[UNSET, 'debug', 'info', 'warn', 'error', 'fatal'],
            description="Lowest severity of log lines shown. Unset: ROS's default, info",
        ),
        DeclareLaunchArgument(
            'rviz', default_value='false', choices=switch,
            description='Show sensors and reconstructions in RViz',
        ),
        DeclareSensorTopics(),
        OpaqueFunction(function=start),
    ])

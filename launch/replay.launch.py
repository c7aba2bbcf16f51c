# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Play a bag, with its time, into the fusion node and record the latents to another bag.

The node subscribes to the model's topics where the bag has them, for an image also with
``/compressed`` appended, and to those that the argument ``topics`` names. When the bag has ended,
everything ends.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch_ros.actions import Node

from m2vae_ros.bags.bag import Bag, resolve_topics
from m2vae_ros.vae.header import read_header
from m2vae_ros.weights_file import CheckpointError

UNSET = ''
SHARE = Path(get_package_share_directory('m2vae_ros'))
DEFAULT_MODEL = SHARE / 'config' / 'models' / 'default.safetensors'
BACKLOG = 100  # fused sets that may wait for the model, so that none is dropped
QUEUE_DEPTH = 30  # messages of a sensor that may wait
SHUTDOWN_DELAY = 2.0  # s after the end of the bag, for the last latents


def chosen_topics(text: str) -> dict[str, str]:
    """Return sensor -> topic, from SENSOR=TOPIC pairs separated by spaces or commas."""
    pairs = text.replace(',', ' ').split()
    for pair in pairs:
        if '=' not in pair:
            raise RuntimeError(f'topics: {pair!r} must be SENSOR=TOPIC')
    return dict(pair.split('=', 1) for pair in pairs)


def sensor_parameters(values: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Return the fusion node's parameters and the topics of the bag to play."""
    model = Path(values['model'] or DEFAULT_MODEL).expanduser()
    try:
        sensors = read_header(model).sensors
        with Bag(Path(values['bag']).expanduser()) as bag:
            topics = resolve_topics(bag, sensors, chosen_topics(values['topics']))
    except CheckpointError as error:
        raise RuntimeError(f'model {error}') from None
    except (ValueError, OSError) as error:
        raise RuntimeError(str(error)) from None
    parameters: dict[str, Any] = {'model': str(model), 'use_sim_time': True, 'backlog': BACKLOG}
    for spec in sensors:
        topic = topics.get(spec.name)
        if topic is None:
            continue
        compressed = spec.kind == 'image' and topic.endswith('/compressed')
        raw = topic.removesuffix('/compressed') if compressed else topic
        parameters[f'{spec.name}.topic'] = raw
        parameters[f'qos_overrides.{topic}.subscription.depth'] = QUEUE_DEPTH
        if spec.kind == 'image':
            parameters[f'{spec.name}.transport'] = 'compressed' if compressed else 'raw'
    return parameters, list(topics.values())


def latent_topic(namespace: str) -> str:
    """Return the topic of the latents in a namespace."""
    return '/' + f'{namespace.strip("/")}/fusion/latent'.lstrip('/')


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the fusion node, the recorder and the player."""
    values = context.launch_configurations
    parameters, topics = sensor_parameters(values)
    if values['device'] != UNSET:
        parameters['device'] = values['device']
    common: dict[str, Any] = {
        'package': 'm2vae_ros', 'output': 'screen', 'namespace': values['namespace'],
        'ros_arguments': ['--log-level', values['log_level']] if values['log_level'] else [],
    }
    fusion = Node(
        executable='fusion_node', name='fusion',
        parameters=[values['params_file'], parameters], **common,
    )
    recorder = Node(
        executable='latent_recorder', name='latent_recorder',
        parameters=[{'output': values['output'], 'use_sim_time': True}], **common,
    )
    player = Node(
        executable='m2vae', name='player', arguments=[
            'play', str(Path(values['bag']).expanduser()), '--rate', values['rate'],
            '--start-offset', values['start_offset'],
            *(['--loop'] if values['loop'] == 'true' else []),
            *(['--pause'] if values['pause'] == 'true' else []),
            '--topics', *topics, '--wait-for', *topics, latent_topic(values['namespace']),
        ], **common,
    )
    ended = EmitEvent(event=Shutdown(reason='the bag has ended'))
    return [fusion, recorder, player, RegisterEventHandler(OnProcessExit(
        target_action=player, on_exit=[TimerAction(period=SHUTDOWN_DELAY, actions=[ended])],
    )), RegisterEventHandler(OnProcessExit(
        target_action=recorder, on_exit=[EmitEvent(event=Shutdown(reason='the recorder ended'))],
    ))]


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and what they start."""
    switch = ['true', 'false']
    return LaunchDescription([
        DeclareLaunchArgument('bag', description='Folder or file of the bag to play'),
        DeclareLaunchArgument(
            'output', description='Folder for the bag of latents; must not exist',
        ),
        DeclareLaunchArgument(
            'model', default_value=UNSET,
            description='Model file (.safetensors). Unset: the installed default model, which '
            'knows only the simulated robot',
        ),
        DeclareLaunchArgument(
            'params_file', default_value=str(SHARE / 'config' / 'fusion.yaml'),
            description='Parameter file of the fusion node; model, topics and use_sim_time in it '
            'are overridden',
        ),
        DeclareLaunchArgument(
            'topics', default_value=UNSET,
            description="Where the bag's topics differ from the model's: SENSOR=TOPIC, separated "
            'by spaces',
        ),
        DeclareLaunchArgument(
            'device', default_value=UNSET,
            description='Where to infer: auto, cpu, cuda or cuda:N. Unset: that of params_file, '
            'else auto',
        ),
        DeclareLaunchArgument(
            'rate', default_value='1.0', description='Seconds of the bag in a second',
        ),
        DeclareLaunchArgument(
            'start_offset', default_value='0.0',
            description='Seconds of the bag to skip at its beginning',
        ),
        DeclareLaunchArgument(
            'loop', default_value='false', choices=switch,
            description='Begin again at the end of the bag, until Ctrl-C',
        ),
        DeclareLaunchArgument(
            'pause', default_value='false', choices=switch,
            description='Begin paused, until the service ~/resume of the player is called',
        ),
        DeclareLaunchArgument(
            'namespace', default_value=UNSET,
            description='Namespace of the nodes and of the topics that the fusion node publishes',
        ),
        DeclareLaunchArgument(
            'log_level', default_value=UNSET,
            choices=[UNSET, 'debug', 'info', 'warn', 'error', 'fatal'],
            description="Lowest severity of log lines shown. Unset: ROS's default, info",
        ),
        OpaqueFunction(function=start),
    ])

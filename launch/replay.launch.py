# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Play a bag, with its time, into the fusion node and record the latents to another bag.

The node subscribes to the model's topics where the bag has them, for an image also with
``/compressed`` appended, and to those that the argument ``topics`` names. Sensors that the bag
lacks are not enabled. When the bag has ended, everything ends.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import sys
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
from launch.event_handlers import OnProcessExit, OnProcessIO
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch.logging import get_logger
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from m2vae_ros.bags.writer import remove_bag
from m2vae_ros.launching.arguments import (
    check_model,
    choose_model,
    expanded,
    ignored_arguments,
    lower_case,
    node_name,
    read_sensors,
    UNSET,
)
from m2vae_ros.launching.last_words import LastWords
from m2vae_ros.launching.parameter_file import ParameterFile
from m2vae_ros.launching.replay_arguments import check_output, replay_parameters
from m2vae_ros.parent import launch_environment

SHARE = Path(get_package_share_directory('m2vae_ros'))
DEFAULT_MODEL = SHARE / 'config' / 'models' / 'default.safetensors'
DEFAULT_PARAMETERS = SHARE / 'config' / 'fusion.yaml'
OUTPUT_DELAY = 0.3  # s after the end of a process, for the last of its output


class Replay:
    """
    The order in which a replay ends: the player, then the recorder, then the launch.

    If a process ends early, the launch ends with an exit code other than 0 and the reason, and the
    recording is removed, so that the same command may be given again.

    Parameters
    ----------
    fusion, player, recorder
        The nodes.
    output
        Folder of the bag that the recorder writes.

    """

    def __init__(self, fusion: Node, player: Node, recorder: Node, output: Path) -> None:
        self._nodes = {'the fusion node': fusion, 'the player': player, 'the recorder': recorder}
        self._player, self._recorder, self._output = player, recorder, output
        self._has_failed = self._is_played = False

    def handlers(self) -> list[LaunchDescriptionEntity]:
        """Return what registers the event handlers; to be started before the nodes."""
        entities: list[LaunchDescriptionEntity] = []
        for name, node in self._nodes.items():
            said = LastWords(name)

            def hear(event: Any, said: LastWords = said) -> None:
                said.hear(event.text)

            def on_exit(
                event: ProcessExited, context: LaunchContext, node: Node = node,
                said: LastWords = said,
            ) -> list[LaunchDescriptionEntity]:
                return self._on_exit(node, said, event.returncode, context)

            entities += [
                RegisterEventHandler(OnProcessExit(target_action=node, on_exit=on_exit)),
                RegisterEventHandler(OnProcessIO(
                    target_action=node, on_stdout=hear, on_stderr=hear,
                )),
            ]
        return entities

    def _on_exit(
        self, node: Node, said: LastWords, exit_code: int, context: LaunchContext
    ) -> list[LaunchDescriptionEntity]:
        if context.is_shutdown or self._has_failed:
            if node is self._recorder and self._has_failed:
                remove_bag(self._output)
            return []
        if node is self._player and exit_code == 0:
            self._is_played = True
            return []  # the recorder ends by itself, after the last latents
        if node is self._recorder and exit_code == 0 and self._is_played:
            if self._output.exists():
                return [EmitEvent(event=Shutdown(reason='the bag has ended'))]
            return self._fail(lambda: 'nothing was recorded: no set of the bag was fused')
        return self._fail(lambda: said.reason(exit_code))

    def _fail(self, reason: Callable[[], str]) -> list[LaunchDescriptionEntity]:
        """End with an exception: it is the only way to an exit code other than 0."""
        self._has_failed = True

        def fail(context: LaunchContext) -> None:
            remove_bag(self._output)
            raise RuntimeError(f'the replay has failed: {reason()}')

        return [TimerAction(period=OUTPUT_DELAY, actions=[OpaqueFunction(function=fail)])]


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the fusion node, the recorder and the player."""
    values = context.launch_configurations
    logger = get_logger('replay.launch')
    known = [argument.name for argument in arguments()]
    for problem in ignored_arguments(sys.argv, known, Path(__file__).name):
        logger.warning(problem)
    name = node_name(values, 'fusion')
    file = ParameterFile(values['params_file'])
    in_file = file.parameters_of(name)
    model = choose_model(values, in_file, DEFAULT_MODEL)
    parameters, topics = replay_parameters(values, model, in_file, logger.warning)
    sensors = read_sensors(model)
    typed = {'device': values['device']} if values['device'] != UNSET else {}
    file.check(name, sensors, typed, overridden=parameters)
    check_model(model)
    output = expanded(values['output'])
    check_output(output)
    if file.path != DEFAULT_PARAMETERS:
        for problem in file.unused(name, sensors):
            logger.warning(problem)
    parameters |= typed
    common: dict[str, Any] = {
        'package': 'm2vae_ros', 'output': 'screen', 'namespace': values['namespace'],
        'ros_arguments': ['--log-level', values['log_level']] if values['log_level'] else [],
        'additional_env': launch_environment(),
    }
    fusion = Node(
        executable='fusion_node', name='fusion',
        parameters=[str(path) for path in (file.path, *file.override(name, parameters))],
        **common,
    )
    recorder = Node(
        executable='latent_recorder', name='latent_recorder',
        parameters=[{
            'output': ParameterValue(str(output), value_type=str), 'use_sim_time': True,
            'end_with_clock': True,
        }], **common,
    )
    player = Node(
        executable='m2vae', name='player', arguments=[
            'play', str(expanded(values['bag']).absolute()), '--rate', values['rate'],
            '--start-offset', values['start_offset'],
            *(['--loop'] if values['loop'] == 'true' else []),
            *(['--pause'] if values['pause'] == 'true' else []),
            '--topics', *topics, '--wait-for', *topics, f'{name}/latent',
        ], **common,
    )
    replay = Replay(fusion, player, recorder, output)
    return [*replay.handlers(), fusion, recorder, player]


def arguments() -> list[DeclareLaunchArgument]:
    """Return the arguments of this file."""
    switch = ['true', 'false']
    return [
        DeclareLaunchArgument('bag', description='Folder or file of the bag to play'),
        DeclareLaunchArgument(
            'output', description='Folder for the bag of latents; must not exist',
        ),
        DeclareLaunchArgument(
            'model', default_value=UNSET,
            description='Model file (.safetensors). Unset: that of params_file, else the '
            'installed default model, which knows only the simulated robot',
        ),
        DeclareLaunchArgument(
            'params_file', default_value=str(SHARE / 'config' / 'fusion.yaml'),
            description='Parameter file of the fusion node; topics, use_sim_time, autostart and '
            'backlog in it are overridden',
        ),
        DeclareLaunchArgument(
            'topics', default_value=UNSET,
            description="Where the bag's topics differ from the model's: SENSOR=TOPIC, separated "
            'by spaces',
        ),
        DeclareLaunchArgument(
            'slop', default_value=UNSET,
            description='How far stamps of one set may lie apart, s. Unset: that of params_file',
        ),
        DeclareLaunchArgument(
            'max_wait', default_value=UNSET,
            description='How long a measurement waits for the others, s. Unset: that of '
            'params_file',
        ),
        DeclareLaunchArgument(
            'timeout', default_value=UNSET,
            description='How long a silent sensor is still waited for, s. Unset: that of '
            'params_file',
        ),
        DeclareLaunchArgument(
            'offsets', default_value=UNSET,
            description="By how much sensors' stamps are ahead: SENSOR=SECONDS, separated by "
            'spaces. Unset: those of params_file',
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
    ]


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and what they start."""
    switches = ['loop', 'pause', 'log_level']
    return LaunchDescription([
        OpaqueFunction(function=lambda context: lower_case(
            context.launch_configurations, switches
        )),
        *arguments(),
        OpaqueFunction(function=start),
    ])

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Start the simulated robot and the fusion node that subscribes to it.

The arguments are those of ``fusion.launch.py``; ``namespace``, ``<name>_topic`` and the topics in
``params_file`` also apply to the robot's topics, and the robot takes its own parameters from
``params_file``. The robot gets the Fast DDS profile for large messages, which a camera driver
needs too: with the default profile its images are lost.
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import IncludeLaunchDescription, OpaqueFunction, SetLaunchConfiguration
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

from m2vae_ros.launching.arguments import node_name, public_topic, UNSET
from m2vae_ros.launching.parameter_file import ParameterFile
from m2vae_ros.node.share import large_messages_environment
from m2vae_ros.parent import launch_environment

SHARE = Path(get_package_share_directory('m2vae_ros'))
TOPICS = {'camera': 'camera/image_raw', 'lidar': 'scan', 'depth': 'depth/points'}
# Where a sensor is mounted, metres from the robot's centre on the floor, and its axes (REP-103).
OPTICAL = ['--roll', '-1.5707963', '--yaw', '-1.5707963']
FRAMES = {
    'laser': ['--z', '0.25'],
    'camera_optical_frame': ['--x', '0.1', '--z', '0.45', *OPTICAL],
    'depth_optical_frame': ['--x', '0.1', '--z', '0.45', *OPTICAL],
}


def robot(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the robot's node, remapped to the topics that the fusion node subscribes to."""
    values = context.launch_configurations
    file = ParameterFile(values['params_file'])
    fusion, name = node_name(values, 'fusion'), node_name(values, 'robot')
    of_fusion = file.parameters_of(fusion)
    targets = {
        topic: public_topic(
            values.get(f'{sensor}_topic') or of_fusion.get(f'{sensor}.topic') or topic, fusion
        ) for sensor, topic in TOPICS.items()
    }
    clock = {'use_sim_time': values['use_sim_time'] == 'true'}
    if values['use_sim_time'] == UNSET:  # the robot has the same clock as the fusion node
        clock = {'use_sim_time': of_fusion.get('use_sim_time', False)} | file.parameters_of(name)
    override = file.override(name, {'use_sim_time': clock['use_sim_time']})
    nodes = [Node(
        package='m2vae_ros', executable='robot_node', name='robot', output='screen',
        namespace=values['namespace'],
        parameters=[str(path) for path in (file.path, *override)],
        remappings=[item for item in targets.items() if item[0] != item[1]],
        ros_arguments=['--log-level', values['log_level']] if values['log_level'] else [],
        additional_env=large_messages_environment() | launch_environment(),
    )]
    if values['rviz'] == 'true':
        nodes += [Node(
            package='tf2_ros', executable='static_transform_publisher', name=f'{frame}_mount',
            output='log', namespace=values['namespace'],
            arguments=['--frame-id', 'base_link', '--child-frame-id', frame, *mount],
        ) for frame, mount in FRAMES.items()]
    return nodes


def generate_launch_description() -> LaunchDescription:
    """Return the launch of the fusion node and the robot."""
    return LaunchDescription([
        SetLaunchConfiguration('with_robot', 'true'),  # whose parameters params_file may hold
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(SHARE / 'launch' / 'fusion.launch.py'))
        ),
        OpaqueFunction(function=robot),
    ])

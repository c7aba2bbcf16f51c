# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The reference of nodes and launch files says what the code does, and its snippet runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
import re
from typing import Any

import pytest

from m2vae_ros.simulation.robot import SENSORS
from support.documents import code, NODE, REPLAY, ROBOT, ROOT, rows, section
from support.domains import reserved_domain
from support.processes import Process

# The unit at the end of a descriptor's sentence -> the same in a document.
UNITS = {
    's': 's', 'Hz': 'Hz', 'metres': 'm', 'grey levels of 255': 'grey levels',
    'relative': 'relative',
}
OF_EVERY_NODE = re.compile(r'use_sim_time|start_type_description_service|qos_overrides\..*')


@pytest.fixture(scope='module')
def nodes(untrained_model: Path) -> Iterator[dict[str, Any]]:
    """Yield both nodes, `fusion` active, in this process and in a DDS domain of their own."""
    rclpy = pytest.importorskip('rclpy', reason='needs rclpy: source a ROS 2 installation')
    from rclpy.parameter import Parameter

    from m2vae_ros.node.fusion_node import FusionNode
    from m2vae_ros.node.robot_node import RobotNode

    with reserved_domain() as domain:
        rclpy.init(domain_id=domain)
        made: dict[str, Any] = {}
        try:
            made['robot'] = RobotNode()
            made['fusion'] = FusionNode(parameter_overrides=[
                Parameter('model', value=str(untrained_model)), Parameter('device', value='cpu'),
                Parameter('autostart', value=False),
            ])
            made['fusion'].trigger_configure()
            made['fusion'].trigger_activate()
            yield made
        finally:
            for node in made.values():
                node.destroy_node()
            rclpy.shutdown()


def declared(node: Any) -> dict[str, dict[str, Any]]:
    """Return type, unit and range of a node's parameters, written as in a document's table."""
    from rclpy.parameter import Parameter

    found = {}
    for name in node.get_parameters_by_prefix(''):
        if OF_EVERY_NODE.fullmatch(name):
            continue
        descriptor = node.describe_parameter(name)
        limits = [*descriptor.integer_range, *descriptor.floating_point_range]
        choices = descriptor.additional_constraints.removeprefix('one of ')
        unit = re.search(rf', ({"|".join(UNITS)})(?:;|$)', descriptor.description)
        share = descriptor.description.startswith('Share ')
        found[name] = {
            'Type': Parameter.Type(descriptor.type).name.lower(),
            'Unit': UNITS[unit[1]] if unit else 'share' if share else '',
            'Range': f'{limits[0].from_value:.12g} .. {limits[0].to_value:.19g}' if limits
            else choices,
            'read only': descriptor.read_only,
        }
    return found


def documented(document: str) -> dict[str, dict[str, Any]]:
    """Return the same from a document; a row about every sensor stands for each of them."""
    found = {}
    for row in rows(section(document, 'Parameters')):
        fact = {key: row[key] for key in ('Type', 'Unit', 'Range')}
        fact['read only'] = 'Read-only.' in row['Meaning']
        for spec in SENSORS if '<sensor>' in row['Name'] else SENSORS[:1]:
            if 'Images only' not in row['Meaning'] or spec.kind == 'image':
                found[row['Name'].replace('<sensor>', spec.name)] = fact
    return found


def format_default(value: Any) -> str:
    """Return a default as a document's table shows it."""
    if value == '':
        return "''"
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize(('node', 'document'), [('fusion', NODE), ('robot', ROBOT)],
                         ids=['fusion', 'robot'])
def test_every_parameter_is_listed_with_its_type_unit_and_range(
    nodes: dict[str, Any], node: str, document: str,
) -> None:
    assert documented(document) == declared(nodes[node])


def test_the_listed_defaults_are_those_of_the_code(nodes: dict[str, Any]) -> None:
    from dataclasses import asdict

    from m2vae_ros.node.parameters import FusionParameters, SensorParameters

    expected = {name: format_default(value) for name, value in asdict(FusionParameters()).items()}
    expected |= {
        f'<sensor>.{name}': format_default(value)
        for name, value in asdict(SensorParameters()).items()
    }
    expected['<sensor>.topic'] = "the model's topic"
    listed = {row['Name']: row['Default'] for row in rows(section(NODE, 'Parameters'))}
    assert listed == expected
    of_robot = {row['Name']: row['Default'] for row in rows(section(ROBOT, 'Parameters'))}
    assert of_robot == {
        name: format_default(nodes['robot'].get_parameter(name).value) for name in of_robot
    }


@pytest.mark.parametrize(('node', 'document', 'title'), [
    ('fusion', NODE, 'Published Topics'), ('robot', ROBOT, 'Published Topics'),
    ('fusion', NODE, 'Subscribed Topics'),
], ids=['fusion publishes', 'robot publishes', 'fusion subscribes'])
def test_every_topic_is_listed_with_its_type(
    nodes: dict[str, Any], node: str, document: str, title: str,
) -> None:
    of_every_node = {'/rosout', '/parameter_events', '/clock', f'/{node}/transition_event'}
    chosen = nodes[node]
    asked = (chosen.get_subscriber_names_and_types_by_node if 'Subscribed' in title
             else chosen.get_publisher_names_and_types_by_node)
    listed = {
        chosen.resolve_topic_name(row['Topic']): [row['Type']]
        for row in rows(section(document, title))
    }
    assert {name: types for name, types in asked(node, '/') if name not in of_every_node} == listed


@pytest.mark.parametrize(('launch_file', 'document', 'title'), [
    ('fusion.launch.py', NODE, 'Launch arguments'), ('replay.launch.py', REPLAY, 'One command'),
], ids=['fusion', 'replay'])
def test_the_launch_arguments_are_those_of_the_launch_file(
    launch_file: str, document: str, title: str,
) -> None:
    tree = ast.parse((ROOT / 'launch' / launch_file).read_text())
    switch = {'true', 'false'}
    expected = {}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == 'DeclareLaunchArgument':
            given = {word.arg: ast.unparse(word.value) for word in call.keywords}
            name = ast.unparse(call.args[0]).strip("f'").replace('{sensor}', '<name>')
            choices = given.get('choices', '')
            expected[name] = given.get('default_value', ''), (
                switch if 'switch' in choices.lower() else set(re.findall(r"'(\w+)'", choices))
            )
    defaults = {
        '': '', 'unset': 'UNSET',
        'config/fusion.yaml of the package': "str(SHARE / 'config' / 'fusion.yaml')",
    }
    listed = {row['Argument']: row for row in rows(section(document, title))}
    assert set(listed) == set(expected)
    for name, row in listed.items():
        default, choices = expected[name]
        assert defaults.get(row['Default'], repr(row['Default'])) == default
        if choices and 'Values' in row:
            assert set(row['Values'].split(', ')) == choices


def test_the_python_snippet_reads_a_latent_over_dds(tmp_path: Path) -> None:
    pytest.importorskip('rclpy', reason='needs rclpy: source a ROS 2 installation')
    import numpy as np
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from sensor_msgs.msg import PointCloud2
    from std_msgs.msg import String

    from m2vae_ros.fusion.latent_message import Latent
    from m2vae_ros.node.messages import latent_to_message
    from m2vae_ros.vae.header import ModelHeader
    from support.node_processes import Peer

    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    message = latent_to_message(Latent(
        1, np.array([0.5, -2, 3, 9], np.float32), np.log(np.array([4, 1, 9, 1], np.float32)), 0b101
    ))
    expected = 'camera+depth [ 0.5 -2.   3. ] [2. 1. 3.]'
    snippet = code('python', section(NODE, 'Read a latent'))
    with (
        reserved_domain() as domain,
        closing(Peer(domain)) as peer,
        Process(snippet, [], tmp_path / 'log', ROS_DOMAIN_ID=str(domain)) as reader,
    ):
        about = peer.node.create_publisher(String, '/fusion/model', latched)
        about.publish(String(data=ModelHeader(SENSORS, (), {}).to_json()))
        latents = peer.node.create_publisher(PointCloud2, '/fusion/latent', 10)

        def is_read() -> bool:
            latents.publish(message)
            return expected in reader.log

        reader.wait_for(is_read, expected)

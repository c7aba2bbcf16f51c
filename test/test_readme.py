# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
What the README says is so: its tables are those of the code, its snippet runs, its files exist.

    python test/test_readme.py [MODEL]

prints the table of reconstruction errors as the README holds it, from a model file.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
import os
from pathlib import Path
import re
import subprocess
import sys
from typing import Any

import pytest

from m2vae_ros.cli import COMMANDS
from m2vae_ros.evaluation.reconstruction import ReconstructionError, table
from m2vae_ros.installation import RUNTIME
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.header import read_header
from m2vae_ros.vae.model import Architecture, M2VAE
from support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text()
DOCUMENTS = sorted([ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *(ROOT / 'docs').glob('*.md')])
MODEL = ROOT / 'config' / 'models' / 'default.safetensors'
DOMAIN = 85
# The unit as a descriptor's sentence ends in it -> as the README has it.
UNITS = {
    's': 's', 'Hz': 'Hz', 'metres': 'm', 'grey levels of 255': 'grey levels',
    'relative': 'relative',
}
EVERY_NODE = re.compile(r'use_sim_time|start_type_description_service|qos_overrides\..*')
COMMENT, END = '<!-- reconstruction table -->', '<!-- end -->'


def section(title: str) -> str:
    """Return what stands below a heading, up to the next one."""
    found = re.search(rf'^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)', README, re.M | re.S)
    assert found, f'README has no section {title!r}'
    return found[1]


def rows(text: str) -> list[dict[str, str]]:
    """Return the rows of all tables in a text, column -> cell without code marks."""
    found = []
    for block in re.findall(r'(?:^\|.*\n)+', text, re.M):
        header, _, *lines = ([cell.strip().replace('`', '') for cell in line.split('|')[1:-1]]
                             for line in block.splitlines())
        found += [dict(zip(header, line, strict=True)) for line in lines]
    return found


def code(language: str, text: str = README) -> str:
    """Return the code blocks of a language."""
    return '\n'.join(re.findall(rf'```{language}\n(.*?)```', text, re.S))


def reconstruction_table(model: Path) -> str:
    """Return what stands between the README's comments, from the header of a model file."""
    measured = read_header(model).evaluation['reconstruction']
    errors = [
        ReconstructionError(e['sensor'], tuple(e['from']), e['error'], e['mean_predictor_error'])
        for e in measured
    ]
    return f'```text\n{table(errors)}\n```'


@pytest.fixture(scope='module')
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Yield both nodes, the fusion active, in this process and on a domain of their own."""
    rclpy = pytest.importorskip('rclpy', reason='needs rclpy: source a ROS 2 installation')
    from rclpy.parameter import Parameter

    from m2vae_ros.node.fusion_node import FusionNode
    from m2vae_ros.node.robot_node import RobotNode

    path = tmp_path_factory.mktemp('model') / 'small.safetensors'
    small = M2VAE(SENSORS, Architecture(latent_size=4, feature_size=8, hidden_size=8))
    checkpoint.save(path, small, checkpoint.describe(small))
    rclpy.init(domain_id=DOMAIN)
    made: dict[str, Any] = {}
    try:
        made['robot'] = RobotNode()
        made['fusion'] = FusionNode(parameter_overrides=[
            Parameter('model', value=str(path)), Parameter('device', value='cpu'),
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
    """Return what a node says of its parameters, as the README's rows have it."""
    from rclpy.parameter import Parameter

    found = {}
    for name in node.get_parameters_by_prefix(''):
        if EVERY_NODE.fullmatch(name):
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


def written(title: str) -> dict[str, dict[str, Any]]:
    """Return the README's rows about parameters, those of all sensors for each of them."""
    found = {}
    for row in rows(section(title)):
        fact = {key: row[key] for key in ('Type', 'Unit', 'Range')}
        fact['read only'] = 'Read-only.' in row['Meaning']
        for spec in SENSORS if '<sensor>' in row['Name'] else SENSORS[:1]:
            if 'Images only' not in row['Meaning'] or spec.kind == 'image':
                found[row['Name'].replace('<sensor>', spec.name)] = fact
    return found


def in_words(value: Any) -> str:
    """Return a default as the README has it."""
    if value == '':
        return "''"
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_the_first_statement_is_not_to_trust_the_shipped_model() -> None:
    first = README.split('\n\n')[1]
    assert 'knows only a simulated world' in first
    assert 'train on your own bags before you trust' in first.replace('\n', ' ')


@pytest.mark.parametrize(('node', 'title'), [
    ('fusion', 'Parameters'), ('robot', 'Parameters of the robot'),
])
def test_every_parameter_is_listed_with_its_type_unit_and_range(
    nodes: dict[str, Any], node: str, title: str,
) -> None:
    assert written(title) == declared(nodes[node])


def test_the_listed_defaults_are_those_of_the_code(nodes: dict[str, Any]) -> None:
    from dataclasses import asdict

    from m2vae_ros.node.parameters import FusionParameters, SensorParameters

    expected = {name: in_words(value) for name, value in asdict(FusionParameters()).items()}
    expected |= {
        f'<sensor>.{name}': in_words(value) for name, value in asdict(SensorParameters()).items()
    }
    expected['<sensor>.topic'] = "the model's topic"
    listed = {row['Name']: row['Default'] for row in rows(section('Parameters'))}
    assert listed == expected
    of_robot = {row['Name']: row['Default'] for row in rows(section('Parameters of the robot'))}
    assert of_robot == {
        name: in_words(nodes['robot'].get_parameter(name).value) for name in of_robot
    }


@pytest.mark.parametrize(('node', 'title'), [
    ('fusion', 'Published Topics'), ('robot', 'Published Topics of the robot'),
    ('fusion', 'Subscribed Topics'),
])
def test_every_topic_is_listed_with_its_type(
    nodes: dict[str, Any], node: str, title: str,
) -> None:
    of_every_node = {'/rosout', '/parameter_events', '/clock', f'/{node}/transition_event'}
    chosen = nodes[node]
    asked = (chosen.get_subscriber_names_and_types_by_node if 'Subscribed' in title
             else chosen.get_publisher_names_and_types_by_node)
    listed = {
        chosen.resolve_topic_name(row['Topic']): [row['Type']] for row in rows(section(title))
    }
    assert {name: types for name, types in asked(node, '/') if name not in of_every_node} == listed


def test_the_table_of_the_shipped_sensors_is_that_of_their_specs() -> None:
    expected = []
    for spec in SENSORS:
        from m2vae_ros.sensors.kinds import message_type

        sees = 'the whole image, resized'
        if spec.geometry:
            sides = {'angle': 'azimuth', 'azimuth': 'azimuth', 'elevation': 'elevation'}
            sees = ', '.join([
                f'{word} {spec.geometry[f"{key}_min"]:.3g} .. {spec.geometry[f"{key}_max"]:.3g} '
                f'rad' for key, word in sides.items() if f'{key}_min' in spec.geometry
            ] + [f'{spec.geometry["range_min"]:g} .. {spec.geometry["range_max"]:g} m'])
        expected.append({
            'Sensor': spec.name, 'Type': message_type(spec), 'Default topic': spec.topic,
            'Frame': spec.frame_id, 'Array': ' x '.join(map(str, spec.shape)), 'Sees': sees,
        })
    assert rows(section('On your robot'))[:len(SENSORS)] == expected


def test_the_launch_arguments_are_those_of_the_launch_file() -> None:
    tree = ast.parse((ROOT / 'launch' / 'fusion.launch.py').read_text())
    switch = {'true', 'false'}
    expected = {}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == 'DeclareLaunchArgument':
            given = {word.arg: ast.unparse(word.value) for word in call.keywords}
            name = ast.unparse(call.args[0]).strip("f'").replace('{sensor}', '<name>')
            choices = given.get('choices', '')
            expected[name] = given['default_value'], (
                switch if 'switch' in choices else set(re.findall(r"'(\w+)'", choices))
            )
    defaults = {
        'unset': 'UNSET', 'false': "'false'",
        'config/fusion.yaml of the package': "str(SHARE / 'config' / 'fusion.yaml')",
    }
    listed = {row['Argument']: row for row in rows(section('On your robot'))[len(SENSORS):]}
    assert set(listed) == set(expected)
    for name, row in listed.items():
        default, choices = expected[name]
        assert defaults[row['Default']] == default
        assert not choices or set(row['Values'].split(', ')) == choices


def test_the_python_snippet_reads_a_latent_over_dds(tmp_path: Path) -> None:
    rclpy = pytest.importorskip('rclpy', reason='needs rclpy: source a ROS 2 installation')
    import numpy as np
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from sensor_msgs.msg import PointCloud2
    from std_msgs.msg import String

    from m2vae_ros.fusion.latent_message import Latent
    from m2vae_ros.node.messages import latent_to_message
    from m2vae_ros.vae.header import ModelHeader

    script = tmp_path / 'latent_reader.py'
    script.write_text(code('python'))
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN + 1)
    node = rclpy.create_node('publisher', context=context)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    about = node.create_publisher(String, '/fusion/model', latched)
    about.publish(String(data=ModelHeader(SENSORS, (), {}).to_json()))
    latents = node.create_publisher(PointCloud2, '/fusion/latent', 10)
    message = latent_to_message(Latent(
        1, np.array([0.5, -2, 3, 9], np.float32), np.log(np.array([4, 1, 9, 1], np.float32)), 0b101
    ))
    with (tmp_path / 'output').open('w') as output:
        reader = subprocess.Popen(
            [sys.executable, str(script)], stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, 'ROS_DOMAIN_ID': str(DOMAIN + 1)},
        )
    wanted = 'camera+depth [ 0.5 -2.   3. ] [2. 1. 3.]'
    try:
        def is_read() -> bool:
            latents.publish(message)
            said = (tmp_path / 'output').read_text()
            assert reader.poll() is None, said
            return wanted in said

        wait_until(is_read, wanted)
    finally:
        reader.kill()
        reader.wait()
        node.destroy_node()
        rclpy.shutdown(context=context)


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_names_exists(document: Path) -> None:
    text = document.read_text()
    links = [link for link in re.findall(r'\]\(([^)#]+)\)', text) if '://' not in link]
    assert [link for link in links if not (document.parent / link).exists()] == []
    named = re.findall(
        r'\b((?:config|launch|test|benchmarks|docs|m2vae_ros)/[\w/.*-]*[\w/])', text
    )
    assert [name for name in named if not (ROOT / name).exists()] == []
    targets = set(re.search(r'^\.PHONY:(.*)$', (ROOT / 'Makefile').read_text(), re.M)[1].split())
    assert set(re.findall(r'`?\bmake ([a-z]+)`', text)) <= targets
    assert set(re.findall(r'^(?:    )?make ([a-z]+)', text, re.M)) <= targets
    assert set(re.findall(r'\bm2vae ([a-z]+) ?(?:-|`)', text)) <= set(COMMANDS)
    files = re.findall(r'ros2 launch m2vae_ros (\S+\.py)', text)
    assert [name for name in files if not (ROOT / 'launch' / name).is_file()] == []
    executables = set(re.findall(r'(\w+) = m2vae_ros', (ROOT / 'setup.py').read_text()))
    assert set(re.findall(r'ros2 run m2vae_ros (\w+)', text)) <= executables


def test_pip_is_told_the_versions_that_setup_asks_for() -> None:
    asked = code('bash', section('Installation with ROS 2'))
    for module in ('torch', 'safetensors'):
        assert f"'{RUNTIME[module]}'" in asked
    assert f"'{RUNTIME['numpy']},<2'" in asked


def test_the_reconstruction_table_is_that_of_the_shipped_model() -> None:
    shown = README.partition(COMMENT)[2].partition(END)[0].strip()
    assert shown == reconstruction_table(MODEL)


if __name__ == '__main__':
    print(reconstruction_table(Path(sys.argv[1]) if sys.argv[1:] else MODEL))

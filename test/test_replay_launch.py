# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The launch file that plays a bag into the node, really run where launch is importable."""

from __future__ import annotations

from pathlib import Path
import re

import pytest

from support.domains import reserved_domain
from support.launch_files import arguments_of, module_of, needs_launch, RUN, write_model
from support.processes import Process, ROOT
from support.waiting import slowdown


@needs_launch
def test_replay_lists_every_argument_with_a_description(package: Path) -> None:
    arguments = arguments_of(package, 'replay.launch.py')
    assert set(arguments) == {
        'bag', 'output', 'model', 'params_file', 'topics', 'device', 'rate', 'start_offset',
        'loop', 'pause', 'namespace', 'log_level',
    }
    for argument in arguments.values():
        assert argument.description not in ('', 'no description given')
    text = (ROOT / 'docs' / 'replay.md').read_text()
    rows = re.findall(r'^\| `(\w+)` \|(.*?)\|', text, re.M)
    written = {name: default.strip() for name, default in rows[:len(arguments)]}
    assert set(written) == set(arguments)
    shown = {'': None, 'unset': '', '`config/fusion.yaml` of the package': str(
        package / 'config' / 'fusion.yaml'
    )}
    for name, argument in arguments.items():
        default = argument.default_value and argument.default_value[0].text
        assert shown.get(written[name], written[name].strip('`')) == default, name


@needs_launch
def test_replay_sets_the_nodes_topics_to_those_of_the_bag(
    package: Path, tmp_path: Path,
) -> None:
    from support.bag_files import write_drive

    replay = module_of(package, 'replay.launch.py')
    drive = write_drive(
        tmp_path / 'drive', seconds=0.3, sensors=('camera', 'lidar'), compressed_images=True,
    )
    values = {'bag': str(drive), 'topics': '', 'model': write_model(
        tmp_path / 'model.safetensors', ('front', 'scan')
    )}
    parameters, topics = replay.sensor_parameters(values)
    assert (parameters['front.topic'], topics) == ('/scan', ['/scan'])
    with pytest.raises(RuntimeError, match=r'drive: .*/back/scan'):
        replay.sensor_parameters({**values, 'topics': 'front=/back/scan'})
    with pytest.raises(RuntimeError, match='must be SENSOR=TOPIC'):
        replay.sensor_parameters({**values, 'topics': '/scan'})
    assert replay.latent_topic('/robot1/') == '/robot1/fusion/latent'
    assert replay.latent_topic('') == '/fusion/latent'


@needs_launch
def test_the_replay_launch_records_the_latents_of_a_bag_and_ends(
    package: Path, tmp_path: Path,
) -> None:
    from m2vae_ros.replay.latents import read_latents
    from support.bag_files import write_drive

    drive = write_drive(tmp_path / 'drive', seconds=2.0, compressed_images=True)
    arguments = [
        f'bag:={drive}', f'output:={tmp_path / "latents"}', 'namespace:=robot3', 'device:=cpu',
        f'rate:={1 / slowdown():.3f}',
    ]
    launch_file = package / 'launch' / 'replay.launch.py'
    with (
        reserved_domain() as domain,
        Process(RUN, [launch_file, *arguments], tmp_path / 'log', session=True,
                ROS_DOMAIN_ID=str(domain), OMP_NUM_THREADS='1') as process,
    ):
        assert process.wait() == 0, process.log
    latents = read_latents(tmp_path / 'latents', '/robot3/fusion/latent').latents.values()
    assert sum(latent.sensors == 0b111 for latent in latents) > 15

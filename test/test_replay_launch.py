# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The launch file that plays a bag into the node, really run where launch is importable."""

from __future__ import annotations

import os
from pathlib import Path
import re
import signal
from typing import Any

import pytest
import yaml

from m2vae_ros.simulation.robot import SENSORS
from support.domains import reserved_domain
from support.launch_files import (
    arguments_of,
    Launched,
    launched,
    needs_launch,
    run_to_its_end,
)
from support.processes import ROOT
from support.waiting import slowdown


@needs_launch
def test_replay_lists_every_argument_with_a_description(package: Path) -> None:
    arguments = arguments_of(package, 'replay.launch.py')
    assert set(arguments) == {
        'bag', 'output', 'model', 'params_file', 'topics', 'slop', 'max_wait', 'timeout',
        'offsets', 'device', 'rate', 'start_offset', 'loop', 'pause', 'namespace', 'log_level',
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


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """Return a bag of two seconds of the simulated robot."""
    from support.bag_files import write_drive

    path: Path = write_drive(tmp_path / 'drive', seconds=2.0, compressed_images=True)
    return path


def feasible_rate() -> str:
    """Return the argument for a rate at which this machine keeps up now."""
    return f'rate:={0.5 / slowdown():.3f}'  # launch, player and recorder compute beside the node


def count_complete_sets(bag: Path, topic: str) -> int:
    from m2vae_ros.replay.latents import read_latents

    return sum(latent.sensors == 0b111 for latent in read_latents(bag, topic).latents.values())


@needs_launch
def test_the_replay_launch_records_the_latents_of_a_bag_and_ends(
    package: Path, tmp_path: Path, drive: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    arguments = [
        'bag:=~/drive', 'output:=~/latents', 'namespace:=robot3', 'device:=cpu', feasible_rate(),
    ]
    code, output = run_to_its_end(package, 'replay.launch.py', *arguments)
    assert code == 0, output
    assert count_complete_sets(tmp_path / 'latents', '/robot3/fusion/latent') > 15


@needs_launch
@pytest.mark.parametrize(('argument', 'parameters', 'reason'), [
    ('device:=abacus', {}, 'device:=abacus: must be auto, cpu, cuda or cuda:N'),
    ('log_level:=info', {'slop': -1.0}, 'slop is -1.0, must be a number with a point from 0.0 to'),
    ('log_level:=info', {'lidar': {'reliability': 'so so'}}, 'must be one of auto, reliable'),
    ('model:=~/damaged', {}, 'damaged: damaged: its content is not what was written (SHA-256)'),
    ('log_level:=info', {'qos_overrides': {'/scan': {'subscription': {'history': 'sometimes'}}}},
     'the fusion node ended with exit code 2: activate failed: no subscription to /scan, whose q'),
    ('topics:=lidar=/absent', {}, 'sensor lidar: no topic /absent; choose one with topics:='),
    ('bag:=~/empty', {}, 'empty: has no messages'),
    ('start_offset:=9', {}, 'start_offset:=9: must be a number from 0 to the length of the bag'),
], ids=[
    'device', 'parameter', "sensor's parameter", 'model', 'quality of service', 'topic',
    'empty bag', 'offset',
])
def test_a_replay_that_cannot_run_ends_with_the_reason_and_leaves_nothing(
    package: Path, tmp_path: Path, drive: Path, argument: str, parameters: dict[str, Any],
    reason: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    from m2vae_ros.bags.writer import BagWriter

    monkeypatch.setenv('HOME', str(tmp_path))
    with BagWriter(tmp_path / 'empty') as writer:
        writer.add_topic('/scan', 'sensor_msgs/msg/LaserScan')
    model = bytearray((package / 'config/models/default.safetensors').read_bytes())
    model[-1] ^= 1
    (tmp_path / 'damaged').write_bytes(model)
    (tmp_path / 'own.yaml').write_text(yaml.dump({'/**': {'ros__parameters': parameters}}))
    code, output = run_to_its_end(
        package, 'replay.launch.py', f'bag:={drive}', 'output:=~/latents',
        'params_file:=~/own.yaml', argument,
    )
    assert code == 1, output
    (line,) = (line for line in output.splitlines() if 'Caught exception in launch' in line)
    assert reason in line
    assert 'Traceback' not in output
    assert list(tmp_path.glob('*latents*')) == []


@needs_launch
@pytest.mark.parametrize(('executable', 'name'), [
    ('fusion_node', 'the fusion node'), ('latent_recorder', 'the recorder'),
    ('m2vae', 'the player'),
])
def test_a_process_that_is_killed_ends_the_replay_and_a_retry_works(
    package: Path, tmp_path: Path, drive: Path, executable: str, name: str,
) -> None:
    arguments = [f'bag:={drive}', f'output:={tmp_path / "latents"}', 'device:=cpu']
    with (
        reserved_domain() as domain,
        Launched(package, 'replay.launch.py', *arguments, 'loop:=True', domain=domain) as process,
    ):
        process.wait_for_line('warm after')
        pid = re.search(rf'{executable}-\d\]: process started with pid \[(\d+)\]', process.log)
        assert pid is not None
        os.kill(int(pid[1]), signal.SIGKILL)
        assert process.wait() == 1, process.log
    assert f'the replay has failed: {name} was ended by SIGKILL' in process.log
    assert list(tmp_path.glob('*latents*')) == []
    if executable != 'fusion_node':  # once is enough
        return
    code, output = run_to_its_end(package, 'replay.launch.py', *arguments, feasible_rate())
    assert code == 0, output
    assert count_complete_sets(tmp_path / 'latents', '/fusion/latent') > 15


@needs_launch
def test_a_replay_in_which_nothing_is_fused_fails(
    package: Path, tmp_path: Path, drive: Path,
) -> None:
    file = tmp_path / 'own.yaml'
    offsets = {spec.name: {'offset': 10.0} for spec in SENSORS}
    file.write_text(yaml.dump({'/**': {'ros__parameters': {'max_age': 1.0, **offsets}}}))
    code, output = run_to_its_end(
        package, 'replay.launch.py', f'bag:={drive}', f'output:={tmp_path / "latents"}',
        'device:=cpu', f'params_file:={file}',
    )
    assert code == 1, output
    assert 'the replay has failed: nothing was recorded' in output
    assert list(tmp_path.glob('*latents*')) == []


@needs_launch
def test_an_interrupted_replay_ends_well_and_keeps_what_it_has_recorded(
    package: Path, tmp_path: Path, drive: Path,
) -> None:
    arguments = [
        f'bag:={drive}', f'output:={tmp_path / "latents"}', 'device:=cpu', 'loop:=true',
        feasible_rate(),
    ]
    with launched(package, 'replay.launch.py', *arguments) as process:
        process.wait_for_line('the clock jumped by')  # the second round has begun
    assert count_complete_sets(tmp_path / 'latents', '/fusion/latent') > 15


@needs_launch
def test_a_replay_of_a_bag_that_lacks_a_sensor_records_latents_and_says_so_first(
    package: Path, tmp_path: Path,
) -> None:
    from support.bag_files import write_drive

    write_drive(tmp_path / 'drive', seconds=2.0, sensors=('camera', 'lidar'))
    code, output = run_to_its_end(
        package, 'replay.launch.py', f'bag:={tmp_path / "drive"}',
        f'output:={tmp_path / "latents"}', 'device:=cpu', feasible_rate(),
    )
    assert code == 0, output
    assert output.index('without depth: no topic /depth/points') < output.index('[fusion]')
    assert (tmp_path / 'latents').is_dir()

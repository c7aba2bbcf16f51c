# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""`m2vae inspect`: header, sizes and times of a model file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from m2vae_ros import cli
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.model import Architecture, M2VAE
from support.hostile_files import joined, split

SHIPPED = Path(__file__).resolve().parents[1] / 'config' / 'models' / 'default.safetensors'
SMALL = Architecture(latent_size=4, feature_size=8, hidden_size=8)


def inspected(capsys, *words):
    assert cli.main(['inspect', *map(str, words)]) == 0
    return capsys.readouterr().out


@pytest.fixture
def small(tmp_path):
    """Return a function that writes a small model with entries of its header."""
    def write(subsets=None, **knowledge):
        path = tmp_path / 'small.safetensors'
        model = M2VAE(SENSORS, SMALL, subsets)
        checkpoint.save(path, model, checkpoint.describe(model, **knowledge))
        return path, model

    return write


def test_everything_is_shown_of_the_shipped_model(capsys):
    output = inspected(capsys, SHIPPED, '--device', 'cpu')
    for spec in SENSORS:
        assert spec.name in output
        assert spec.kind in output
    for words in ('camera+lidar+depth', 'name: m2vae', 'latent_size: 96', 'simulated: 4000',
                  'lidar/front', 'ms', 'MB', 'CPU threads: 1'):
        assert words in output


def test_the_json_is_the_header_with_sizes_and_times(capsys, small):
    path, model = small(
        [('camera',), ('camera', 'lidar')], objective={'name': 'm2vae'},
        provenance={'seed': 3}, calibration={'temperature': {'camera': 2.0}},
    )
    found = json.loads(inspected(capsys, path, '--json', '--device', 'cpu', '--threads', 2))
    assert found['bytes'] == path.stat().st_size
    assert found['sensors'] == [spec.to_dict() for spec in SENSORS]
    assert found['trained_subsets'] == [['camera'], ['camera', 'lidar']]
    assert found['calibration'] == {'temperature': {'camera': 2.0}}
    assert found['provenance'] == {'seed': 3}
    sizes = found['parameters']
    parts = sum(sum(sizes[part].values()) for part in ('trunks', 'encoders', 'decoders'))
    assert parts == sizes['total'] == sum(p.numel() for p in model.parameters())
    assert found['forward']['threads'] == 2
    assert [row['subset'] for row in found['forward']['subsets']] == found['trained_subsets']
    assert all(row['fuse_ms'] > 0 for row in found['forward']['subsets'])


def test_a_file_without_a_digest_says_so_and_gets_one(capsys, small):
    path, _ = small()
    assert 'SHA-256 digest' in inspected(capsys, path, '--device', 'cpu')
    path.write_bytes(joined(*split(path.read_bytes())))
    assert 'no digest, so damage' in inspected(capsys, path, '--device', 'cpu')
    assert json.loads(inspected(capsys, path, '--json', '--device', 'cpu'))['has_digest'] is False
    assert inspected(capsys, path, '--add-digest') == f'{path}: a digest was added\n'
    assert inspected(capsys, path, '--add-digest') == f'{path}: has a digest already\n'
    assert json.loads(inspected(capsys, path, '--json', '--device', 'cpu'))['has_digest'] is True
    assert cli.main(['inspect', str(path.parent / 'none'), '--add-digest']) == 2
    assert 'cannot be read' in capsys.readouterr().err


def test_a_file_with_a_short_header_is_shown_too(capsys, small):
    path, _ = small()
    output = inspected(capsys, path, '--device', 'cpu')
    assert 'Held-out errors: none in the file' in output
    assert 'Provenance: not in the file' in output


@pytest.mark.parametrize('evaluation', [
    {'reconstruction': 7}, {'reconstruction': [{'sensor': 'camera'}]}, {'reconstruction': []},
    {'reconstruction': [
        {'sensor': 'camera', 'from': ['lidar'], 'error': 1, 'mean_predictor_error': 0}]},
])
def test_errors_of_another_form_are_left_out(capsys, small, evaluation):
    path, _ = small(evaluation=evaluation)
    assert 'Held-out errors: none' in inspected(capsys, path, '--device', 'cpu')


def test_control_characters_of_a_header_do_not_reach_the_terminal(capsys, small):
    path, _ = small(
        provenance={'data': '\x1b[2J\x1b]0;owned\x07 [red]x[/red] [/]', '\x1b[31m': 1},
        objective={'name': '\u202egnp.exe', 'note': 'y' * 100_000},
    )
    output = inspected(capsys, path, '--device', 'cpu')
    assert not {'\x1b', '\x07', '\u202e'} & set(output)
    assert '[red]x[/red] [/]' in output
    assert len(output) < 10_000


@pytest.mark.parametrize(('words', 'reason'), [
    ([SHIPPED, '--device', 'abacus'], 'abacus'),
    ([SHIPPED, '--threads', '0'], '--threads 0'),
    (['absent.safetensors'], 'absent.safetensors: cannot be read'),
    ([Path(__file__)], 'not a whole .safetensors file'),
])
def test_bad_input_is_one_line(capsys, words, reason):
    assert cli.main(['inspect', *map(str, words)]) == 2
    output = capsys.readouterr()
    assert output.out == ''
    assert output.err.count('\n') == 1
    assert reason in output.err


def test_the_measurement_leaves_the_threads_as_they_were(capsys, small):
    before = torch.get_num_threads()
    inspected(capsys, small()[0], '--device', 'cpu', '--threads', before + 1)
    assert torch.get_num_threads() == before

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Options that nobody means: each ends in one line that names it, and nothing is written."""

from __future__ import annotations

import argparse
import shlex

import pytest

pytest.importorskip('rosbags', reason='needs rosbags: pip install rosbags')

from m2vae_ros import cli  # noqa: E402
from m2vae_ros.bags.bag import Bag  # noqa: E402
from m2vae_ros.bags.sensors_file import propose  # noqa: E402
from m2vae_ros.commands.option_flags import add_options, options_of  # noqa: E402
from m2vae_ros.training.options import TrainingOptions  # noqa: E402
from support.bag_files import write_drive  # noqa: E402
from support.processes import ROOT  # noqa: E402

HUGE = 10**20
TRAIN = ('train --bag bag --sensors sensors.yaml --out model.safetensors --batch-size 4 '
         '--hidden-size 16 --feature-size 16 --latent-size 4 ')
SIMULATED = 'train --simulated --out model.safetensors --batch-size 4 '
EVALUATE = f'evaluate --model {ROOT}/config/models/default.safetensors --bag bag --report report '
PLAY = 'play bag '
RECORD = 'record --out other '
ODD = [
    *[(TRAIN, f'--{name} {value}') for name, values in {
        'steps': (HUGE, 0, -1, 'nan', '1e3', ''),
        'hidden-size': (10**9, HUGE, 0, -1),
        'latent-size': (10**9, HUGE, 0, -4),
        'feature-size': (10**9, HUGE, 0),
        'batch-size': (HUGE, 0, -1),
        'learning-rate': ('nan', 'inf', -1, 0, '1e300'),
        'seed': (HUGE, -1),
        'patience': (HUGE, -1),
        'validate-every': (HUGE, 0),
        'slop': ('nan', -1, 'inf', '1e300'),
        'max-wait': ('inf', '1e300', -1),
        'timeout': ('1e300', 'nan'),
        'queue-size': (0, HUGE),
        'max-age': ('1e300', 'nan'),
        'max-future': ('nan', -1),
        'offset': ('camera=nan', 'camera=1e300', 'x', '=1'),
        'clock': ('wall',),
        'topic': ('x', 'camera=', '=/x'),
        'objective': ('none',),
        'heads': ('two',),
        'precision': ('8',),
    }.items() for value in values],
    *[(SIMULATED, f'--{name} {value}') for name, values in {
        'worlds': (HUGE, 0), 'samples-per-world': (HUGE, 0), 'test-worlds': (-1,),
        'processes': (HUGE, 0, 10_000), 'slop': (0.2,), 'offset': ('lidar=1',),
    }.items() for value in values],
    *[(EVALUATE, f'--{name} {value}') for name, values in {
        'device': ('meta', 'toaster', "''", 'cpu:99', 'mkldnn', 'vulkan', 'cuda:99'),
        'threads': (HUGE, 0), 'samples': (HUGE, -1), 'draws': (HUGE, 0), 'moments': (HUGE, -1),
        'calibration-samples': (0,), 'slop': ('nan',), 'max-wait': ('1e300',),
        'offset': ('camera=1e300', 'sonar=1'),
    }.items() for value in values],
    *[(PLAY, f'--{name} {value}') for name, values in {
        'rate': (2000, '1e300', 0, -1, 'nan', 'inf', 'x'),
    }.items() for value in values],
    *[(RECORD, f'--{name} {value}') for name, values in {
        'seconds': ('nan', -1, 0, '1e300', 'x'), 'seed': (HUGE, -1), 'camera': ('gif',),
        'fault': ('x', 'camera:lost=2@1-', 'camera:offset=1e300', 'sonar:silent'),
    }.items() for value in values],
    (TRAIN.replace('sensors.yaml', '/dev/zero'), ''),
    (TRAIN.replace('sensors.yaml', 'nested.yaml'), ''), (TRAIN.replace('sensors.yaml', 'bag'), ''),
    ('inspect nowhere', ''), ('inspect /dev/zero', ''), ('sensors --bag nowhere', ''),
    ('compare bag nowhere', ''), ('play nowhere', ''),
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('odd')
    with Bag(write_drive(folder / 'bag', seconds=1.0)) as bag:
        (folder / 'sensors.yaml').write_text(propose(bag))
    (folder / 'nested.yaml').write_text(5000 * '[')
    return folder


def test_enough_odd_options_are_tried():
    assert len(set(ODD)) == len(ODD) >= 84


def test_the_largest_seed_is_no_odd_option():
    parser = argparse.ArgumentParser()
    add_options(parser, TrainingOptions)
    arguments = parser.parse_args(['--seed', '4294967295'])
    assert options_of(TrainingOptions, arguments).seed == 2**32 - 1


@pytest.mark.parametrize(('command', 'option'), ODD, ids=[f'{c.split()[0]} {o}' for c, o in ODD])
def test_an_odd_option_ends_in_one_line_and_writes_nothing(
    folder, monkeypatch, capsys, command, option,
):
    monkeypatch.chdir(folder)
    before = sorted(path.name for path in folder.iterdir() if 'cache' not in path.name)
    try:
        code = cli.main(shlex.split(command + option))
    except SystemExit as exit_:  # of argparse
        code = exit_.code
    assert code == 2
    said = capsys.readouterr().err
    assert 'Traceback' not in said
    assert ' error: ' in said.splitlines()[-1]
    if option:
        name = option.removeprefix('--').partition(' ')[0]
        assert name in said.splitlines()[-1].replace('_', '-')
    after = sorted(path.name for path in folder.iterdir() if 'cache' not in path.name)
    assert after == before

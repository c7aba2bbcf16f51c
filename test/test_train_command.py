# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""`m2vae train`: from bags to a model file, dry, interrupted, killed, by several processes."""

from __future__ import annotations

import os
from pathlib import Path
import re
import signal
import subprocess
import sys

import pytest
import torch

pytest.importorskip('lightning', reason="needs lightning: pip install 'm2vae_ros[learning]'")

from m2vae_ros import cli  # noqa: E402
from m2vae_ros.bags.bag import Bag  # noqa: E402
from m2vae_ros.bags.sensors_file import propose  # noqa: E402
from m2vae_ros.training.run_folder import RunFolder  # noqa: E402
from m2vae_ros.vae import checkpoint  # noqa: E402
from m2vae_ros.vae.subsets import lattice  # noqa: E402
from support.bag_files import write_drive  # noqa: E402
from support.waiting import BusyClock  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
RUN = 'import sys; from m2vae_ros.cli import main; sys.exit(main())'
TINY = ['--calibration-samples', '4', '--importance-draws', '4', '--steps', '9',
        '--validate-every', '3', '--batch-size', '4', '--latent-size', '4', '--feature-size', '16',
        '--hidden-size', '16', '--accelerator', 'cpu']
SIMULATED = ['--simulated', '--worlds', '3', '--samples-per-world', '7', '--test-worlds', '1',
             '--validation-worlds', '1', '--processes', '1']


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Use one thread here and in child processes: the order of sums depends on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def recorded(tmp_path_factory):
    """Return the options that name a small bag and its sensors file."""
    folder = tmp_path_factory.mktemp('recorded')
    path = folder / 'drive'
    write_drive(path, seconds=4.0, sensors=('lidar', 'depth'))
    with Bag(path) as bag:
        (folder / 'sensors.yaml').write_text(propose(bag))
    return ['--bag', str(path), '--sensors', str(folder / 'sensors.yaml'), '--processes', '1']


def train(out, *options):
    return cli.main(['train', '--out', str(out), *TINY, *options])


def start(out, *options, code=RUN):
    return subprocess.Popen(
        [sys.executable, '-c', code, 'train', '--out', str(out), *TINY, *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True,
    )


def weights(path):
    return checkpoint.load(path).model.state_dict()


def equal(first, second):
    before, after = weights(first), weights(second)
    return all(torch.equal(before[name], weight) for name, weight in after.items())


def test_a_bag_becomes_a_model_for_its_sensors(recorded, tmp_path, capsys):
    out = tmp_path / 'bag.safetensors'
    assert train(out, *recorded) == 0
    loaded = checkpoint.load(out)
    names = loaded.model.names
    assert set(names) == {spec.name for spec in loaded.header.sensors}
    assert len(names) == 2
    assert list(loaded.header.trained_subsets) == lattice(names)
    provenance = loaded.header.provenance
    assert 'fused sets of drive' in provenance['data']
    assert provenance['bags'][0]['name'] == 'drive'
    assert provenance['options']['seed'] == 0
    assert loaded.header.evaluation['reconstruction']
    assert (tmp_path / 'bag.run' / 'logs').is_dir()
    capsys.readouterr()
    assert train(tmp_path / 'again.safetensors', *recorded) == 0
    assert equal(out, tmp_path / 'again.safetensors')
    assert 'decoding' not in capsys.readouterr().err


@pytest.mark.parametrize('source', ['simulated', 'recorded'])
def test_a_dry_run_says_what_and_how_long_and_writes_nothing(source, recorded, tmp_path, capsys):
    options = SIMULATED if source == 'simulated' else recorded
    assert train(tmp_path / 'new' / 'm.safetensors', *options, '--dry-run') == 0
    output = capsys.readouterr().out
    for word in ('Sensors:', 'Encoders:', 'training', 'validation', 'test', '9 steps of 4 samples',
                 'parameters', 'MB', 's a step', 'Nothing was written'):
        assert word in output
    if source == 'simulated':
        assert 'camera+lidar+depth          21           7           7' in output
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_measures_steps_however_few_there_will_be(tmp_path, capsys):
    assert train(tmp_path / 'm.safetensors', *SIMULATED, '--steps', '1', '--dry-run') == 0
    output = capsys.readouterr().out
    assert ' 1 steps of 4 samples' in output
    seconds, count = re.search(r'Time: (.*) s a step, the median of (\d+);', output).groups()
    assert float(seconds) > 0
    assert int(count) >= 2


@pytest.mark.parametrize(('options', 'words'), [
    (['--bag', 'x'], 'needs --sensors FILE'),
    ([*SIMULATED, '--steps', '0'], 'steps: 0 must be at least 1'),
    ([*SIMULATED, '--alpha', 'inf'], 'alpha: inf must be at least 0'),
    ([*SIMULATED, '--learning-rate', 'nan'], 'learning_rate: nan must be above 0'),
    ([*SIMULATED, '--warm-up', '1.5'], 'warm_up: 1.5 must be from 0 to 1'),
    ([*SIMULATED, '--topic', 'a=/b'], '--topic: belongs to --bag'),
    (['--bag', 'x', '--sensors', 'y.yaml', '--topic', 'camera'], 'SENSOR=TOPIC'),
    (['--bag', 'x', '--sensors', 'y.yaml'], 'y.yaml'),
    ([*SIMULATED, '--block-seconds', '0'], 'block_seconds 0'),
])
def test_wrong_options_end_in_one_line(options, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train(tmp_path / 'm.safetensors', *options) == 2
    output = [line for line in capsys.readouterr().err.splitlines() if 'error: ' in line]
    assert len(output) == 1
    assert words in output[0]


def test_a_second_training_into_the_same_file_is_refused_while_the_first_runs(tmp_path, capsys):
    out = tmp_path / 'model.safetensors'
    with RunFolder.of(out).lock():
        first = subprocess.run(
            [sys.executable, '-c', RUN, 'train', '--out', str(out), *TINY, *SIMULATED],
            capture_output=True, text=True, cwd=ROOT,
        )
    assert first.returncode == 2
    last = first.stderr.splitlines()[-1]
    assert last.startswith(f'm2vae: error: {tmp_path}/model.run: another training is writing')
    assert list(tmp_path.iterdir()) == []
    assert train(out, *SIMULATED) == 0


def test_ctrl_c_keeps_a_checkpoint_and_a_resumed_training_has_equal_weights(recorded, tmp_path):
    out, whole = tmp_path / 'parts.safetensors', tmp_path / 'whole.safetensors'
    many = [*recorded, '--steps', '60', '--validate-every', '1000']
    process = start(out, *many)
    output = b''
    while b' 20/60' not in output:
        part = os.read(process.stdout.fileno(), 4096)
        assert part, output.decode()
        output += part
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    with BusyClock() as clock:
        rest = process.communicate()[0].decode()
        assert clock.seconds() < 30
    assert process.returncode == 130
    assert 'Traceback' not in rest
    assert '--resume continues' in rest
    assert not out.exists()
    assert (tmp_path / 'parts.run' / 'checkpoints' / 'last.ckpt').exists()
    assert train(out, *many, '--resume') == 0
    assert train(whole, *many) == 0
    assert equal(out, whole)


KILLED = f"""
import os, signal
from m2vae_ros.training import run_folder
replace = os.replace
def killed(beside, path):
    killed.renames -= 1
    if not killed.renames:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(beside, path)
killed.renames = 2
run_folder.os.replace = killed
{RUN}
"""


def test_a_training_killed_while_writing_a_checkpoint_resumes_from_the_one_before(
    recorded, tmp_path,
):
    out, whole = tmp_path / 'parts.safetensors', tmp_path / 'whole.safetensors'
    process = start(out, *recorded, code=KILLED)
    output = process.communicate()[0].decode()
    assert process.returncode == -signal.SIGKILL, output
    folder = tmp_path / 'parts.run' / 'checkpoints'
    assert len(list(folder.iterdir())) == 2  # the first one, and the unfinished second
    assert train(out, *recorded, '--resume') == 0
    assert [path.name for path in folder.iterdir()] == ['last.ckpt']
    assert train(whole, *recorded) == 0
    assert equal(out, whole)


def test_two_processes_train_together_and_resume_together(tmp_path):
    out = tmp_path / 'm.safetensors'
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node',
               '2', '-m', 'm2vae_ros.cli', 'train', '--out', str(out), *TINY, *SIMULATED]
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    result = subprocess.run(
        [*command, '--orderings', 'sampled'], cwd=ROOT, env=environment,
        capture_output=True, text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count('Error over the mean') == 1  # only the first process prints
    assert len(list((tmp_path / 'm.run' / 'logs').iterdir())) == 1
    header = checkpoint.load(out).header
    assert len(header.trained_subsets) == 7
    result = subprocess.run(
        [*command, '--orderings', 'sampled', '--resume'], cwd=ROOT, env=environment,
        capture_output=True, text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.count('resuming after step 9 of 9') == 1

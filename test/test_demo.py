# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A short demo: robot and fusion node as processes, a picture, a summary, and how it ends."""

from __future__ import annotations

from contextlib import suppress
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import cv2
import pytest

pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')
pytest.importorskip('rich', reason='needs rich: pip install rich')

from m2vae_ros import cli  # noqa: E402
from m2vae_ros.demo.drive import PHASES  # noqa: E402
from m2vae_ros.demo.processes import Processes  # noqa: E402
from m2vae_ros.simulation.robot import SENSORS  # noqa: E402
from m2vae_ros.vae import checkpoint  # noqa: E402
from m2vae_ros.vae.model import Architecture, M2VAE  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
DOMAIN = 74
PATIENCE = 60.0  # s, on a busy machine
NAMES = {spec.name for spec in SENSORS}


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp('model') / 'untrained.safetensors'
    untrained = M2VAE(SENSORS, Architecture(8, 32, 32))
    checkpoint.save(path, untrained, checkpoint.describe(untrained))
    return path


def start(model, out, *options):
    code = 'import sys; from m2vae_ros.cli import main; sys.exit(main())'
    return subprocess.Popen(
        [sys.executable, '-c', code, 'demo', '--out', str(out), '--model', str(model), *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, text=True,
        env={**os.environ, 'ROS_DOMAIN_ID': str(DOMAIN)}, start_new_session=True,
    )


def children(process):
    """Return the process ids of the direct children."""
    listed = Path(f'/proc/{process.pid}/task/{process.pid}/children')
    with suppress(FileNotFoundError):
        return [int(pid) for pid in listed.read_text().split()]
    return []


def wait_until(condition, process):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, 'timeout'
        time.sleep(0.05)  # of polling; the condition ends the wait


def test_the_demo_leaves_a_picture_and_a_summary(model, tmp_path):
    process = start(model, tmp_path / 'out', '--seconds', '2')
    output, _ = process.communicate(timeout=PATIENCE + 30)
    assert process.returncode == 0, output
    assert cv2.imread(str(tmp_path / 'out' / 'demo.png')).std() > 10
    summary = json.loads((tmp_path / 'out' / 'summary.json').read_text())
    assert sum(summary['fused_sets'].values()) == sum(p['latents'] for p in summary['phases'])
    assert {'camera+lidar+depth', 'lidar+depth', 'camera+depth', 'depth'} <= \
        summary['fused_sets'].keys()
    assert [phase['title'] for phase in summary['phases']] == [phase.title for phase in PHASES]
    assert 0 < summary['longest_gap_s'] < 2
    assert 0 < summary['latency_ms']['p50'] <= summary['latency_ms']['p99']
    assert {row['sensor'] for row in summary['reconstruction']} == NAMES
    for row in summary['reconstruction']:
        assert set(row['from']) <= NAMES
        assert row['ratio'] == pytest.approx(row['error'] / row['mean_predictor_error'])


@pytest.mark.skipif(not Path('/proc/self/task').exists(), reason='needs Linux: it reads /proc')
@pytest.mark.parametrize('when', ['starting', 'driving'])
def test_ctrl_c_ends_every_process(model, tmp_path, when):
    process = start(model, tmp_path, '--seconds', '100')
    wait_until(lambda: len(children(process)) == 2, process)
    robot_and_node = children(process)
    if when == 'driving':
        log = tmp_path / 'fusion.log'
        wait_until(lambda: 'warm after' in log.read_text(), process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 130, output
    assert 'Traceback' not in output
    assert not [pid for pid in robot_and_node if Path(f'/proc/{pid}').exists()]
    assert not (tmp_path / 'summary.json').exists()


@pytest.mark.skipif(not Path('/proc/self/task').exists(), reason='needs Linux: it reads /proc')
@pytest.mark.parametrize('when', ['starting', 'driving'])
@pytest.mark.parametrize('by', [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_whatever_ends_the_demo_no_process_is_left(model, tmp_path, when, by):
    process = start(model, tmp_path, '--seconds', '100')
    wait_until(lambda: len(children(process)) == 2, process)
    if when == 'driving':
        log = tmp_path / 'fusion.log'
        wait_until(lambda: 'warm after' in log.read_text(), process)
    descendants = children(process)
    process.send_signal(by)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == (-by if by == signal.SIGKILL else 130), output
    assert 'Traceback' not in output
    end = time.monotonic() + 20
    while left := [pid for pid in descendants if is_running(pid)]:
        assert time.monotonic() < end, f'{left} live on'
        time.sleep(0.05)  # of polling; the condition ends the wait


def is_running(pid):
    """Return whether a process is there and no zombie, which its new parent may keep for long."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    return False


@pytest.mark.skipif(not Path('/proc/self/task').exists(), reason='needs Linux: it reads /proc')
def test_after_nohup_the_end_of_the_terminal_does_not_end_the_demo(model, tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # is inherited
    try:
        process = start(model, tmp_path, '--seconds', '100')
    finally:
        signal.signal(signal.SIGHUP, before)
    wait_until(lambda: children(process), process)
    process.send_signal(signal.SIGHUP)
    log = tmp_path / 'fusion.log'
    wait_until(lambda: log.exists() and 'warm after' in log.read_text(), process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130


def test_ctrl_c_during_the_start_of_a_process_does_not_lose_it(tmp_path, monkeypatch):
    started = []
    popen = subprocess.Popen

    def interrupted(*arguments, **options):
        started.append(popen(*arguments, **options))
        signal.raise_signal(signal.SIGINT)
        return started[0]

    monkeypatch.setattr(subprocess, 'Popen', interrupted)
    with pytest.raises(KeyboardInterrupt), Processes(tmp_path) as processes:
        processes.start('fusion', 'm2vae_ros.node.fusion_node', [], {})
    assert started[0].poll() is not None


def test_a_process_that_dies_ends_the_demo_with_the_end_of_its_log(model, tmp_path):
    process = start(model, tmp_path, '--seconds', '100')
    wait_until(lambda: len(children(process)) == 2, process)
    other = children(process)
    os.kill(other.pop(), signal.SIGKILL)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    assert 'ended with exit code -9' in output
    assert 'Traceback' not in output
    assert not Path(f'/proc/{other[0]}').exists()


@pytest.mark.parametrize(('options', 'words'), [
    (['--seconds', '0.5'], '--seconds 0.5'),
    (['--model', 'none.safetensors'], 'none.safetensors'),
])
def test_wrong_options_end_in_one_line(model, tmp_path, capsys, options, words):
    assert cli.main(['demo', '--out', str(tmp_path), '--model', str(model), *options]) == 2
    output = capsys.readouterr().err
    assert words in output
    assert len(output.splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_named(model, tmp_path, capsys):
    (tmp_path / 'file').write_text('not a folder')
    assert cli.main(['demo', '--out', str(tmp_path / 'file'), '--model', str(model)]) == 2
    assert str(tmp_path / 'file') in capsys.readouterr().err

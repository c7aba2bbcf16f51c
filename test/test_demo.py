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

import cv2
import pytest

pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')
pytest.importorskip('rich', reason='needs rich: pip install rich')

from m2vae_ros import cli  # noqa: E402
from m2vae_ros.demo.drive import PHASES  # noqa: E402
from m2vae_ros.demo.processes import Processes  # noqa: E402
from m2vae_ros.simulation.robot import SENSORS  # noqa: E402
from support.domains import reserved_domain  # noqa: E402
from support.processes import entry, is_running, Process  # noqa: E402
from support.waiting import slowdown, wait_until  # noqa: E402

NAMES = {spec.name for spec in SENSORS}
needs_proc = pytest.mark.skipif(
    not Path('/proc/self/task').exists(), reason='needs Linux: it reads /proc'
)


@pytest.fixture
def start(untrained_model, tmp_path):
    """Return a function that starts the demo; at the end no process of it is left."""
    with reserved_domain() as domain:
        started = []

        def start(out, *options):
            words = ['demo', '--out', out, '--model', untrained_model, *options]
            log = tmp_path / 'demo.log'
            started.append(Process(entry('main'), words, log, ROS_DOMAIN_ID=str(domain)))
            return started[0]

        yield start
        for process in started:
            process.stop()


def children(process):
    """Return the process ids of the direct children."""
    listed = Path(f'/proc/{process.pid}/task/{process.pid}/children')
    with suppress(FileNotFoundError):
        return [int(pid) for pid in listed.read_text().split()]
    return []


def test_the_demo_leaves_a_picture_and_a_summary(start, tmp_path):
    seconds = max(2, slowdown())  # of a phase
    out = tmp_path / 'out'
    process = start(out, '--seconds', seconds)
    assert process.wait() == 0, process.log
    assert cv2.imread(str(out / 'demo.png')).std() > 10
    summary = json.loads((out / 'summary.json').read_text())
    assert sum(summary['fused_sets'].values()) == sum(p['latents'] for p in summary['phases'])
    assert {'camera+lidar+depth', 'lidar+depth', 'camera+depth', 'depth'} <= \
        summary['fused_sets'].keys()
    assert [phase['title'] for phase in summary['phases']] == [phase.title for phase in PHASES]
    assert 0 < summary['longest_gap_s'] < seconds
    assert 0 < summary['latency_ms']['p50'] <= summary['latency_ms']['p99']
    assert {row['sensor'] for row in summary['reconstruction']} == NAMES
    for row in summary['reconstruction']:
        assert set(row['from']) <= NAMES
        assert row['ratio'] == pytest.approx(row['error'] / row['mean_predictor_error'])


@needs_proc
@pytest.mark.parametrize('when', ['starting', 'driving'])
def test_ctrl_c_ends_every_process(start, tmp_path, when):
    process = start(tmp_path, '--seconds', 100)
    process.wait_for(lambda: len(children(process)) == 2, 'both children')
    robot_and_node = children(process)
    if when == 'driving':
        log = tmp_path / 'fusion.log'
        process.wait_for(lambda: 'warm after' in log.read_text(), 'model')
    assert process.stop(signal.SIGINT) == 130, process.log
    assert 'Traceback' not in process.log
    assert not [pid for pid in robot_and_node if Path(f'/proc/{pid}').exists()]
    assert not (tmp_path / 'summary.json').exists()


@needs_proc
@pytest.mark.parametrize('when', ['starting', 'driving'])
@pytest.mark.parametrize('by', [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_whatever_ends_the_demo_no_process_is_left(start, tmp_path, when, by):
    process = start(tmp_path, '--seconds', 100)
    process.wait_for(lambda: len(children(process)) == 2, 'both children')
    if when == 'driving':
        log = tmp_path / 'fusion.log'
        process.wait_for(lambda: 'warm after' in log.read_text(), 'model')
    descendants = children(process)
    assert process.stop(by) == (-by if by == signal.SIGKILL else 130), process.log
    assert 'Traceback' not in process.log
    wait_until(lambda: not any(map(is_running, descendants)), 'end of the children')


@needs_proc
def test_after_nohup_the_end_of_the_terminal_does_not_end_the_demo(start, tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # is inherited
    try:
        process = start(tmp_path, '--seconds', 100)
    finally:
        signal.signal(signal.SIGHUP, before)
    process.wait_for(lambda: children(process), 'a child')
    process.send_signal(signal.SIGHUP)
    log = tmp_path / 'fusion.log'
    process.wait_for(lambda: log.exists() and 'warm after' in log.read_text(), 'model')
    assert process.stop(signal.SIGINT) == 130, process.log


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


@needs_proc
def test_a_process_that_dies_ends_the_demo_with_the_end_of_its_log(start, tmp_path):
    process = start(tmp_path, '--seconds', 100)
    process.wait_for(lambda: len(children(process)) == 2, 'both children')
    first, second = children(process)
    os.kill(second, signal.SIGKILL)
    assert process.wait() == 2, process.log
    assert 'ended with exit code -9' in process.log
    assert 'Traceback' not in process.log
    assert not Path(f'/proc/{first}').exists()


@pytest.mark.parametrize(('options', 'words'), [
    (['--seconds', '0.5'], '--seconds 0.5'),
    (['--model', 'none.safetensors'], 'none.safetensors'),
])
def test_wrong_options_end_in_one_line(untrained_model, tmp_path, capsys, options, words):
    given = ['demo', '--out', str(tmp_path), '--model', str(untrained_model), *options]
    assert cli.main(given) == 2
    output = capsys.readouterr().err
    assert words in output
    assert len(output.splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_named(untrained_model, tmp_path, capsys):
    (tmp_path / 'file').write_text('not a folder')
    file = str(tmp_path / 'file')
    assert cli.main(['demo', '--out', file, '--model', str(untrained_model)]) == 2
    assert file in capsys.readouterr().err

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Samples for training are what a node would receive, and the world is not too easy."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
import runpy
import subprocess
import sys
import time

import numpy as np
import pytest

from m2vae_ros.sensors.kinds import decode
from m2vae_ros.simulation.generator import generate, world_seeds
from m2vae_ros.simulation.native_messages import observe, PLAIN_CLASSES
from m2vae_ros.simulation.robot import Robot, SENSORS
from m2vae_ros.simulation.world import World

# The benchmark that prints what is tested here.
BENCHMARK = runpy.run_path(str(Path(__file__).parents[1] / 'benchmarks' / 'simulation.py'))


def test_samples_are_what_a_listener_to_the_drivers_would_decode():
    samples = generate([7], 5, interval=0.5)
    robot = Robot(World(7))
    robot.ranges()  # so that its noise differs from here on
    for i, pose in enumerate(samples.poses):
        robot.step(0.5)
        assert robot.pose == pytest.approx(pose)
        for spec in SENSORS:
            received = decode(spec, observe(robot, spec.name, 1, PLAIN_CLASSES))
            values, valid, returned = (array[i] for array in samples.sensors[spec.name])
            both = received.returned & returned
            assert (received.valid == valid).mean() > 0.97
            assert (received.returned == returned).mean() > 0.93
            scale = 255 if spec.kind == 'image' else 1
            difference = np.abs(received.values - values / scale)[..., both]
            assert difference.mean() < (0.04 if spec.kind == 'image' else 0.06)


def test_samples_have_the_shapes_and_types_that_training_reads():
    samples = generate(world_seeds('validation', 2), 3)
    assert len(samples) == 6
    assert samples.poses.shape == (6, 3)
    assert samples.seeds.tolist() == [1_000_000] * 3 + [1_000_001] * 3
    for spec in SENSORS:
        values, valid, returned = samples.sensors[spec.name]
        assert values.shape == (6, *spec.shape)
        assert values.dtype == (np.uint8 if spec.kind == 'image' else np.float32)
        assert valid.shape == returned.shape == (6, *spec.spatial_shape)
        assert valid.dtype == returned.dtype == np.bool_
        assert not (returned & ~valid).any()


def test_samples_do_not_depend_on_how_many_processes_make_them():
    calls = []
    alone = generate([1, 2], 2, progress=lambda done, total: calls.append((done, total)))
    shared = generate([1, 2], 2, processes=2)
    assert calls == [(1, 2), (2, 2)]
    np.testing.assert_array_equal(alone.poses, shared.poses)
    for name, arrays in alone.sensors.items():
        for a, b in zip(arrays, shared.sensors[name], strict=True):
            np.testing.assert_array_equal(a, b)


def test_splits_share_no_world():
    splits = [set(world_seeds(split, 1_000_000)) for split in ('train', 'validation', 'test')]
    assert sum(map(len, splits)) == len(set.union(*splits))
    with pytest.raises(ValueError, match='1000001 worlds'):
        world_seeds('train', 1_000_001)
    with pytest.raises(ValueError, match="split 'held-out'"):
        world_seeds('held-out', 1)


def test_processes_that_generate_end_with_the_one_that_started_them():
    process = subprocess.Popen([
        sys.executable, '-c',
        'import os, signal\n'
        'from m2vae_ros.simulation.generator import generate\n'
        'def killed(done, total):\n'
        '    children = open(f"/proc/self/task/{os.getpid()}/children").read()\n'
        '    print(children, flush=True)\n'
        '    os.kill(os.getpid(), signal.SIGKILL)\n'
        'if __name__ == "__main__":\n'
        '    generate(range(1000), 1, processes=2, progress=killed)',
    ], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    children = process.communicate(timeout=60)[0].split()
    assert len(children) >= 2
    deadline = time.monotonic() + 20
    while any(is_running(child) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.02)  # of polling; the condition ends the wait


def is_running(pid):
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] not in 'ZX'
    return False


@pytest.mark.parametrize(('seeds', 'count', 'processes'), [([], 1, 1), ([1], 0, 1), ([1], 1, 0)])
def test_nothing_to_generate_is_an_error(seeds, count, processes):
    with pytest.raises(ValueError, match='at least 1'):
        generate(seeds, count, processes=processes)


def test_the_world_is_not_easy():
    training = generate(world_seeds('train', 30), 8, interval=2.0)
    test = generate(world_seeds('test', 30), 8, interval=2.0)
    errors = BENCHMARK['mean_predictor_errors'](training, test)
    assert errors['camera'] >= 0.02
    assert errors['lidar'] >= 0.8
    assert BENCHMARK['median_objects'](test) >= 3

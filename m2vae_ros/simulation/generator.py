# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Samples for training without a robot, from drives through many simulated worlds.

Every sample is made as on the node: a driver's measurement, its message, `sensors.decode`. So
training samples are distributed as what the node receives. A sample takes 6 to 8 ms on one core of
a cloud machine (`python benchmarks/simulation.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
import multiprocessing
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.parent import end_with_pool
from m2vae_ros.sensors.kinds import decode
from m2vae_ros.simulation.native_messages import observe, PLAIN_CLASSES
from m2vae_ros.simulation.robot import Robot, SENSORS
from m2vae_ros.simulation.world import World

# The seeds of a split's worlds. No two splits share one, since `world_seeds` gives a split at most
# `SEEDS_PER_SPLIT` of them.
SEEDS_PER_SPLIT = 1_000_000
_SPLITS = ('train', 'validation', 'test')


class SensorSamples(NamedTuple):
    """n samples of one sensor: the arrays of a `Measurement`, stacked."""

    values: NDArray[np.uint8] | NDArray[np.float32]  # of an image: uint8, 0..255
    valid: NDArray[np.bool_]
    returned: NDArray[np.bool_]


@dataclass(frozen=True)
class Samples:
    """
    n samples of all sensors, each of one time and place.

    Parameters
    ----------
    sensors
        Sensor name -> (values, valid, returned), each with a leading axis of n.
    poses
        x, y in metres and heading in radians, in the map of the sample's world, ``(n, 3)``.
    seeds
        The seed of the sample's world, ``(n,)``.

    """

    sensors: dict[str, SensorSamples]
    poses: NDArray[np.float64]
    seeds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.seeds)


def world_seeds(split: str, count: int) -> range:
    """
    Return the seeds of the first worlds of a split; no two splits share a world.

    Parameters
    ----------
    split
        ``train``, ``validation`` or ``test``.
    count
        Number of worlds.

    Raises
    ------
    ValueError
        If there is no such split, or it has fewer worlds.

    """
    if split not in _SPLITS:
        raise ValueError(f'split {split!r}: must be one of {_SPLITS}')
    if not 0 <= count <= SEEDS_PER_SPLIT:
        raise ValueError(f'{count} worlds: a split has 0 to {SEEDS_PER_SPLIT}')
    first = _SPLITS.index(split) * SEEDS_PER_SPLIT
    return range(first, first + count)


def generate(
    seeds: Sequence[int],
    samples_per_world: int,
    *,
    interval: float = 1.0,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Samples:
    """
    Drive through worlds and stack the measurements of the robot's sensors.

    The result depends on ``seeds``, ``samples_per_world`` and ``interval``, not on ``processes``.

    Parameters
    ----------
    seeds
        Seeds of the worlds; see `world_seeds`.
    samples_per_world
        Samples to take in each world.
    interval
        Time driven between two samples, seconds.
    processes
        Processes that share the work. More than one are started by 'spawn', so the main module
        must be importable without generating again.
    progress
        Called after each world with the number of worlds done and of all.

    Raises
    ------
    ValueError
        If there is no world, no sample or no process.

    """
    if not len(seeds) or samples_per_world < 1 or processes < 1:
        raise ValueError(
            f'{len(seeds)} worlds, {samples_per_world} samples in each, {processes} processes: '
            f'each must be at least 1'
        )
    jobs = [(int(seed), samples_per_world, interval) for seed in seeds]
    drives = []
    if processes == 1:
        for done, job in enumerate(jobs, 1):
            drives.append(_drive(job))
            if progress:
                progress(done, len(jobs))
    else:
        context = multiprocessing.get_context('spawn')
        with ProcessPoolExecutor(
            processes, mp_context=context, initializer=end_with_pool
        ) as pool:
            for done, drive in enumerate(pool.map(_drive, jobs, chunksize=4), 1):
                drives.append(drive)
                if progress:
                    progress(done, len(jobs))
    return _concatenated(drives)


def _drive(job: tuple[int, int, float]) -> Samples:
    """Take the samples of one world."""
    seed, count, interval = job
    robot = Robot(World(seed))
    stacks = {
        spec.name: SensorSamples(
            np.empty((count, *spec.shape), np.uint8 if spec.kind == 'image' else np.float32),
            np.empty((count, *spec.spatial_shape), np.bool_),
            np.empty((count, *spec.spatial_shape), np.bool_),
        )
        for spec in SENSORS
    }
    poses = np.empty((count, 3))
    for i in range(count):
        robot.step(interval)
        poses[i] = robot.pose
        for spec in SENSORS:
            measurement = decode(spec, observe(robot, spec.name, 1, PLAIN_CLASSES))
            values = measurement.values
            if spec.kind == 'image':
                values = np.rint(values * 255)
            stack = stacks[spec.name]
            stack.values[i] = values
            stack.valid[i] = measurement.valid
            stack.returned[i] = measurement.returned
    return Samples(stacks, poses, np.full(count, seed))


def _concatenated(drives: Sequence[Samples]) -> Samples:
    sensors = {
        spec.name: SensorSamples(*(
            np.concatenate([drive.sensors[spec.name][part] for drive in drives])
            for part in range(3)
        ))
        for spec in SENSORS
    }
    return Samples(
        sensors,
        np.concatenate([drive.poses for drive in drives]),
        np.concatenate([drive.seeds for drive in drives]),
    )

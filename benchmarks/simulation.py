# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The errors of the mean predictor in the simulated worlds, and the CPU time of the simulation.

The mean predictor always predicts the mean over training worlds: per pixel and colour of the
camera, per bearing or cell of lidar and depth (over the returns). Its errors on worlds of the test
split are printed as JSON, with the median number of objects that the lidar sees within 3.5 m, and
the CPU time of one sample and of one second of the robot.

    python benchmarks/simulation.py --worlds 100 --samples 20
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from m2vae_ros.simulation.generator import generate, Samples, world_seeds
from m2vae_ros.simulation.native_messages import observe, PERIODS, PLAIN_CLASSES
from m2vae_ros.simulation.raycasting import objects_around
from m2vae_ros.simulation.robot import Robot
from m2vae_ros.simulation.world import Pose, World


def mean_predictor_errors(known: Samples, asked: Samples) -> dict[str, float]:
    """Return the camera's MSE (RGB in 0..1) and the MAE in metres of lidar and depth."""
    errors = {}
    for name in asked.sensors:
        values, _, returned = asked.sensors[name]
        if name == 'camera':
            mean = known.sensors[name].values.mean(axis=0) / 255
            errors[name] = float(np.square(values / 255 - mean).mean())
            continue
        weight = known.sensors[name].returned
        total = np.where(weight, known.sensors[name].values, 0).sum(axis=0)
        mean = total / np.maximum(weight.sum(axis=0), 1)
        errors[name] = float(np.abs(values - mean)[returned].mean())
    return errors


def median_objects(samples: Samples) -> float:
    """Return the median number of objects around the robot."""
    worlds = {int(seed): World(int(seed)) for seed in np.unique(samples.seeds)}
    return float(np.median([
        len(objects_around(worlds[int(seed)], Pose(*pose)))
        for seed, pose in zip(samples.seeds, samples.poses, strict=True)
    ]))


def robot_share_of_a_core(seconds: float = 5.0) -> float:
    """Return the CPU time of a second of driving and measuring at the drivers' rates."""
    robot = Robot(World(0))
    due = sorted(
        (tick * period, name) for name, period in PERIODS.items()
        for tick in range(int(seconds / period))
    )
    start, now = time.process_time(), 0.0
    for seconds_driven, name in due:
        robot.step(seconds_driven - now)
        now = seconds_driven
        observe(robot, name, 1, PLAIN_CLASSES)
    return (time.process_time() - start) / seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--worlds', type=int, default=100, help='worlds of each split')
    parser.add_argument('--samples', type=int, default=20, help='samples in each world')
    arguments = parser.parse_args()
    known = generate(world_seeds('train', arguments.worlds), arguments.samples)
    start = time.process_time()
    asked = generate(world_seeds('test', arguments.worlds), arguments.samples)
    cost = (time.process_time() - start) / len(asked)
    print(json.dumps({
        'samples': len(asked),
        'mean_predictor_error': mean_predictor_errors(known, asked),
        'objects_around_median': median_objects(asked),
        'sample_cpu_ms': 1000 * cost,
        'robot_share_of_a_core': robot_share_of_a_core(),
    }, indent=2))


if __name__ == '__main__':
    main()

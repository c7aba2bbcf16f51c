# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Findings as an evaluation of a simulated drive might give them, for tests of the page."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from m2vae_ros.evaluation.findings import (
    Estimated,
    Findings,
    Moment,
    SensorError,
    SensorTraffic,
    SubsetFindings,
    Timeline,
)
from m2vae_ros.sensors.kinds import decode
from m2vae_ros.simulation.native_messages import observe, PLAIN_CLASSES
from m2vae_ros.simulation.robot import Robot, SENSORS
from m2vae_ros.simulation.world import World
from m2vae_ros.vae.subsets import lattice

START_NS = 1_700_000_000_000_000_000


def plausible_findings(sensors=SENSORS, *, moments=3):
    """Return findings about these sensors of the simulated robot."""
    names = tuple(spec.name for spec in sensors)
    rng = np.random.default_rng(0)
    seconds = np.arange(0, 30, 0.1)
    fused = np.ones((len(seconds), len(names)), bool)
    if len(names) > 1:
        fused[100:180, 0] = False
    gain = rng.gamma(4, 2, (len(seconds), len(names)))
    gain[~fused] = np.nan
    timeline = Timeline(
        seconds, fused, np.cumsum(rng.normal(size=(len(seconds), 2)), 0), (0.41, 0.2),
        seconds, gain,
    )
    return Findings(
        model='robot.safetensors', bag='drive', command='m2vae evaluate --bag drive',
        package_version='0.1.0', sensors=tuple(sensors), provenance={'seed': 0},
        objective={'name': 'm2vae', 'alpha': 1.0},
        fused_sets={'+'.join(names): 220, '+'.join(names[1:]) or names[0]: 80},
        untrained_sets={},
        traffic=[
            SensorTraffic(spec.name, f'/{spec.topic}', 300, 10.0, {'data_size': 2}, {'late': 1})
            for spec in sensors
        ],
        seconds=29.9, longest_gap_s=0.21,
        subsets=[
            SubsetFindings(
                subset, Estimated(5123.4, 20.1, 200), Estimated(5200.2, 19.8, 200, 3.4),
                {name: Estimated(800.5, 12.0, 200) for name in names if name not in subset},
                1.2, {0.5: 0.46 + 0.01 * i, 0.9: 0.86 + 0.01 * i, 0.95: 0.91 + 0.01 * i}, 0.031,
            )
            for i, subset in enumerate(lattice(names))
        ],
        errors=[error for spec in sensors for error in _errors(spec, names)],
        information_gain=dict.fromkeys(names, 7.5),
        timeline=timeline,
        moments=[_moment(sensors, seed) for seed in range(moments)],
    )


def _errors(spec, names):
    is_image = spec.kind == 'image'
    error = SensorError(
        spec.name, (), 'model', 'grey levels' if is_image else 'm', 12.3 if is_image else 0.42,
        24.1 if is_image else None, None if is_image else 0.93, 200,
    )
    for subset in lattice(names):
        yield replace(error, source=subset)
        for predictor in ('mean', 'last', 'one_second_old'):
            yield replace(error, source=subset, predictor=predictor, error=3 * error.error)


def _moment(sensors, seed):
    robot = Robot(World(seed))
    robot.step(2.0)
    truth = {
        spec.name: decode(spec, observe(robot, spec.name, START_NS, PLAIN_CLASSES))
        for spec in sensors
    }
    blurred = {
        name: replace(seen, values=seen.values * np.float32(0.9)) for name, seen in truth.items()
    }
    return Moment(
        seed * 10.0, truth,
        dict.fromkeys(lattice([spec.name for spec in sensors]), blurred),
    )

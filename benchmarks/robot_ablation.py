# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Train the simulated robot's model with several settings of the objective on the same samples.

The question is whether more sensors mean less: for each setting, by how much does the error of a
sensor's reconstruction grow when another sensor is added to what it is reconstructed from? All
settings share data, networks, steps and seed. Errors are of validation worlds.

    python benchmarks/robot_ablation.py --worlds 1000 --steps 1500

Results are written after each setting, and settings that are there already are not trained
again, so an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import time
from typing import Any

from m2vae_ros.learning.dataset import SampleDataset
from m2vae_ros.learning.evaluation import ReconstructionError, reconstruction_errors, table
from m2vae_ros.learning.training import train, TrainingOptions
from m2vae_ros.simulation.generator import generate, world_seeds
from m2vae_ros.simulation.robot import SENSORS

SETTINGS: dict[str, dict[str, Any]] = {
    'paper (all knobs 1)': {},
    'joint_prior_weight 0': {'joint_prior_weight': 0.0},
    'joint_prior_weight 0, alpha 0.5': {'joint_prior_weight': 0.0, 'alpha': 0.5},
    'alpha 0 (no mutual divergence)': {'alpha': 0.0},
    'alpha 0.3': {'alpha': 0.3},
    'vae': {'objective': 'vae'},
    'jmvae': {'objective': 'jmvae'},
}


def growths(errors: list[ReconstructionError]) -> list[tuple[float, str]]:
    """Return by how much each error grows when a sensor is added, largest first, with its name."""
    by_source = {(error.sensor, error.source): error.error for error in errors}
    found = []
    for (sensor, source), error in by_source.items():
        for smaller in (tuple(n for n in source if n != added) for added in source):
            if (sensor, smaller) in by_source:
                growth = error / by_source[sensor, smaller] - 1
                found.append((growth, f'{sensor}: {"+".join(smaller)} -> {"+".join(source)}'))
    return sorted(found, reverse=True)


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--worlds', type=int, default=1000)
    parser.add_argument('--samples-per-world', type=int, default=16)
    parser.add_argument('--steps', type=int, default=1500)
    parser.add_argument('--precision', default='bf16-mixed')
    parser.add_argument('--settings', nargs='*', default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument('--out', type=Path, default=Path('build/robot_ablation.json'))
    arguments = parser.parse_args()
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    data = {
        split: SampleDataset(SENSORS, generate(
            world_seeds(split, worlds), arguments.samples_per_world, processes=2
        ).sensors)
        for split, worlds in (('train', arguments.worlds), ('validation', 100))
    }
    for name in arguments.settings:
        if name in results:
            continue
        options = TrainingOptions(
            steps=arguments.steps, precision=arguments.precision, **SETTINGS[name]
        )
        started = time.monotonic()
        model = train(data['train'], options)
        errors = reconstruction_errors(model, data['validation'])
        worst = growths(errors)[:3]
        results[name] = {
            'seconds': round(time.monotonic() - started),
            'reconstruction': [error.to_dict() for error in errors],
            'worst_growth': worst,
        }
        arguments.out.write_text(json.dumps(results, indent=1) + '\n')
        print(f'\n{name}\n{table(errors)}\n{worst}', flush=True)


if __name__ == '__main__':
    main()

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Compare models of the simulated robot, in worlds that none was trained on.

For each model file: the error of every sensor's reconstruction from every subset, by how much it
grows when a sensor is added to the subset (it should not), and importance-sampled likelihoods.
Likelihoods of the second model and later ones are also given as paired differences from the first.

    python benchmarks/robot_models.py --models config/models/default.safetensors other.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path
import time
from typing import Any

from results import bar, table, write
import torch
from torch import Tensor

from m2vae_ros.evaluation.relative_errors import relative_errors, RelativeError
from m2vae_ros.samples.dataset import SampleDataset
from m2vae_ros.simulation.generator import generate, world_seeds
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.estimators import log_likelihood, predictive
from m2vae_ros.vae.importance import Estimate
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.model import M2VAE
from m2vae_ros.vae.subsets import lattice, without

MAX_GROWTH = 0.05  # of an error when a sensor is added


def growths(errors: list[RelativeError]) -> list[tuple[float, str]]:
    """Return by how much each error grows when a sensor is added, the largest first."""
    by_source = {(error.sensor, error.source): error.error for error in errors}
    return sorted((
        (error / by_source[sensor, without(source, added)] - 1,
         f'{sensor} from {"+".join(without(source, added))}, then {added}')
        for (sensor, source), error in by_source.items()
        for added in source if (sensor, without(source, added)) in by_source
    ), reverse=True)


def likelihoods(model: M2VAE, batch: dict[str, SensorBatch], draws: int) -> dict[str, Estimate]:
    """Return log p(x_S) of every subset, and the predictive log p of one sensor given others."""
    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(0)

    found = {
        f'log p({", ".join(s)})': log_likelihood(
            model, batch, s, samples=draws, generator=generator()
        ) for s in lattice(model.names)
    }
    for name in model.names:
        rest = without(model.names, name)
        found[f'log p({name} | {", ".join(rest)}), predictive'] = predictive(
            model, batch, (name,), rest, samples=draws, generator=generator()
        )
    return found


def mean_and_error(values: Tensor) -> str:
    """Return the mean and its standard error over the samples."""
    return f'{values.mean():.1f} ± {values.std() / len(values) ** 0.5:.1f}'


def main() -> None:
    """Measure, print and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--models', type=Path, nargs='+', required=True)
    parser.add_argument('--worlds', type=int, default=100, help='held-out worlds')
    parser.add_argument('--scored', type=int, default=200, help='samples whose likelihood counts')
    parser.add_argument('--draws', type=int, default=64, help='importance draws of a sample')
    parser.add_argument('--out', type=Path, default=Path('build/robot_models.json'))
    arguments = parser.parse_args()
    started = time.monotonic()
    data = SampleDataset(
        SENSORS, generate(world_seeds('test', arguments.worlds), 16, processes=2).sensors
    )
    spacing = max(1, len(data) // arguments.scored)
    batch = data[range(0, len(data), spacing)[:arguments.scored]].sensors
    tables: list[dict[str, Any]] = []
    bars: list[dict[str, Any]] = []
    first: dict[str, Estimate] = {}
    rows: dict[str, list[str]] = {}
    for path in arguments.models:
        model = checkpoint.load(path).model
        errors = relative_errors(model, data)
        cells = {(error.source, error.sensor): error.ratio for error in errors}
        tables.append(table(
            f'{path.stem}: error of the reconstruction over that of the mean predictor',
            ['from', *model.names],
            [['+'.join(s), *(f'{cells[s, name]:.3f}' for name in model.names)]
             for s in model.trained_subsets],
            f'{len(data)} samples of {arguments.worlds} held-out worlds.',
        ))
        worst, where = growths(errors)[0]
        bars.append(bar(
            f'{path.stem}: no error grows by more than {MAX_GROWTH:.0%} when a sensor is added',
            f'{worst:+.1%} ({where})', worst <= MAX_GROWTH,
        ))
        found = likelihoods(model, batch, arguments.draws)
        first = first or found
        for name, estimate in found.items():
            row = rows.setdefault(name, [name])
            row.append(mean_and_error(estimate.value))
            row.append(f'{estimate.effective_sample_size.median():.1f}')
            if found is not first:
                row.append(mean_and_error(estimate.value - first[name].value))
    columns = ['nats']
    for index, path in enumerate(arguments.models):
        columns += [path.stem, 'draws that count']
        columns += [f'{path.stem} - {arguments.models[0].stem}'] if index else []
    tables.append(table(
        'Importance-sampled likelihoods', columns, list(rows.values()),
        f'Mean and standard error over {arguments.scored} samples, {arguments.draws} draws each '
        'from the encoder of the same subset. Where one draw of them counts, the estimate is a '
        'lower bound rather than the likelihood.',
    ))
    write(arguments.out, 'robot_models', f'python benchmarks/robot_models.py --models '
          f'{" ".join(path.name for path in arguments.models)}', started, tables, bars)
    for each in tables:
        print(f'\n{each["title"]}')
        for line in (each['columns'], *each['rows']):
            print(''.join(f'{cell:>22}' for cell in line))
    for each in bars:
        print(f'{each["bar"]}: {each["value"]}: {"met" if each["met"] else "NOT met"}')


if __name__ == '__main__':
    main()

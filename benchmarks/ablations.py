# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Change one thing of m2vae at a time: knobs, heads, trunks; scikit-learn's digits in quadrants.

The starting point has the settings of the default model: product heads, shared trunks, alpha 1,
beta 1, gamma 1, joint_prior_weight 0. Data, networks, steps and scores are those of `digits.py`.

    python benchmarks/ablations.py --out benchmarks/results/ablations.json
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial
from math import sqrt
from pathlib import Path
import shlex
from statistics import mean, stdev
import sys
import time
from typing import Any

from compared_networks import Networks
from comparison import Figures, Records
import digits
from results import table, write
from scoring import Effort
import torch
from torch import nn, Tensor

from m2vae_ros.vae.likelihoods import SensorBatch

SENSORS = 4
BASE: dict[str, Any] = {
    'heads': 'product', 'trunks': 'shared', 'alpha': 1, 'beta': 1, 'gamma': 1,
    'joint_prior_weight': 0,
}
CHANGES: list[dict[str, Any]] = [
    {},
    {'alpha': 0}, {'alpha': 0.3}, {'alpha': 3},
    {'joint_prior_weight': 0.3}, {'joint_prior_weight': 1},
    {'beta': 0.3, 'gamma': 0.3}, {'beta': 0.1, 'gamma': 0.1},
    {'heads': 'separate'},
    {'trunks': 'own'},
]
COLUMNS = {
    'joint': 'log p(M)',
    'other_given_one': 'log p(other | one)',
    'one_given_rest': 'log p(one | rest)',
    'accuracy_one': 'class from one',
    'accuracy_rest': 'class from three',
    'accuracy_all': 'class from all',
}


class Pixels(nn.Module):
    """No trunk: the features are the pixels, centred."""

    def forward(self, batch: SensorBatch) -> Tensor:
        """Return ``(batch, pixels)``."""
        return batch.values - 0.5


class OwnTrunks(nn.Module):
    """
    The trunks of one subset's sensors, which no other subset shares.

    Parameters
    ----------
    sensors, pixels
        Number of sensors, and of pixels of each.

    """

    def __init__(self, sensors: int, pixels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(pixels, digits.HIDDEN), nn.SiLU()) for _ in range(sensors)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the features of all sensors."""
        parts = pixels.chunk(len(self.layers), 1)
        return torch.cat([layer(part) for layer, part in zip(self.layers, parts, strict=True)], 1)


def networks(trunks: str) -> Networks:
    """Return the networks of `digits.py`, with `trunks` 'shared' or each subset's 'own'."""
    shared = digits.networks(SENSORS)
    if trunks == 'shared':
        return shared
    return Networks(
        names=shared.names,
        latent=shared.latent,
        trunk=lambda name: Pixels(),
        head=lambda count: nn.Sequential(OwnTrunks(count, 64 // SENSORS), shared.head(count)),
        decoder=shared.decoder,
        packing=shared.packing,
    )


def run(settings: Figures, seed: int, steps: int, effort: Effort) -> Figures:
    """Train and score one variant."""
    knobs = {name: value for name, value in settings.items() if name != 'trunks'}
    return digits.run(
        SENSORS, 'm2vae', knobs, seed, steps, effort, parts=networks(settings['trunks'])
    )


def describe(change: Figures) -> str:
    """Return what differs from the starting point as text."""
    return ', '.join(f'{name} {value}' for name, value in change.items()) or 'starting point'


def summary(figures: list[Figures]) -> list[str]:
    """Return mean and standard error over the seeds, a cell for each column."""
    cells = []
    for name in COLUMNS:
        kind, _, which = name.partition('_')
        values = [
            mean_over_subsets(each['test'][kind], which) if kind == 'accuracy'
            else each['test'][name]
            for each in figures
        ]
        error = stdev(values) / sqrt(len(values)) if len(values) > 1 else 0.0
        cells.append(f'{mean(values):.3f} +- {error:.3f}')
    return cells


def mean_over_subsets(accuracy: Figures, which: str) -> float:
    """Return the mean over the subsets of 'one' sensor, of all but one ('rest'), or of 'all'."""
    size = {'one': 1, 'rest': SENSORS - 1, 'all': SENSORS}[which]
    return mean(value for name, value in accuracy.items() if name.count('+') == size - 1)


def main() -> None:
    """Run every variant that has not been run, summarise and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--out', type=Path, required=True, help='JSON to write')
    parser.add_argument(
        '--runs', type=Path, default=Path('build/ablations.runs.jsonl'),
        help='file of the figures of each run, from which a later call continues',
    )
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--steps', type=int, default=3000)
    parser.add_argument('--samples', type=int, default=512, help='of each integral, for scores')
    arguments = parser.parse_args()
    started = time.monotonic()
    torch.set_num_threads(1)
    effort = Effort(arguments.samples)
    records = Records(arguments.runs, steps=arguments.steps, **asdict(effort))
    call = partial(run, steps=arguments.steps, effort=effort)
    rows = []
    for change in CHANGES:
        runs = [{'settings': BASE | change, 'seed': seed} for seed in range(arguments.seeds)]
        for each in runs:
            records.once(each, call)
        rows.append([describe(change), *summary([records.figures(each) for each in runs])])
    result = table(
        'One change at a time: digits in quadrants, test split',
        ['change', *COLUMNS.values()], rows,
        'Mean and standard error over the seeds; log-likelihoods in nats per sample.',
    )
    write(
        arguments.out, 'ablations', shlex.join(['python', *sys.argv]),
        started - records.seconds_before, [result], [],
    )


if __name__ == '__main__':
    main()

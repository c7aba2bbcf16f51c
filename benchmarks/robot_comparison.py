# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Compare M2VAE with MultiVae's models on the simulated robot: camera, lidar and depth.

All models have our trunks, heads, decoders and likelihoods, the same latent size, data, steps and
optimiser. None is tuned: ours has the settings of the shipped model, the others have the library's
defaults. The training is short, so this compares how fast they learn as well. MMVAE has one draw
per encoder; the library's ten would decode 90 times in a step. The latent space is wide: read
log p with its effective sample size, as a lower bound.

    python benchmarks/robot_comparison.py --out benchmarks/results/robot_comparison.json
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial
from pathlib import Path
import shlex
import sys
import time

from compared_networks import Batch, Networks, WithMasks
from comparison import bars, compare, Figures, fit, Records, tables, TRIALS
from multivae_models import build
from results import write
from scoring import Effort, likelihoods
import torch
from torch import nn

from m2vae_ros.samples.dataset import SampleDataset
from m2vae_ros.simulation.generator import generate, world_seeds
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.model import M2VAE
from m2vae_ros.vae.networks import Decoder, Trunk

LATENT = 32
FEATURES = 128
SETTINGS: dict[str, list[Figures]] = {
    'm2vae': [{'heads': 'product', 'alpha': 1, 'joint_prior_weight': 0}],
    **{name: settings[:1] for name, settings in TRIALS.items() if name != 'm2vae'},
}
SPECS = {spec.name: spec for spec in SENSORS}


def networks(dataset: SampleDataset | None = None) -> Networks:
    """Return our networks, normalised for a data set; None = not normalised."""
    model = M2VAE(SENSORS)
    if dataset is not None:
        dataset.fit_normalisation(model)
    normalisation = {name: model.normalisation(name) for name in SPECS}
    return Networks(
        names=tuple(SPECS),
        latent=LATENT,
        trunk=lambda name: Trunk(SPECS[name], FEATURES, normalisation[name]),
        head=lambda count: nn.Sequential(
            nn.Linear(count * FEATURES, FEATURES), nn.SiLU(), nn.LayerNorm(FEATURES),
            nn.Linear(FEATURES, 2 * LATENT),
        ),
        decoder=lambda name: Decoder(SPECS[name], LATENT, FEATURES, normalisation[name]),
        packing=lambda name: WithMasks(SPECS[name].shape, SPECS[name].spatial_shape),
    )


def random_batch(size: int) -> dict[str, SensorBatch]:
    """Return random measurements, to time a step with."""
    return {
        name: SensorBatch(
            torch.rand(size, *spec.shape),
            torch.ones(size, *spec.spatial_shape, dtype=torch.bool),
            torch.ones(size, *spec.spatial_shape, dtype=torch.bool),
        )
        for name, spec in SPECS.items()
    }


def run(
    model: str,
    settings: Figures,
    seed: int,
    *,
    data: dict[str, SampleDataset],
    steps: int,
    effort: Effort,
) -> Figures:
    """Train one model and return its figures on both splits."""
    torch.manual_seed(seed)
    draws = {'K': 1} if model == 'MMVAE' else {}
    built = build(model, networks(data['train']), **settings, **draws)
    batches: dict[str, Batch] = {
        split: dataset[range(len(dataset))].sensors for split, dataset in data.items()
    }
    numbers = sum(torch.Size(spec.shape).numel() for spec in SENSORS)
    start = time.perf_counter()
    fit(
        built, batches['train'],
        size=numbers, steps=steps, batch_size=64, learning_rate=1e-3, warm_up=0.3,
    )
    seconds = time.perf_counter() - start
    torch.manual_seed(seed)
    return {
        'seconds': seconds,
        'validation': {},  # nothing is chosen
        'test': likelihoods(built, batches['test'], effort),
    }


def main() -> None:
    """Run every setting that is not in the file of runs, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--out', type=Path, required=True, help='JSON to write')
    parser.add_argument(
        '--runs', type=Path, default=Path('build/robot_comparison.runs.jsonl'),
        help='file of the figures of each run, from which a later call continues',
    )
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--steps', type=int, default=200)
    parser.add_argument('--worlds', type=int, default=200, help='to train in, 16 samples each')
    parser.add_argument('--held-out', type=int, default=2, help='worlds to score in, each split')
    parser.add_argument('--samples', type=int, default=64, help='of each integral, for scores')
    parser.add_argument('--fit-steps', type=int, default=40, help='of the proposals, for scores')
    parser.add_argument('--models', nargs='+', default=list(SETTINGS), choices=SETTINGS)
    arguments = parser.parse_args()
    started = time.monotonic()
    data = {
        split: SampleDataset(SENSORS, generate(world_seeds(split, worlds), 16).sensors)
        for split, worlds in (
            ('train', arguments.worlds), ('test', arguments.held_out),
        )
    }
    effort = Effort(arguments.samples, arguments.fit_steps, fit_draws=2)
    records = Records(
        arguments.runs, steps=arguments.steps, worlds=arguments.worlds,
        held_out=arguments.held_out, **asdict(effort),
    )
    chosen, tried = compare(
        records, {}, arguments.models, arguments.seeds,
        partial(run, data=data, steps=arguments.steps, effort=effort),
        settings=SETTINGS,
    )
    title = 'Simulated robot'
    write(
        arguments.out, 'robot_comparison', shlex.join(['python', *sys.argv]),
        started - records.seconds_before, tables(title, chosen, tried), bars(title, chosen),
    )


if __name__ == '__main__':
    main()

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Compare M2VAE with MultiVae's models on scikit-learn's digits in halves and in quadrants.

All models have the same networks, latent size, likelihood, data, steps, optimiser and number of
settings to choose from. The setting is chosen on the validation split by the sum of log p(M) and
log p(other | one); the figures are those of the test split.

    python benchmarks/digits.py --out benchmarks/results/digits.json
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial
from pathlib import Path
import shlex
import sys
import time

from compared_networks import Batch, Model, Networks, ValuesOnly
from comparison import bars, compare, Figures, fit, Records, tables, TRIALS
from multivae_models import build
import numpy as np
from results import write
from scoring import criterion, Effort, likelihoods, select
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
import torch
from torch import nn, Tensor

from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.subsets import lattice

LATENT = 8
HIDDEN = 64
LEAST_NOISE = 1 / 16  # the data's resolution
# Split by a fixed order of the 1797 images.
SPLITS = {'train': slice(0, 1197), 'validation': slice(1197, 1497), 'test': slice(1497, 1797)}
PARTS = {
    2: {'left': np.s_[:, :, :4], 'right': np.s_[:, :, 4:]},
    4: {
        'upper_left': np.s_[:, :4, :4],
        'upper_right': np.s_[:, :4, 4:],
        'lower_left': np.s_[:, 4:, :4],
        'lower_right': np.s_[:, 4:, 4:],
    },
}


class GaussianPixels:
    """Gaussian pixels with one learned noise; no pixel is missing."""

    def __init__(self, location: Tensor, noise: Tensor) -> None:
        self.location, self.noise = location, noise

    def log_prob(self, batch: SensorBatch) -> Tensor:
        """Return log p(x_m|z), the leading shape of the location."""
        error = (batch.values - self.location).square().sum(-1)
        count = self.location.shape[-1]
        return -0.5 * error / self.noise.square() - count * (
            self.noise.log() + 0.5 * np.log(2 * np.pi)
        )

    def mean(self) -> tuple[Tensor, Tensor | None]:
        """Return the expected pixels."""
        return self.location, None


class Trunk(nn.Module):
    """From pixels to features."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(pixels, HIDDEN), nn.SiLU())

    def forward(self, batch: SensorBatch) -> Tensor:
        """Return ``(batch, features)``."""
        features: Tensor = self.layers(batch.values - 0.5)
        return features


class Decoder(nn.Module):
    """From latents to the likelihood of the pixels."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(LATENT, HIDDEN), nn.SiLU(),
            nn.Linear(HIDDEN, HIDDEN), nn.SiLU(),
            nn.Linear(HIDDEN, pixels), nn.Sigmoid(),
        )
        self.log_noise = nn.Parameter(torch.tensor(-1.5))

    def forward(self, latents: Tensor) -> GaussianPixels:
        """Return the likelihood of latents ``(..., latent)``."""
        return GaussianPixels(self.layers(latents), LEAST_NOISE + self.log_noise.exp())


def networks(sensors: int) -> Networks:
    """Return the networks for halves or quadrants."""
    pixels = 64 // sensors
    return Networks(
        names=tuple(PARTS[sensors]),
        latent=LATENT,
        trunk=lambda name: Trunk(pixels),
        head=lambda count: nn.Sequential(
            nn.Linear(count * HIDDEN, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, 2 * LATENT)
        ),
        decoder=lambda name: Decoder(pixels),
        packing=lambda name: ValuesOnly(),
    )


def load(sensors: int) -> tuple[dict[str, SensorBatch], Tensor]:
    """Return the images cut into parts, pixels in 0..1, and the classes, in the fixed order."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.images))
    images = (digits.images[order] / 16).astype(np.float32)
    batch = {}
    for name, part in PARTS[sensors].items():
        values = torch.from_numpy(images[part].reshape(len(images), -1).copy())
        mask = torch.ones(len(values), 1, dtype=torch.bool)
        batch[name] = SensorBatch(values, mask, mask)
    return batch, torch.from_numpy(digits.target[order])


def assemble(parts: dict[str, Tensor]) -> Tensor:
    """Return whole images, flattened, from their parts."""
    side = [part.unflatten(-1, (-1, 4)) for part in parts.values()]
    if len(side) == 2:
        return torch.cat(side, -1).flatten(-2)
    rows = [torch.cat(side[i:i + 2], -1) for i in (0, 2)]
    return torch.cat(rows, -2).flatten(-2)


def classes(model: Model, data: Batch, labels: Tensor, draws: int = 32) -> Figures:
    """
    Return the class accuracy and the coherence from every subset, on the test split.

    Accuracy: how often a logistic regression finds the class, by the mean of its probabilities
    over draws of q(z|x_S). There is one regression for all subsets, fitted to a draw of each
    subset's posterior for each training image; not to q(z|x_M) alone, because in a mixture of
    experts that consists of the single sensors' posteriors, and in other models it does not.
    Coherence: how often a logistic regression of the true images finds the class in the image
    that is decoded from a draw of q(z|x_S).
    """
    train, test = (select(data, SPLITS[which]) for which in ('train', 'test'))
    train_labels, test_labels = (labels[SPLITS[which]].numpy() for which in ('train', 'test'))
    with torch.no_grad():
        subsets = lattice(model.names)
        latents = torch.cat([model.posterior(train, subset).sample() for subset in subsets])
        on_latents = LogisticRegression(max_iter=300).fit(
            latents.numpy(), np.tile(train_labels, len(subsets))
        )
        images = assemble({name: train[name].values for name in model.names})
        on_images = LogisticRegression(max_iter=300).fit(images.numpy(), train_labels)
        accuracy, coherence = {}, {}
        for subset in subsets:
            latents = model.posterior(test, subset).sample((draws,))
            probability = on_latents.predict_proba(latents.flatten(0, 1).numpy())
            predicted = probability.reshape(draws, len(test_labels), -1).mean(0).argmax(1)
            accuracy['+'.join(subset)] = float((predicted == test_labels).mean())
            few = latents[:4]
            decoded = assemble({name: model.decode(few, name).mean()[0] for name in model.names})
            predicted = on_images.predict(decoded.flatten(0, 1).numpy()).reshape(len(few), -1)
            coherence['+'.join(subset)] = float((predicted == test_labels).mean())
    return {'accuracy': accuracy, 'coherence': coherence}


def run(
    sensors: int, model: str, settings: Figures, seed: int, steps: int, effort: Effort,
    *, parts: Networks | None = None,
) -> Figures:
    """Train one model, with the networks of this file or with `parts`, and return its figures."""
    torch.manual_seed(seed)
    data, labels = load(sensors)
    built = build(model, parts or networks(sensors), **settings)
    start = time.perf_counter()
    fit(
        built, select(data, SPLITS['train']),
        size=64, steps=steps, batch_size=64, learning_rate=5e-3, warm_up=0.1,
    )
    seconds = time.perf_counter() - start
    torch.manual_seed(seed)
    return {
        'seconds': seconds,
        'validation': criterion(built, select(data, SPLITS['validation']), effort),
        'test': {
            **likelihoods(built, select(data, SPLITS['test']), effort),
            **classes(built, data, labels),
        },
    }


def main() -> None:
    """Run every setting that is not in the file of runs, summarise and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--out', type=Path, required=True, help='JSON to write')
    parser.add_argument(
        '--runs', type=Path, default=Path('build/digits.runs.jsonl'),
        help='file of the figures of each run, from which a later call continues',
    )
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--steps', type=int, default=3000)
    parser.add_argument('--samples', type=int, default=512, help='of each integral, for scores')
    parser.add_argument('--sensors', type=int, nargs='+', default=[2, 4], choices=PARTS)
    parser.add_argument('--models', nargs='+', default=list(TRIALS), choices=TRIALS)
    arguments = parser.parse_args()
    started = time.monotonic()
    torch.set_num_threads(1)
    effort = Effort(arguments.samples)
    records = Records(arguments.runs, steps=arguments.steps, **asdict(effort))
    found, met = [], []
    for sensors in arguments.sensors:
        chosen, tried = compare(
            records, {'sensors': sensors}, arguments.models, arguments.seeds,
            partial(run, steps=arguments.steps, effort=effort),
        )
        title = f'Digits in {sensors} parts'
        found += tables(title, chosen, tried)
        met += bars(title, chosen)
    write(
        arguments.out, 'digits', shlex.join(['python', *sys.argv]),
        started - records.seconds_before, found, met,
    )


if __name__ == '__main__':
    main()

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Train every objective on a mixture with known densities, and compare with the exact figures.

The data are those of `gaussian_mixture_truth`; all objectives have the same small networks and the
same number of steps. Measured is how far log p of the trained decoders lies below the true one,
by quadrature over the latent plane, which needs no encoder, and by importance sampling from the
encoders; and how often the class is found from the mean of q(z|x_S), beside Bayes' classifier.

    python benchmarks/gaussian_mixture.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from math import log, pi, sqrt
from pathlib import Path
from statistics import mean, stdev
import time
from typing import Any

from gaussian_mixture_truth import (
    bayes_accuracy,
    CLASSES,
    draw_samples,
    entropy,
    expected_log_density,
    log_density,
    mean_and_error,
    Samples,
    SENSORS,
)
import numpy as np
from results import bar, table, write
import torch
from torch import nn, Tensor

from m2vae_ros.vae.estimators import log_likelihood
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.multimodal import MultimodalVAE
from m2vae_ros.vae.objectives import bound
from m2vae_ros.vae.subsets import lattice, Subset
from m2vae_ros.vae.terms import reconstructions, required_subsets

LATENT, HIDDEN, BATCH = 2, 64, 256
SUBSETS = lattice(SENSORS)
OBJECTIVES: list[tuple[str, str, dict[str, float]]] = [  # title, name, knobs
    ('vae', 'vae', {}),
    ('jvae', 'jvae', {}),
    ('jmvae', 'jmvae', {}),
    ('m2vae', 'm2vae', {}),
    ('m2vae, joint_prior_weight 0', 'm2vae', {'joint_prior_weight': 0}),
]
EXACT = {  # Bayes accuracy and log p, as published with the mixture
    ('x',): (0.698, 0.954), ('w',): (0.900, -0.395), ('x', 'w'): (1.000, 2.251),
}
MUTUAL_INFORMATION = 1.692
EDGE, STEP = 5.0, 0.03  # half side and step of the quadrature's grid in the latent plane
NEIGHBOURS = 50
Figures = dict[str, float]


class Trunk(nn.Module):
    """From a measurement in the plane to features."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, HIDDEN), nn.ReLU())

    def forward(self, batch: SensorBatch) -> Tensor:
        """Return (batch, HIDDEN)."""
        features: Tensor = self.layers(batch.values)
        return features


class Decoder(nn.Module):
    """From latents to p(x_m|z), with one learned noise."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
            nn.Linear(HIDDEN, 2),
        )
        self.log_variance = nn.Parameter(torch.tensor(-2.0))

    def forward(self, latents: Tensor) -> Plane:
        """Return the density for latents (..., LATENT)."""
        return Plane(self.layers(latents), self.log_variance)


class Plane:
    """An isotropic Gaussian in the plane."""

    def __init__(self, location: Tensor, log_variance: Tensor) -> None:
        self._location, self._log_variance = location, log_variance

    def log_prob(self, batch: SensorBatch) -> Tensor:
        """Return log p(x_m|z), (..., batch)."""
        error = (batch.values - self._location).square().sum(-1)
        return -0.5 * error * (-self._log_variance).exp() - self._log_variance - log(2 * pi)

    def mean(self) -> tuple[Tensor, None]:
        """Return the mean."""
        return self._location, None


def head(subset: Subset) -> nn.Module:
    """Return the encoder head of a subset."""
    return nn.Sequential(
        nn.Linear(HIDDEN * len(subset), HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENT)
    )


def as_batch(samples: Samples) -> dict[str, SensorBatch]:
    """Return samples as a batch for a model."""
    seen = torch.ones(len(samples.classes), dtype=torch.bool)
    return {
        name: SensorBatch(torch.from_numpy(samples.values[name]).float(), seen, seen)
        for name in SENSORS
    }


def train(
    name: str, knobs: Mapping[str, float], seed: int, steps: int, samples: Samples
) -> MultimodalVAE:
    """Return a trained model; the divergences fade in over the first fifth of the steps."""
    torch.manual_seed(seed)
    model = MultimodalVAE(
        {sensor: Trunk() for sensor in SENSORS}, head, {sensor: Decoder() for sensor in SENSORS},
        required_subsets(name, SENSORS),
    )
    generator = torch.Generator().manual_seed(seed)
    noise = [decoder.log_variance for decoder in model.decoders.values()]
    others = [each for each in model.parameters() if not any(each is other for other in noise)]
    rates = [3e-3, 3e-2]  # the log of the noise changes more than weights
    optimiser = torch.optim.Adam(
        [{'params': others, 'lr': rates[0]}, {'params': noise, 'lr': rates[1]}], fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rates, total_steps=steps, pct_start=0.05, cycle_momentum=False
    )
    data = as_batch(samples)
    needed = reconstructions(name, SENSORS)
    for step in range(steps):
        rows = torch.randint(len(samples.classes), (BATCH,), generator=generator)
        batch = {key: SensorBatch(*(part[rows] for part in each)) for key, each in data.items()}
        warm_up = min(1.0, 5 * (step + 1) / steps)
        posteriors_and_scores = model(batch, generator, reconstruct=needed)
        loss = -bound(
            name, *posteriors_and_scores, names=SENSORS, alpha=warm_up, beta=warm_up, **knobs
        ).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def quadrature(model: MultimodalVAE, batch: Mapping[str, SensorBatch]) -> dict[Subset, Tensor]:
    """Return log p(x_S) of every subset, the integral over z as a sum over a grid."""
    line = torch.arange(-EDGE, EDGE, STEP) + STEP / 2
    grid = torch.cartesian_prod(line, line).unsqueeze(1)  # (points, 1, LATENT)
    mass = -0.5 * grid.square().sum(-1) - log(2 * pi) + 2 * log(STEP)  # (points, 1)
    decoders = {name: model.decode(grid, name) for name in SENSORS}
    parts: dict[Subset, list[Tensor]] = {subset: [] for subset in SUBSETS}
    for start in range(0, len(batch[SENSORS[0]].values), 25):
        scores = {
            name: decoders[name].log_prob(
                SensorBatch(*(part[start:start + 25] for part in batch[name]))
            )
            for name in SENSORS
        }
        for subset, values in parts.items():
            total = mass + torch.stack([scores[name] for name in subset]).sum(0)
            values.append(total.logsumexp(0).double())
    return {subset: torch.cat(values) for subset, values in parts.items()}


@torch.no_grad()
def accuracies(model: MultimodalVAE, known: Samples, asked: Samples) -> Figures:
    """
    Return how often the class of asked samples is found from the mean of q_S.

    It is the most common class among the nearest means of known samples: means of the same q_S
    (``own``) or, if there is one, of q_M for every S (``joint``).
    """
    known_batch, asked_batch = as_batch(known), as_batch(asked)
    labels = torch.nn.functional.one_hot(torch.from_numpy(known.classes))
    truth = torch.from_numpy(asked.classes)

    def accuracy(known_means: Tensor, asked_means: Tensor) -> float:
        nearest = torch.cdist(asked_means, known_means).topk(NEIGHBOURS, largest=False).indices
        return float((labels[nearest].sum(1).argmax(1) == truth).float().mean())

    found = {}
    for subset in model.trained_subsets:
        asked_means = model.encode(asked_batch, subset).mean
        own = model.encode(known_batch, subset).mean
        found[f'own {format_subset(subset)}'] = accuracy(own, asked_means)
        if SENSORS in model.trained_subsets:
            joint = model.encode(known_batch, SENSORS).mean
            found[f'joint {format_subset(subset)}'] = accuracy(joint, asked_means)
    return found


def figures(model: MultimodalVAE, tests: Samples, known: Samples, asked: Samples) -> Figures:
    """Return all figures of a model; log p as its difference to the truth, nats."""
    batch = as_batch(tests)
    exact = {subset: torch.from_numpy(log_density(tests, subset)) for subset in SUBSETS}
    integral = quadrature(model, batch)
    found = {
        f'quadrature {format_subset(s)}': float((integral[s] - exact[s]).mean()) for s in SUBSETS
    }
    generator = torch.Generator().manual_seed(3)
    for subset in model.trained_subsets:
        estimate = log_likelihood(model, batch, subset, samples=1000, generator=generator)
        name = format_subset(subset)
        found[f'sampled {name}'] = float((estimate.value - exact[subset]).mean())
        found[f'effective {name}'] = float(estimate.effective_sample_size.median())
    for kind in ('quadrature', 'sampled'):
        if f'{kind} x+w' in found and f'{kind} x' in found:
            found[f'{kind} w|x'] = found[f'{kind} x+w'] - found[f'{kind} x']
            found[f'{kind} x|w'] = found[f'{kind} x+w'] - found[f'{kind} w']
    return found | accuracies(model, known, asked)


def format_subset(subset: Subset) -> str:
    """Return a subset's sensors joined by ``+``."""
    return '+'.join(subset)


def format_over_seeds(runs: list[Figures], key: str, digits: int = 3) -> str:
    """Return mean and standard error of a figure as text; a dash if the objective has none."""
    if key not in runs[0]:
        return '-'
    values = [run[key] for run in runs]
    error = stdev(values) / sqrt(len(values)) if len(values) > 1 else 0.0
    return f'{mean(values):.{digits}f} +- {error:.{digits}f}'


def exact_figures(samples: Samples) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the table of the exact and the published figures, and the bar on their agreement."""
    lines, differences = [], []
    for subset in SUBSETS:
        accuracy = bayes_accuracy(samples, subset)
        nats, error = expected_log_density(samples, subset)
        published = EXACT[subset]
        differences += [abs(accuracy - published[0]), abs(nats - published[1])]
        lines.append([
            format_subset(subset), f'{accuracy:.4f}', f'{published[0]:.3f}',
            f'{nats:.4f} +- {error:.4f}', f'{published[1]:.3f}',
        ])
    shared, error = mean_and_error(
        log(CLASSES) + entropy(samples, SENSORS)
        - entropy(samples, ['x']) - entropy(samples, ['w'])
    )
    differences.append(abs(shared - MUTUAL_INFORMATION))
    lines.append(['mutual information', '', '', f'{shared:.4f} +- {error:.4f}',
                  f'{MUTUAL_INFORMATION:.3f}'])
    return table(
        'Exact figures', ['S', 'Bayes accuracy', 'published', 'log p(x_S) (nat)', 'published'],
        lines, f'{len(samples.classes)} samples of the true densities.',
    ), bar(
        'exact figures as published, within 0.005',
        f'largest difference {max(differences):.4f}', max(differences) <= 0.005,
    )


def tables(runs: Mapping[str, list[Figures]], seeds: int) -> list[dict[str, Any]]:
    """Return the tables of the trained models."""
    places = ('x', 'w', 'x+w', 'w|x', 'x|w')

    def of(
        title: str, kind: str, columns: tuple[str, ...], note: str,
        label: Callable[[str], str], digits: int = 3,
    ) -> dict[str, Any]:
        """Return a table of one kind of figure, a row for each objective."""
        return table(title, ['objective', *map(label, columns)], [
            [name, *(format_over_seeds(each, f'{kind} {column}', digits) for column in columns)]
            for name, each in runs.items()
        ], f'{note} Mean and standard error over {seeds} seeds.')

    subsets = tuple(format_subset(subset) for subset in SUBSETS)
    return [
        of('Log-likelihood of the decoders less the true one, by quadrature', 'quadrature', places,
           '0 nat is perfect; vae trains its sensors apart, so nothing makes their latents agree.',
           lambda place: f'log p({place.replace("+", ", ")})'),
        of('The same by importance sampling, 1000 draws of q_S', 'sampled', places,
           'A dash: the objective has no such encoder.',
           lambda place: f'log p({place.replace("+", ", ")})'),
        of('Effective sample size of 1000 draws, median', 'effective', subsets, '', str, 0),
        of('Class accuracy from the mean of q_S, classifier fitted to means of q_S', 'own',
           subsets, f'{NEIGHBOURS} nearest neighbours of 4000 samples.', str),
        of('Class accuracy from the mean of q_S, classifier fitted to means of q_M', 'joint',
           subsets, f'{NEIGHBOURS} nearest neighbours of 4000 samples, one classifier for all S.',
           str),
    ]


def main() -> None:
    """Check the exact figures, train, compare, print and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--steps', type=int, default=3000)
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--out', type=Path, default=Path('build/gaussian_mixture.json'))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started = time.monotonic()
    rng = np.random.default_rng(0)
    exact, agrees = exact_figures(draw_samples(200_000, rng))
    print(f'{agrees["bar"]}: {agrees["value"]}: {"met" if agrees["met"] else "NOT met"}')
    training, tests, known, asked = (
        draw_samples(count, rng) for count in (50_000, 400, 4000, 4000)
    )
    runs: dict[str, list[Figures]] = {}
    for title, name, knobs in OBJECTIVES:
        runs[title] = []
        for seed in range(arguments.seeds):
            model = train(name, knobs, seed, arguments.steps, training)
            runs[title].append(figures(model, tests, known, asked))
            print(title, seed, {k: round(v, 3) for k, v in runs[title][-1].items()}, flush=True)
    write(
        arguments.out, 'gaussian_mixture', 'python benchmarks/gaussian_mixture.py', started,
        [exact, *tables(runs, arguments.seeds)], [agrees],
    )


if __name__ == '__main__':
    main()

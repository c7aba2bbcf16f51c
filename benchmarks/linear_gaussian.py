# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Train every objective where its optimum is known, and check estimators and calibration by it.

The model is linear-Gaussian (`linear_gaussian_optimum`); decoders are the true ones, encoders have
the exact family: linear means and free variances. They are trained through `objectives.bound` on
fresh data in every step. Compared are the variances, as ratios to the true posterior's, with those
of the analytic optimum; importance-sampled log-likelihoods with the analytic ones; and how often
the true z lies in the 90 % region, before and after a temperature is fitted on other data.

    python benchmarks/linear_gaussian.py
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from math import log, pi
from pathlib import Path
from random import Random
import time
from typing import Any

from linear_gaussian_optimum import coverage_90, LinearGaussian, optimum, Posterior, Subset
import numpy as np
from results import bar, table, write
import torch
from torch import nn, Tensor
from torch.distributions import MultivariateNormal

from m2vae_ros.vae.calibration import coverage, fit_temperature
from m2vae_ros.vae.estimators import log_likelihood
from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.multimodal import MultimodalVAE
from m2vae_ros.vae.objectives import bound
from m2vae_ros.vae.terms import reconstructions, required_subsets

NAMES = ('a', 'b', 'c')
OBJECTIVES: list[tuple[str, str, dict[str, float], bool]] = [  # title, name, knobs, sampled
    ('vae', 'vae', {}, False),
    ('jvae', 'jvae', {}, False),
    ('jmvae', 'jmvae', {}, False),
    ('m2vae', 'm2vae', {}, False),
    ('m2vae, sampled orderings', 'm2vae', {}, True),
    ('m2vae, alpha 3', 'm2vae', {'alpha': 3}, False),
    ('m2vae, joint_prior_weight 0', 'm2vae', {'joint_prior_weight': 0}, False),
]
MAX_RATIO_ERROR, MAX_NATS_ERROR, COVERAGE_RANGE = 0.02, 0.01, (0.89, 0.91)  # the bars
HELD_OUT = 200_000  # samples for the coverage, whose standard error is then 0.0007


class Values(nn.Module):
    """A trunk: the features of a sensor are its measurements."""

    def forward(self, batch: SensorBatch) -> Tensor:
        """Return (batch, 1)."""
        return batch.values


class Head(nn.Module):
    """A linear mean and a free variance; both start away from every optimum."""

    def __init__(self, sensors: int) -> None:
        super().__init__()
        self.mean = nn.Linear(sensors, 1)
        self.log_variance = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        """Return mean and log variance, (batch, 2)."""
        mean = self.mean(features)
        return torch.cat([mean, self.log_variance.expand_as(mean)], 1)


class Sensor(nn.Module):
    """The true p(x_m|z)."""

    def __init__(self, gain: float, noise: float) -> None:
        super().__init__()
        self.gain, self.noise = gain, noise

    def forward(self, latents: Tensor) -> Density:
        """Return the density for latents (..., 1)."""
        return Density(self.gain * latents, self.noise)


class Density:
    """A Gaussian likelihood."""

    def __init__(self, mean: Tensor, noise: float) -> None:
        self._mean, self._noise = mean, noise

    def log_prob(self, batch: SensorBatch) -> Tensor:
        """Return log p(x_m|z), (..., batch)."""
        error = ((batch.values - self._mean) / self._noise).square()
        return (-0.5 * (error + log(2 * pi)) - log(self._noise)).squeeze(-1)

    def mean(self) -> tuple[Tensor, None]:
        """Return the mean."""
        return self._mean, None


def draw_model(n: int) -> LinearGaussian:
    """Return a random model of n sensors, seeded by n."""
    rng = np.random.default_rng(n)
    return LinearGaussian(rng.uniform(0.6, 1.6, n), rng.uniform(0.4, 0.9, n))


def draw_samples(
    truth: LinearGaussian, count: int, generator: torch.Generator
) -> tuple[dict[str, SensorBatch], Tensor]:
    """Return measurements, (count, 1) each, and the latents they come from."""
    z = torch.randn(count, 1, generator=generator, dtype=torch.float64)
    seen = torch.ones(count, 1, dtype=torch.bool)
    batch = {}
    for name, gain, noise in zip(NAMES, truth.gains, truth.noises, strict=False):
        error = torch.randn(count, 1, generator=generator, dtype=torch.float64)
        batch[name] = SensorBatch(gain * z + noise * error, seen, seen)
    return batch, z


def train(
    truth: LinearGaussian, name: str, knobs: dict[str, float], sampled: bool, steps: int
) -> MultimodalVAE:
    """Return a trained model, its encoders averaged over the last half of the steps."""
    torch.manual_seed(0)
    names = NAMES[:len(truth.gains)]
    model = MultimodalVAE(
        {sensor: Values() for sensor in names}, lambda subset: Head(len(subset)),
        {sensor: Sensor(float(gain), float(noise))
         for sensor, gain, noise in zip(names, truth.gains, truth.noises, strict=True)},
        required_subsets(name, names),
    ).double()
    generator, orderings = torch.Generator().manual_seed(1), Random(1)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=3e-4)
    averaged = torch.optim.swa_utils.AveragedModel(model)
    for step in range(steps):
        batch, _ = draw_samples(truth, 1024, generator)
        ordering = orderings.sample(names, len(names)) if sampled else None
        found = model(batch, generator, reconstruct=reconstructions(
            name, names, ordering=ordering
        ))
        optimiser.zero_grad()
        (-bound(name, *found, names=names, ordering=ordering, **knobs).mean()).backward()
        optimiser.step()
        schedule.step()
        if step >= steps // 2:
            averaged.update_parameters(model)
    model.load_state_dict(averaged.module.state_dict())
    return model.eval()


def expected_bound(
    truth: LinearGaussian, name: str, posteriors: Mapping[Subset, Posterior], **knobs: float
) -> float:
    """
    Return the exact expectation of `objectives.bound` over the data.

    It is quadratic in the data, so it is the mean over any points with the data's mean and
    covariance. The reconstruction's expectation over q_S has a closed form.
    """
    n = len(truth.gains)
    root = n**0.5 * np.linalg.cholesky(truth.covariance)
    points = torch.from_numpy(np.concatenate([root.T, -root.T]))  # (2 n, n)
    gaussians, scores = {}, {}
    for subset, q in posteriors.items():
        key = tuple(NAMES[m] for m in subset)
        mean = points[:, list(subset)] @ torch.from_numpy(q.mean_map)
        gaussians[key] = DiagonalGaussian(
            mean.unsqueeze(1), torch.full((2 * n, 1), log(q.variance), dtype=torch.float64)
        )
        scores[key] = {
            NAMES[m]: -0.5 * (
                ((points[:, m] - gain * mean).square() + gain**2 * q.variance) / noise**2
                + log(2 * pi * noise**2)
            )
            for m, gain, noise in (
                (m, float(truth.gains[m]), float(truth.noises[m])) for m in subset
            )
        }
    return float(bound(name, gaussians, scores, names=NAMES[:n], **knobs).mean())


def trained_posteriors(model: MultimodalVAE) -> dict[Subset, Posterior]:
    """Return the trained encoders in the form of the analytic posteriors."""
    found = {}
    for subset in model.trained_subsets:
        head = model.heads['+'.join(subset)]
        found[tuple(model.names.index(sensor) for sensor in subset)] = Posterior(
            head.mean.weight.detach()[0].numpy(), head.log_variance.detach().exp().item()
        )
    return found


def format_subset(subset: Subset) -> str:
    """Return a subset's sensors joined by ``+``."""
    return '+'.join(NAMES[m] for m in subset)


def log_likelihood_errors(truth: LinearGaussian, model: MultimodalVAE) -> dict[str, float]:
    """Return S -> estimated minus exact log p(x_S), the mean over 500 samples, nats."""
    batch, _ = draw_samples(truth, 500, torch.Generator().manual_seed(3))
    errors = {}
    for subset in model.trained_subsets:
        chosen = [model.names.index(sensor) for sensor in subset]
        covariance = torch.from_numpy(truth.covariance[np.ix_(chosen, chosen)])
        exact = MultivariateNormal(torch.zeros(len(chosen), dtype=torch.float64), covariance)
        values = torch.cat([batch[sensor].values for sensor in subset], 1)
        estimate = log_likelihood(
            model, batch, subset, samples=2000, generator=torch.Generator().manual_seed(4)
        )
        errors['+'.join(subset)] = float((estimate.value - exact.log_prob(values)).mean())
    return errors


@torch.no_grad()
def coverages_90(
    truth: LinearGaussian, model: MultimodalVAE
) -> dict[str, tuple[float, float, float]]:
    """Return S -> temperature, and coverage of the 90 % region without and with it."""
    fitting = draw_samples(truth, HELD_OUT, torch.Generator().manual_seed(5))
    testing = draw_samples(truth, HELD_OUT, torch.Generator().manual_seed(6))
    found = {}
    for subset in model.trained_subsets:
        temperature = fit_temperature(model.encode(fitting[0], subset), fitting[1])
        posterior = model.encode(testing[0], subset)
        before, after = (
            float(coverage(q, testing[1], (0.9,)).observed[0])
            for q in (posterior, posterior.tempered(temperature))
        )
        found['+'.join(subset)] = (temperature, before, after)
    return found


def main() -> None:
    """Train, compare, print and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--steps', type=int, default=3000)
    parser.add_argument('--out', type=Path, default=Path('build/linear_gaussian.json'))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started = time.monotonic()
    variances: list[list[Any]] = []
    calibrations: list[list[Any]] = []
    ratio_errors: list[float] = []
    nats_errors: list[float] = []
    tempered_coverages: list[float] = []
    for n in (2, 3):
        truth = draw_model(n)
        for title, name, knobs, sampled in OBJECTIVES:
            model = train(truth, name, knobs, sampled, arguments.steps)
            best, learned = optimum(truth, name, **knobs), trained_posteriors(model)
            errors, coverages = log_likelihood_errors(truth, model), coverages_90(truth, model)
            for subset, posterior in learned.items():
                precision = truth.precision(subset)
                ratios = posterior.variance * precision, best[subset].variance * precision
                ratio_errors.append(abs(ratios[0] / ratios[1] - 1))
                mean_error = np.abs(posterior.mean_map - best[subset].mean_map).max()
                variances.append([
                    n, title, format_subset(subset), f'{ratios[1]:.3f}', f'{ratios[0]:.3f}',
                    f'{100 * (ratios[0] / ratios[1] - 1):+.2f} %', f'{mean_error:.4f}',
                    f'{errors[format_subset(subset)]:+.4f}',
                ])
                temperature, before, after = coverages[format_subset(subset)]
                calibrations.append([
                    n, title, format_subset(subset),
                    f'{coverage_90(truth, subset, best[subset]):.3f}',
                    f'{before:.3f}', f'{temperature:.3f}', f'{after:.3f}',
                ])
                nats_errors.append(abs(errors[format_subset(subset)]))
                tempered_coverages.append(after)
                print(*variances[-1], '|', *calibrations[-1][3:], flush=True)
    low, high = min(tempered_coverages), max(tempered_coverages)
    bars = [
        bar(f'variance ratios within {MAX_RATIO_ERROR:.0%} of the analytic optimum',
            f'largest difference {max(ratio_errors):.2%}', max(ratio_errors) <= MAX_RATIO_ERROR),
        bar(f'importance-sampled log p within {MAX_NATS_ERROR} nat of the analytic one',
            f'largest difference of the means {max(nats_errors):.4f} nat',
            max(nats_errors) <= MAX_NATS_ERROR),
        bar(f'90 % region with temperature covers {COVERAGE_RANGE[0]}-{COVERAGE_RANGE[1]}',
            f'{low:.3f}-{high:.3f}', COVERAGE_RANGE[0] <= low and high <= COVERAGE_RANGE[1]),
    ]
    write(arguments.out, 'linear_gaussian', 'python benchmarks/linear_gaussian.py', started, [
        table('Trained against analytic optimum', [
            'N', 'objective', 'S', 'optimal variance ratio', 'trained', 'difference',
            'largest error of the mean map', 'log p(x_S), estimate - truth (nat)',
        ], variances, 'Ratio: variance of q_S over that of the true posterior. 2000 importance '
            'draws, mean over 500 samples.'),
        table('Coverage of the 90 % region', [
            'N', 'objective', 'S', 'at the optimum', 'trained', 'temperature', 'with temperature',
        ], calibrations, f'{HELD_OUT} held-out samples; the temperature was fitted on others.'),
    ], bars)
    for each in bars:
        print(f'{each["bar"]}: {each["value"]}: {"met" if each["met"] else "NOT met"}')


if __name__ == '__main__':
    main()

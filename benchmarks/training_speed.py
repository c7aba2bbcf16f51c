# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Measure a training step: beside MultiVae's JMVAE, and as the number of sensors grows.

The contenders take turns in every round, so that a ratio holds on a busy machine; times are those
of the processor, with one thread. A step is the loss, its gradient and the optimiser's step.

* Beside MultiVae's JMVAE with the same networks, batch and optimiser: m2vae in closed form, m2vae
  with sampled orderings, and jmvae, which has the same terms as the library's for two sensors.
* For 1..8 sensors with small networks: closed form, sampled orderings, and Eq. 83 as it is
  written, a recursion of N! branches that encodes and decodes anew in each call.

    python benchmarks/training_speed.py --out benchmarks/results/training_speed.json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
import random
from statistics import median, quantiles
import time
from typing import Any

import digits
from multivae_models import Batch, MultiVae, Networks, Ours
from results import write
import robot_comparison
from scoring import select
import torch
from torch import nn, Tensor

from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.objectives import bound
from m2vae_ros.vae.subsets import Subset, without
from m2vae_ros.vae.terms import reconstructions

BATCH = 64
LIMIT = {'closed': 8, 'sampled': 8, 'recursion': 6}


class SampledOrderings(nn.Module):
    """Our model, trained by the ordering-sampled estimate of m2vae, one ordering a step."""

    def __init__(self, networks: Networks) -> None:
        super().__init__()
        self.model = Ours('m2vae', networks).model

    def loss(self, batch: Batch) -> Tensor:
        """Return minus the estimate for a random ordering."""
        names = self.model.names
        ordering = random.sample(names, len(names))
        needed = reconstructions('m2vae', names, ordering=ordering)
        posteriors, scores = self.model(batch, reconstruct=needed)
        return -bound('m2vae', posteriors, scores, names=names, ordering=ordering).mean()


class Recursion(nn.Module):
    """Our model, trained by Eq. 83 as it is written."""

    def __init__(self, networks: Networks) -> None:
        super().__init__()
        self.model = Ours('m2vae', networks).model

    def loss(self, batch: Batch) -> Tensor:
        """Return minus the recursion's value."""
        return -self._value(batch, self.model.names).mean()

    def _value(self, batch: Batch, subset: Subset) -> Tensor:
        posterior = self.model.encode(batch, subset)
        latents = posterior.rsample()
        value = -posterior.kl_from_standard()
        for name in subset:
            value = value + self.model.decode(latents, name).log_prob(batch[name])
        if len(subset) == 1:
            return value
        smaller = [without(subset, name) for name in subset]
        for others in smaller:
            value = value - posterior.kl(self.model.encode(batch, others))
        return (value + sum(self._value(batch, others) for others in smaller)) / len(subset)


def stepping(model: Any, batch: Batch) -> Callable[[], None]:
    """Return a training step of a model."""
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()

    return step


def rounds(
    steps: Mapping[str, Callable[[], None]], count: int, seconds: float
) -> dict[str, list[float]]:
    """Return each contender's time of a step in each round, in seconds."""
    repeats = {}
    for name, step in steps.items():
        step()
        repeats[name] = max(1, round(seconds / _timed(step)))
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(count):
        for name, step in steps.items():
            times[name].append(_timed(step, repeats[name]))
    return times


def _timed(step: Callable[[], None], repeats: int = 1) -> float:
    start = time.process_time()
    for _ in range(repeats):
        step()
    return (time.process_time() - start) / repeats


def beside_multivae(networks: Networks, batch: Batch, count: int) -> dict[str, Any]:
    """Return samples a second, and ours over the library's as [median, quartiles]."""
    models = {
        'MultiVae JMVAE': MultiVae('JMVAE', networks),
        'm2vae, closed form': Ours('m2vae', networks),
        'm2vae, sampled orderings': SampledOrderings(networks),
        'jmvae': Ours('jmvae', networks),
    }
    times = rounds({name: stepping(model, batch) for name, model in models.items()}, count, 0.2)
    library = times.pop('MultiVae JMVAE')
    return {
        'samples_per_second': {
            name: round(BATCH / median(each))
            for name, each in {'MultiVae JMVAE': library, **times}.items()
        },
        'ratio': {
            name: _spread([theirs / ours for theirs, ours in zip(library, each, strict=True)])
            for name, each in times.items()
        },
    }


def growth(count: int, largest: int) -> dict[str, dict[str, Any]]:
    """Return milliseconds of a step for 1.. sensors: [median, quartiles]."""
    result: dict[str, dict[str, Any]] = {form: {} for form in LIMIT}
    for sensors in range(1, largest + 1):
        networks = _small(sensors)
        values = torch.rand(BATCH, 16)
        batch = {name: SensorBatch(values, values, values) for name in networks.names}
        models = {
            'closed': Ours('m2vae', networks),
            'sampled': SampledOrderings(networks),
            'recursion': Recursion(networks),
        }
        steps = {
            form: stepping(model, batch)
            for form, model in models.items() if sensors <= LIMIT[form]
        }
        for form, times in rounds(steps, count, 0.05).items():
            result[form][str(sensors)] = _spread([1000 * each for each in times])
    return result


def _small(sensors: int) -> Networks:
    """Return the networks of a quadrant of the digits for any number of sensors."""
    like = digits.networks(4)
    return Networks(
        tuple(f'sensor_{index}' for index in range(sensors)),
        like.latent, like.trunk, like.head, like.decoder, like.packing,
    )


def _spread(values: list[float]) -> list[float]:
    low, _, high = quantiles(values, n=4) if len(values) > 1 else 3 * values
    return [round(each, 3) for each in (median(values), low, high)]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--out', type=Path, required=True, help='JSON to write')
    parser.add_argument('--rounds', type=int, default=20)
    parser.add_argument('--largest', type=int, default=8, help='number of sensors')
    arguments = parser.parse_args()
    started = time.perf_counter()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)
    beside = {}
    for sensors in (2, 4):
        data, _ = digits.load(sensors)
        beside[f'digits, {sensors} sensors'] = beside_multivae(
            digits.networks(sensors), select(data, slice(0, BATCH)), arguments.rounds
        )
    beside['robot, 3 sensors'] = beside_multivae(
        robot_comparison.networks(), robot_comparison.random_batch(BATCH), arguments.rounds // 4
    )
    results = {
        'batch': BATCH,
        'beside_multivae': beside,
        'milliseconds_by_sensors': growth(arguments.rounds // 4, arguments.largest),
    }
    write(arguments.out, 'training_speed', results, started)


if __name__ == '__main__':
    main()

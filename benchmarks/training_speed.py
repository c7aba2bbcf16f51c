# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Measure a training step, compared with MultiVae's JMVAE and by the number of sensors.

The contenders take turns in every round, so that a ratio holds on a busy machine. A step is the
loss, its gradient and the optimiser's step. With one thread, times are processor times; with two,
which may wait for each other, they are wall-clock times.

* Compared with MultiVae's JMVAE with the same networks, batch and optimiser: m2vae in closed form,
  with sampled orderings or reconstructions, and jmvae, which for two sensors has the library's
  terms; also how often each runs trunks and decoders, and how much it computes.
* For 1..8 sensors with small networks: the same, and Eq. 83 literally, a recursion of N! branches
  that encodes and decodes again in each call.

    python benchmarks/training_speed.py --out benchmarks/results/training_speed.json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
import random
import shlex
from statistics import median, quantiles
import sys
import time
from typing import Any

from compared_networks import Batch, Networks
import digits
from multivae_models import MultiVae, Ours
from results import bar, table, write
import robot_comparison
from scoring import select
import torch
from torch import nn, Tensor
from torch.utils.flop_counter import FlopCounterMode

from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.objectives import bound
from m2vae_ros.vae.subsets import m2vae_weight, Subset, without
from m2vae_ros.vae.terms import reconstructions

BATCH = 64
LARGEST_RECURSION = 6
FASTER = 1.5
LIBRARY = 'JMVAE of MultiVae'
Times = dict[str, list[float]]


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


class SampledReconstructions(nn.Module):
    r"""
    Our model, trained by m2vae with all divergences and one reconstruction per sensor.

    The weights 1 / (\|S\| C(N, \|S\|)) of the subsets that have a sensor sum to 1: the
    reconstruction terms are a mean over subsets, of which each sample draws one per sensor.
    """

    def __init__(self, networks: Networks) -> None:
        super().__init__()
        self.model = Ours('m2vae', networks).model
        subsets, count = self.model.trained_subsets, len(self.model.names)
        self.chances = {
            name: torch.tensor([
                m2vae_weight(len(subset), count) if name in subset else 0.0 for subset in subsets
            ])
            for name in self.model.names
        }

    def loss(self, batch: Batch) -> Tensor:
        """Return minus the estimate."""
        subsets = self.model.trained_subsets
        posteriors, _ = self.model(batch, reconstruct=dict.fromkeys(subsets, ()))
        latents = torch.stack([posterior.rsample() for posterior in posteriors.values()])
        samples = torch.arange(latents.shape[1])
        zero = latents.new_zeros(len(samples))
        none = {subset: dict.fromkeys(subset, zero) for subset in subsets}
        value = bound('m2vae', posteriors, none)
        for name, chance in self.chances.items():
            rows = torch.multinomial(chance, len(samples), replacement=True)
            value = value + self.model.decode(latents[rows, samples], name).log_prob(batch[name])
        return -value.mean()


class Recursion(nn.Module):
    """Our model, trained by Eq. 83 literally."""

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


CONTENDERS: Mapping[str, Callable[[Networks], Any]] = {
    LIBRARY: partial(MultiVae, 'JMVAE'),
    'm2vae': partial(Ours, 'm2vae'),
    'm2vae, sampled orderings': SampledOrderings,
    'm2vae, sampled reconstructions': SampledReconstructions,
    'jmvae': partial(Ours, 'jmvae'),
}


def make_step(model: Any, batch: Batch) -> Callable[[], None]:
    """Return a function that takes one training step of a model."""
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()

    return step


def time_rounds(
    steps: Mapping[str, Callable[[], None]],
    count: int,
    seconds: float,
    clock: Callable[[], float] = time.process_time,
) -> Times:
    """Return contender -> seconds per step in each round, of about `seconds` each."""
    repeats = {}
    for name, step in steps.items():
        step()
        repeats[name] = max(1, round(seconds / _time(step, clock)))
    times: Times = {name: [] for name in steps}
    for _ in range(count):
        for name, step in steps.items():
            times[name].append(_time(step, clock, repeats[name]))
    return times


def _time(step: Callable[[], None], clock: Callable[[], float], repeats: int = 1) -> float:
    start = clock()
    for _ in range(repeats):
        step()
    return (clock() - start) / repeats


def time_contenders(networks: Networks, batch: Batch, count: int, threads: int) -> Times:
    """Return contender -> seconds per step in each round; the library's model is the first."""
    steps = {name: make_step(make(networks), batch) for name, make in CONTENDERS.items()}
    clock = time.process_time if threads == 1 else time.perf_counter
    torch.set_num_threads(threads)
    try:
        return time_rounds(steps, count, 0.05, clock)
    finally:
        torch.set_num_threads(1)


def count_work(make: Callable[[Networks], Any], networks: Networks, batch: Batch) -> list[float]:
    """Return how often a step runs trunks and decoders on a batch, and its Gflop."""
    runs = {'trunk': 0.0, 'decoder': 0.0}

    def counted(kind: str, name: str) -> nn.Module:
        module: nn.Module = getattr(networks, kind)(name)

        def count(_: nn.Module, given: tuple[Any, ...], output: Any) -> None:
            latents = given[0].shape[:-1].numel() if kind == 'decoder' else BATCH
            runs[kind] += latents / BATCH

        module.register_forward_hook(count)
        return module

    model = make(replace(networks, **{kind: partial(counted, kind) for kind in runs}))
    with FlopCounterMode(display=False) as counter:
        model.loss(batch).backward()
    return [*runs.values(), counter.get_total_flops() / 1e9]


def time_by_sensors(count: int, largest: int) -> dict[int, Times]:
    """Return number of sensors -> form of m2vae -> seconds per step in each round."""
    result = {}
    for sensors in range(1, largest + 1):
        networks = _small_networks(sensors)
        values = torch.rand(BATCH, 16)
        batch = {name: SensorBatch(values, values, values) for name in networks.names}
        models = {
            'closed form': Ours('m2vae', networks),
            'sampled orderings': SampledOrderings(networks),
            'sampled reconstructions': SampledReconstructions(networks),
        }
        if sensors <= LARGEST_RECURSION:
            models['recursion'] = Recursion(networks)
        steps = {form: make_step(model, batch) for form, model in models.items()}
        result[sensors] = time_rounds(steps, count, 0.05)
    return result


def _small_networks(sensors: int) -> Networks:
    """Return the networks of a quadrant of the digits for any number of sensors."""
    quadrants = digits.networks(4)
    return replace(quadrants, names=tuple(f'sensor_{index}' for index in range(sensors)))


def _format_spread(values: list[float]) -> str:
    low, _, high = quantiles(values, n=4) if len(values) > 1 else 3 * values
    return f'{median(values):.2f} ({low:.2f}-{high:.2f})'


def _beside_tables(cases: Mapping[tuple[str, int], Times]) -> tuple[list[Any], list[Any]]:
    """Return the table of samples per second, and the bars on the ratios."""
    rows, bars = [], []
    for (title, threads), times in cases.items():
        for name, seconds in times.items():
            ratios = [
                library / own for library, own in zip(times[LIBRARY], seconds, strict=True)
            ]
            rows.append([
                title, threads, name, f'{BATCH / median(seconds):.0f}', _format_spread(ratios),
            ])
            if name != LIBRARY:
                clause = 'one thread' if threads == 1 else f'{threads} threads'
                bars.append(bar(
                    f'{title}, {clause}: {name} at least {FASTER} times the samples a second of '
                    f'{LIBRARY}', _format_spread(ratios), median(ratios) >= FASTER,
                ))
    note = f'Batches of {BATCH}; median and quartiles over the rounds.'
    columns = ['networks', 'threads', 'objective', 'samples/s', 'times the library']
    return [table('A step beside MultiVae', columns, rows, note)], bars


def _work_table(cases: Mapping[str, tuple[Networks, Batch]]) -> Any:
    """Return the table of what a step computes."""
    rows = []
    for title, case in cases.items():
        found = {name: count_work(make, *case) for name, make in CONTENDERS.items()}
        rows += [
            [title, name, f'{trunks:g}', f'{decoders:g}', f'{flop:.3g}',
             f'{found[LIBRARY][-1] / flop:.2f}']
            for name, (trunks, decoders, flop) in found.items()
        ]
    note = (
        'How often a step runs a trunk or decoder on a batch, and the Gflop of its products and '
        'convolutions: the last column is the speed-up if these were all that takes time.'
    )
    columns = ['networks', 'objective', 'trunks', 'decoders', 'Gflop', "library's Gflop over it"]
    return table('What a step runs', columns, rows, note)


def _growth_tables(times: Mapping[int, Times]) -> tuple[list[Any], list[Any]]:
    """Return the table of step times by the number of sensors, and the bars on their growth."""
    forms = list(times[1])
    rows = [
        [n, *(
            _format_spread([1000 * t for t in of_n[form]]) if form in of_n else ''
            for form in forms
        )]
        for n, of_n in times.items()
    ]
    bars = []
    for form, law, steps in (
        ('closed form', 'N 2^(N-1)', lambda n: n * 2 ** (n - 1)),
        ('sampled orderings', 'N', lambda n: n),
    ):
        growths = {
            n: median(of_n[form]) / median(times[1][form])
            for n, of_n in times.items() if n > 1
        }
        bars.append(bar(
            f'A step of m2vae, {form}, grows no faster than {law} from 1 sensor on',
            ', '.join(f'N={n}: {growth:.1f} of {steps(n)}' for n, growth in growths.items()),
            all(growth <= steps(n) for n, growth in growths.items()),
        ))
    columns = ['sensors', *(f'{form}, ms' for form in forms)]
    note = (
        'Networks of a quadrant of the digits; median and quartiles over the rounds. The k-th of '
        "an ordering's N heads multiplies the features of k sensors, and the optimiser passes "
        'over the parameters of all 2^N - 1: these two grow faster than N.'
    )
    return [table('A step by the number of sensors', columns, rows, note)], bars


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--out', type=Path, required=True, help='JSON to write')
    parser.add_argument('--rounds', type=int, default=40)
    parser.add_argument('--largest', type=int, default=8, help='number of sensors')
    arguments = parser.parse_args()
    started = time.monotonic()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)
    cases: dict[str, tuple[Networks, Batch]] = {
        f'digits in {sensors} parts': (
            digits.networks(sensors), select(digits.load(sensors)[0], slice(0, BATCH))
        )
        for sensors in digits.PARTS
    }
    cases['robot, 3 sensors'] = robot_comparison.networks(), robot_comparison.random_batch(BATCH)
    few = max(4, arguments.rounds // 5)
    beside = {
        (title, threads): time_contenders(
            *case, few if title.startswith('robot') else arguments.rounds, threads
        )
        for threads in (1, 2)
        for title, case in cases.items()
    }
    tables, bars = _beside_tables(beside)
    tables.append(_work_table(cases))
    more, growths = _growth_tables(time_by_sensors(few, arguments.largest))
    write(
        arguments.out, 'training_speed', shlex.join(['python', *sys.argv]), started,
        tables + more, bars + growths,
    )


if __name__ == '__main__':
    main()

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the comparisons of models share: settings to choose from, training, choice, summary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
import json
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
import sys
from typing import Any

from scoring import select
import torch
from torch import nn

from m2vae_ros.vae.likelihoods import SensorBatch

# Five settings of each model's own knobs to choose from. The first is the paper's objective or
# the library's default; for MVTCAE that is followed by what its authors ran. beta with gamma below
# 1 and joint_prior_weight 0 lets single sensors weigh less against the mutual divergences.
TRIALS: dict[str, list[dict[str, Any]]] = {
    'm2vae': [
        {'alpha': 1, 'joint_prior_weight': 1},
        {'alpha': 1, 'joint_prior_weight': 0},
        {'alpha': 3, 'joint_prior_weight': 0},
        {'alpha': 1, 'joint_prior_weight': 0, 'beta': 0.3, 'gamma': 0.3},
        {'alpha': 2, 'joint_prior_weight': 0, 'beta': 0.1, 'gamma': 0.1},
    ],
    'JMVAE': [{'alpha': alpha} for alpha in (0.1, 0.03, 0.3, 1.0, 3.0)],
    'MVAE': [{'beta': beta} for beta in (1.0, 0.25, 0.5, 2.0, 4.0)],
    'MMVAE': [
        {'prior_and_posterior_dist': 'laplace_with_softmax', 'loss': 'dreg_looser'},
        {'prior_and_posterior_dist': 'laplace_with_softmax', 'loss': 'iwae_looser'},
        {'prior_and_posterior_dist': 'normal', 'loss': 'dreg_looser'},
        {'prior_and_posterior_dist': 'normal', 'loss': 'iwae_looser'},
        {'prior_and_posterior_dist': 'normal', 'loss': 'iwae_looser', 'learn_prior': False},
    ],
    'MoPoE': [{'beta': beta} for beta in (1.0, 0.25, 0.5, 2.0, 4.0)],
    'MVTCAE': [
        {'alpha': 0.1, 'beta': 2.5},
        {'alpha': 0.9, 'beta': 2.5},
        {'alpha': 0.1, 'beta': 1.0},
        {'alpha': 0.9, 'beta': 1.0},
        {'alpha': 0.5, 'beta': 0.5},
    ],
}
Figures = dict[str, Any]


def fit(
    model: nn.Module,
    data: Mapping[str, SensorBatch],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    warm_up: float,
    size: int,
) -> None:
    """
    Train a model in place; every model of a comparison is trained by this.

    Parameters
    ----------
    model
        Of `multivae_models`.
    data
        Training samples.
    steps, batch_size, learning_rate
        Of AdamW; the rate rises over the first 5 % of the steps and falls to 0 by a cosine.
    warm_up
        Share of the steps over which a model that anneals its divergences does so.
    size
        Measured numbers of a sample, by which the loss is divided.

    """
    noise = [weight for name, weight in model.named_parameters() if 'log_noise' in name]
    others = [weight for name, weight in model.named_parameters() if 'log_noise' not in name]
    rates = [learning_rate, 10 * learning_rate]  # the noise has further to go than weights
    optimizer = torch.optim.AdamW(
        [{'params': others, 'lr': rates[0]}, {'params': noise, 'lr': rates[1]}],
        weight_decay=1e-4, fused=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rates, total_steps=steps, pct_start=0.05, cycle_momentum=False
    )
    count = len(next(iter(data.values())).values)
    model.train()
    for step, rows in zip(range(steps), _shuffled(count, batch_size), strict=False):
        loss = model.loss(select(data, rows), min(1.0, step / (warm_up * steps)))
        optimizer.zero_grad()
        (loss / size).backward()
        optimizer.step()
        schedule.step()
    model.eval()


def _shuffled(count: int, batch_size: int) -> Iterator[torch.Tensor]:
    """Yield the rows of batches, epoch after epoch; the rest of an epoch is left out."""
    while True:
        order = torch.randperm(count)
        yield from order[:count - count % batch_size].split(batch_size)


class Records:
    """
    Figures of runs in a file of lines, so that an interrupted comparison goes on.

    Parameters
    ----------
    path
        Made where it is missing.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self._done = [json.loads(line) for line in lines]

    def figures(self, run: Figures) -> Figures:
        """Return the figures of a run."""
        return next(each['figures'] for each in self._done if each['run'] == run)

    def once(self, run: Figures, call: Callable[..., Figures]) -> None:
        """Call with what is to be run, unless the file has it."""
        if any(record['run'] == run for record in self._done):
            return
        record = {'run': run, 'figures': call(**run)}
        self._done.append(record)
        with self.path.open('a') as stream:
            stream.write(json.dumps(record) + '\n')
        print(json.dumps(run), _brief(record['figures']), file=sys.stderr, flush=True)


def _brief(figures: Figures) -> str:
    test = figures['test']
    return ' '.join(f'{key} {test[key]:.2f}' for key in ('joint', 'other_given_one')) + (
        f' in {figures["seconds"]:.0f} s'
    )


def choose(tried: Sequence[Figures]) -> Figures:
    """Return the setting that is best on the validation split with the first seed."""
    best = max(
        (each['validation']['joint'] + each['validation']['other_given_one'], index)
        for index, each in enumerate(tried)
    )
    settings: Figures = tried[best[1]]['settings']
    return settings


def compare(
    records: Records,
    cases: Sequence[Figures],
    models: Sequence[str],
    seeds: int,
    run: Callable[..., Figures],
    *,
    trials: int = 5,
) -> Figures:
    """
    Try every setting with the first seed, and the chosen ones with the others.

    Parameters
    ----------
    records
        What was run before.
    cases
        What the models are compared on, arguments of `run`.
    models
        Of `TRIALS`.
    seeds
        How many.
    run
        Called with a case, ``model``, ``settings`` and ``seed``.
    trials
        How many settings of each model to try.

    Returns
    -------
    dict
        Case -> ``chosen``: model -> its setting and its figures on the test split as [mean,
        standard error] over the seeds; ``standings``; ``trials``: the first seed's figures with
        every setting.

    """
    results = {}
    for case in cases:
        chosen, tried = {}, []
        for name in models:
            for settings in TRIALS[name][:trials]:
                once = case | {'model': name, 'settings': settings, 'seed': 0}
                records.once(once, run)
                tried.append({'model': name, 'settings': settings} | {
                    split: {
                        key: round(value, 4)
                        for key, value in _flat(records.figures(once)[split]).items()
                        if ' ' not in key
                    }
                    for split in ('validation', 'test')
                })
            settings = choose([each for each in tried if each['model'] == name])
            final = [
                case | {'model': name, 'settings': settings, 'seed': seed}
                for seed in range(seeds)
            ]
            for each in final:
                records.once(each, run)
            figures = [records.figures(each) for each in final]
            chosen[name] = {
                'settings': settings,
                'seeds': seeds,
                'seconds': round(mean(each['seconds'] for each in figures), 1),
                'test': _over_seeds([each['test'] for each in figures]),
            }
        title = ', '.join(f'{key} {value}' for key, value in case.items()) or 'all'
        results[title] = {'chosen': chosen, 'standings': standings(chosen), 'trials': tried}
    return results


def standings(chosen: Figures) -> Figures:
    """
    Return, for each figure of the bar, who is first and how far M2VAE is behind.

    ``within`` says that M2VAE is first or no more than one standard error of the difference to
    the first behind it.
    """
    result: Figures = {}
    if 'm2vae' not in chosen:
        return result
    for figure in ('joint', 'other_given_one', 'one_given_rest', 'accuracy_one'):
        if figure not in chosen['m2vae']['test']:
            continue
        first = max(chosen, key=lambda name: chosen[name]['test'][figure][0])
        best, ours = (chosen[name]['test'][figure] for name in (first, 'm2vae'))
        behind, error = best[0] - ours[0], sqrt(best[1] ** 2 + ours[1] ** 2)
        result[figure] = {
            'first': first,
            'm2vae_behind': round(behind, 4),
            'standard_error': round(error, 4),
            'within': behind <= error,
        }
    return result


def _over_seeds(figures: list[Figures]) -> Figures:
    """Return [mean, standard error] of every figure, and of the subsets of each size."""
    flat = [_flat(each) for each in figures]
    return {key: _mean_error([each[key] for each in flat]) for key in flat[0]}


def _flat(figures: Figures) -> dict[str, float]:
    """Put every subset's figure, and their means over the subsets of one and of all but one."""
    flat = {key: value for key, value in figures.items() if not isinstance(value, dict)}
    for key, of_subset in figures.items():
        if isinstance(of_subset, dict):
            sensors = 1 + max(subset.count('+') for subset in of_subset)
            for title, size in (('one', 1), ('rest', sensors - 1), ('all', sensors)):
                flat[f'{key}_{title}'] = mean(
                    value for subset, value in of_subset.items() if subset.count('+') == size - 1
                )
            flat |= {f'{key} {subset}': value for subset, value in of_subset.items()}
    return flat


def _mean_error(values: list[float]) -> list[float]:
    error = stdev(values) / sqrt(len(values)) if len(values) > 1 else 0.0
    return [round(mean(values), 4), round(error, 4)]

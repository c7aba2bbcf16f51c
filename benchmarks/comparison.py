# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Shared by the comparisons of models: settings to choose from, training, choice, summary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
import json
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
import sys
from typing import Any

from results import bar, table
from scoring import select
import torch
from torch import nn

from m2vae_ros.vae.likelihoods import SensorBatch

# Four settings to choose from for each model. The first is the paper's objective, or the library's
# default. beta and gamma below 1 give single sensors less weight against the mutual divergences;
# `heads` is explained in `multivae_models.Ours`.
TRIALS: dict[str, list[dict[str, Any]]] = {
    'm2vae': [
        {'alpha': 1, 'joint_prior_weight': 1},
        {'alpha': 1, 'joint_prior_weight': 0, 'beta': 0.2, 'gamma': 0.2},
        {'heads': 'product', 'alpha': 1, 'joint_prior_weight': 0, 'beta': 0.3, 'gamma': 0.3},
        {'heads': 'product', 'alpha': 2, 'joint_prior_weight': 1, 'beta': 0.3, 'gamma': 0.3},
    ],
    'JMVAE': [{'alpha': alpha} for alpha in (0.1, 0.03, 0.3, 1.0)],
    'MVAE': [{'beta': beta} for beta in (1.0, 0.25, 0.5, 0.7)],
    'MMVAE': [
        {'prior_and_posterior_dist': distribution, 'loss': loss}
        for distribution in ('laplace_with_softmax', 'normal')
        for loss in ('dreg_looser', 'iwae_looser')
    ],
    'MoPoE': [{'beta': beta} for beta in (1.0, 0.25, 0.5, 0.7)],
    'MVTCAE': [
        {'alpha': 0.1, 'beta': 2.5},
        *({'alpha': 0.9, 'beta': beta} for beta in (1.5, 1.0, 0.7)),
    ],
}
BARS = {
    'joint': 'log p(M)',
    'other_given_one': 'log p(other | one), predictive',
    'accuracy_one': 'class accuracy from one sensor',
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
    Train a model in place; all models of a comparison are trained in the same way.

    Parameters
    ----------
    model
        A model of `multivae_models`.
    data
        Training samples.
    steps, batch_size, learning_rate
        Options of AdamW; the rate rises over the first 5 % of the steps and falls to 0 by a
        cosine.
    warm_up
        Share of the steps over which the divergences are annealed, in models that do so.
    size
        Measured numbers of a sample; the loss is divided by it.

    """
    noise = [weight for name, weight in model.named_parameters() if 'log_noise' in name]
    others = [weight for name, weight in model.named_parameters() if 'log_noise' not in name]
    rates = [learning_rate, 10 * learning_rate]  # the log of the noise changes more than weights
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
    """Yield the rows of batches, epoch after epoch; incomplete batches are left out."""
    while True:
        order = torch.randperm(count)
        yield from order[:count - count % batch_size].split(batch_size)


class Records:
    """
    Figures of runs, a line each in a file, so that an interrupted comparison can be resumed.

    Parameters
    ----------
    path
        The file; it is created if it does not exist.
    options
        Options of all runs, stored in the file's first line.

    Attributes
    ----------
    seconds_before
        Total time of the runs that were in the file at the start.

    Raises
    ------
    ValueError
        If the file has runs with other options.

    """

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(options) + '\n')
        first, *lines = (json.loads(line) for line in path.read_text().splitlines())
        if first != options:
            raise ValueError(f'{path} has runs with {first}, not {options}: give another file')
        self._done: list[Figures] = lines
        self.seconds_before = sum(each['figures']['seconds'] for each in lines)

    def figures(self, run: Figures) -> Figures:
        """Return the figures of a run."""
        return next(each['figures'] for each in self._done if each['run'] == run)

    def once(self, run: Figures, call: Callable[..., Figures]) -> None:
        """Call `call` with the arguments of a run and store its figures, unless it is stored."""
        if any(record['run'] == run for record in self._done):
            return
        record = {'run': run, 'figures': call(**run)}
        self._done.append(record)
        with self.path.open('a') as stream:
            stream.write(json.dumps(record) + '\n')
        print(json.dumps(run), _format_brief(record['figures']), file=sys.stderr, flush=True)


def _format_brief(figures: Figures) -> str:
    test = figures['test']
    return ' '.join(f'{key} {test[key]:.2f}' for key in ('joint', 'other_given_one')) + (
        f' in {figures["seconds"]:.0f} s'
    )


def compare(
    records: Records,
    case: Figures,
    models: Sequence[str],
    seeds: int,
    run: Callable[..., Figures],
    *,
    settings: Mapping[str, Sequence[Figures]] = TRIALS,
) -> tuple[dict[str, Figures], list[Figures]]:
    """
    Run every setting with the first seed, and each model's best one with all seeds.

    The setting with the largest sum of validation figures is the best.

    Parameters
    ----------
    records
        Figures of earlier runs.
    case
        Arguments of `run` that are common to all runs.
    models
        Models to compare, keys of `settings`.
    seeds
        Number of seeds.
    run
        Called with the case, ``model``, ``settings`` and ``seed``; returns the figures.
    settings
        Model -> settings to choose from.

    Returns
    -------
    chosen
        Model -> its best ``settings``, and ``test``: figures on the test split as (mean, standard
        error) over the seeds.
    tried
        For each setting: ``model``, ``settings``, and ``validation`` and ``test`` figures with
        the first seed.

    """
    chosen, tried = {}, []
    for name in models:
        candidates = []
        for each_settings in settings[name]:
            once = case | {'model': name, 'settings': each_settings, 'seed': 0}
            records.once(once, run)
            figures = records.figures(once)
            candidates.append({
                'model': name,
                'settings': each_settings,
                'validation': figures['validation'],
                'test': _flatten(figures['test']),
            })
        best = max(candidates, key=lambda each: sum(each['validation'].values()))['settings']
        finals = [
            case | {'model': name, 'settings': best, 'seed': seed} for seed in range(seeds)
        ]
        for each in finals:
            records.once(each, run)
        tests = [_flatten(records.figures(each)['test']) for each in finals]
        chosen[name] = {
            'settings': best,
            'test': {key: _mean_and_error([each[key] for each in tests]) for key in tests[0]},
        }
        tried += candidates
    return chosen, tried


def tables(
    title: str, chosen: Mapping[str, Figures], tried: Sequence[Figures]
) -> list[dict[str, Any]]:
    """Return the tables of a case: figures of the chosen settings, of all, and by subset."""
    first = next(iter(chosen.values()))['test']
    figures = [key for key in first if ' ' not in key]
    of_subsets = [key for key in first if key.startswith('accuracy ')]
    criteria = list(tried[0]['validation'])
    result = [table(
        f'{title}: test split', ['model', 'settings', *figures],
        [
            [name, _format_settings(each['settings']),
             *(_format_pair(each['test'][key]) for key in figures)]
            for name, each in chosen.items()
        ],
        'Mean and standard error over the seeds; log-likelihoods in nats per sample.',
    )]
    if len(tried) > len(chosen):
        result.append(table(
            f'{title}: every setting, first seed',
            ['model', 'settings', *(f'validation {key}' for key in criteria), *figures],
            [
                [each['model'], _format_settings(each['settings']),
                 *(f'{each["validation"][key]:.3f}' for key in criteria),
                 *(f'{each["test"][key]:.3f}' for key in figures)]
                for each in tried
            ],
            'The sum of the validation figures chose the settings of the table above.',
        ))
    if of_subsets:
        result.append(table(
            f'{title}: class accuracy from every subset, test split', ['sensors', *chosen],
            [
                [key.split(' ')[1], *(_format_pair(each['test'][key]) for each in chosen.values())]
                for key in of_subsets
            ],
        ))
    return result


def bars(title: str, chosen: Mapping[str, Figures]) -> list[dict[str, Any]]:
    """
    Return the bars: whether m2vae is first, or behind by at most one standard error.

    The standard error is that of the difference to the first: the root of the sum of squares.
    """
    result = []
    ours = chosen.get('m2vae', {'test': {}})['test']
    for key, name in BARS.items():
        if key not in ours:
            continue
        first = max(chosen, key=lambda model: chosen[model]['test'][key][0])
        best = chosen[first]['test'][key]
        behind, error = best[0] - ours[key][0], sqrt(best[1] ** 2 + ours[key][1] ** 2)
        value = f'{_format_pair(ours[key])}, first' if first == 'm2vae' else (
            f'{_format_pair(ours[key])}, behind {first} {_format_pair(best)} by '
            f'{behind:.3f} +- {error:.3f}'
        )
        result.append(bar(
            f'{title}: m2vae first or within one standard error on {name}', value, behind <= error
        ))
    return result


def _flatten(figures: Figures) -> dict[str, float]:
    """Replace figures by subset by one entry each, and add means over one, all but one, all."""
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


def _mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error."""
    return mean(values), stdev(values) / sqrt(len(values)) if len(values) > 1 else 0.0


def _format_pair(figure: tuple[float, float]) -> str:
    return f'{figure[0]:.3f} +- {figure[1]:.3f}'


def _format_settings(settings: Figures) -> str:
    return ', '.join(f'{key} {value}' for key, value in settings.items())

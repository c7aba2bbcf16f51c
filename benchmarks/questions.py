# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The table of docs/benchmarks.md: question, answer and number, all answers from the records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from records import number, Records, span
from verdict import ABLATED, changes, FASTER, FIRST, HALVES, MIXTURE, QUADRANTS, SHIPPED, times

# Benchmark, words of its bars, and what they ask.
ASKED = [
    ('linear_gaussian', 'variance ratios within 2%',
     'Does training find the best posteriors, where they can be computed (variance within 2%)?'),
    ('linear_gaussian', 'importance-sampled log p within 0.01 nat',
     'Are importance-sampled likelihoods exact within 0.01 nat?'),
    ('linear_gaussian', '90 % region with temperature covers 0.89-0.91',
     'Does a region of 90%, with its temperature, cover 0.89-0.91 of the samples?'),
    ('gaussian_mixture', 'exact figures as published, within 0.005',
     'Are the exact figures of the mixture the published ones, within 0.005?'),
    *[('digits', f'{parts}: {FIRST} {words}',
       f'{parts}: is m2vae first, or within one standard error of the first, {on}?')
      for parts in (HALVES, QUADRANTS) for words, on in (
          ('log p(M)', 'on the likelihood of all sensors'),
          ('log p(other | one)', 'at predicting the others from one sensor'),
          ('class accuracy', 'on the class from one sensor'))],
    *[('robot_comparison', f'{FIRST} {words}',
       f'Simulated robot: is m2vae first, or within one standard error of the first, {on}?')
      for words, on in (
          ('log p(M)', 'on the likelihood of all sensors'),
          ('log p(other | one)', 'at predicting the others from one sensor'))],
    ('training_speed', 'closed form, grows no faster than N 2^(N-1)',
     'Does a step with all subsets grow no faster than N 2^(N-1)?'),
    ('training_speed', 'sampled orderings, grows no faster than N',
     'Does a step with sampled orderings grow no faster than N?'),
    ('gpu', 'latency of one set',
     'On a GPU: does a set take at most 1.3 times as long as its kernels?'),
    ('gpu', 'the sets a second',
     'On a GPU: do batches encode 10 times the sets a second of one at a time?'),
    ('robot_models', 'default: no error grows by more than 5%',
     'Shipped model: does no error grow by more than 5% when a sensor is added?'),
    ('robot_models', 'separate: no error grows by more than 5%',
     "The same with separate heads and the paper's knobs?"),
]
OBJECTIVES = ('m2vae', 'm2vae, sampled orderings', 'm2vae, sampled reconstructions', 'jmvae')


class Row(NamedTuple):
    """A row of the table, and the benchmark that it is from."""

    question: str
    answer: str
    number: str
    benchmark: str


def rows(known: Records) -> list[Row]:
    """Return the rows, those of a benchmark together."""
    found = [
        Row(question, answer(known.met(benchmark, words)), known.value(benchmark, words),
            benchmark)
        for benchmark, words, question in ASKED
    ]
    found += [*_mixture(known), *_speed(known), *_shipped(known), *_ablations(known)]
    order = list(dict.fromkeys(row.benchmark for row in found))
    return sorted(found, key=lambda row: order.index(row.benchmark))


def answer(met: Sequence[bool]) -> str:
    """Return whether bars are met; what is not stands out."""
    if all(met):
        return 'yes'
    return f'**{f"{sum(met)} of {len(met)}" if any(met) else "no"}**'


def _mixture(known: Records) -> Iterator[Row]:
    lacks = known.column('gaussian_mixture', MIXTURE, 'log p(x, w)')
    ordered = sorted(lacks, key=lambda name: number(lacks[name]), reverse=True)
    yield Row(
        'Which objective comes closest to the true density of the mixture?', ordered[0],
        ', '.join(f'{name} {lacks[name]}' for name in ordered) + ' nats of log p(x, w)',
        'gaussian_mixture',
    )


def _speed(known: Records) -> Iterator[Row]:
    for objective in OBJECTIVES:
        yield Row(
            f"Does `{objective}` make 1.5 times the steps of MultiVae's JMVAE?",
            answer(known.met('training_speed', f': {objective} {FASTER}')),
            f'{span(times(known, objective))} times', 'training_speed',
        )


def _shipped(known: Records) -> Iterator[Row]:
    names = ('camera', 'lidar', 'depth')
    cells = {name: known.column('robot_models', SHIPPED, name) for name in names}
    whole = '+'.join(names)
    for question, source in (
        ("Shipped model: is less than half of the mean predictor's error left of a live sensor, "
         'all of them live?', dict.fromkeys(names, whole)),
        ('And of a silent sensor, the others live?',
         {name: '+'.join(other for other in names if other != name) for name in names}),
    ):
        figures = {name: cells[name][source[name]] for name in names}
        yield Row(
            question, answer([number(figure) < 0.5 for figure in figures.values()]),
            ', '.join(f'{name} {figure}' for name, figure in figures.items()), 'robot_models',
        )


def _ablations(known: Records) -> Iterator[Row]:
    for name, better in (
        ('log p(M)', 'the likelihood of all sensors'),
        ('log p(other | one)', 'predicting the others from one sensor'),
        ('class from one', 'the class from one sensor'),
    ):
        column = known.column('ablations', ABLATED, name)
        best = max(column, key=lambda change: number(column[change]))
        yield Row(
            f'Quadrants: which single change helps {better} most?', _code(best),
            f'{column[best]}; starting point {column["starting point"]}', 'ablations',
        )
    largest = {
        change: max(changes(known, change), key=abs)
        for change in known.column('ablations', ABLATED, 'log p(M)') if change != 'starting point'
    }
    most, least = (pick(largest, key=lambda change: abs(largest[change])) for pick in (max, min))
    yield Row(
        'Which change moves a likelihood most, and which least?',
        f'{_code(most)}; {_code(least)}',
        f'{largest[most]:+.3f} and {largest[least]:+.3f} nats', 'ablations',
    )


def _code(change: str) -> str:
    return f'`{change}`'

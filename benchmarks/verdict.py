# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
What the records say, in words.

The words are written by hand, every number in them is read from a record, and beside each sentence
stands the condition under which it is true. A record that no longer bears a sentence out is an
error, not a page.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from records import number, Records, span

HALVES, QUADRANTS = 'Digits in 2 parts', 'Digits in 4 parts'
FIRST = 'm2vae first or within one standard error on'
FASTER = 'at least 1.5 times the samples a second of JMVAE of MultiVae'
MIXTURE = 'Log-likelihood of the decoders less the true one, by quadrature'
SHIPPED = 'default: error of the reconstruction over that of the mean predictor'
ABLATED = 'One change at a time: digits in quadrants, test split'
NATS = ('log p(M)', 'log p(other | one)', 'log p(one | rest)')


class Sentence(NamedTuple):
    """A sentence, and whether the records bear it out."""

    words: str
    holds: bool


def paragraphs(known: Records) -> list[str]:
    """
    Return the verdict.

    Raises
    ------
    ValueError
        If the records do not bear a sentence out; names it.

    """
    written = []
    for part in (_optima, _digits, _robot, _speed, _shipped, _knobs):
        sentences = list(part(known))
        for sentence in sentences:
            if not sentence.holds:
                raise ValueError(f'the records do not say so, write it anew: {sentence.words}')
        written.append(' '.join(sentence.words for sentence in sentences))
    return written


def times(known: Records, objective: str) -> list[str]:
    """Return an objective's steps over those of MultiVae's JMVAE, for each network and thread."""
    return [row['times the library'] for row in known.table(
        'training_speed', 'A step beside MultiVae') if row['objective'] == objective]


def changes(known: Records, change: str) -> list[float]:
    """Return by how many nats a change moves each likelihood of the ablations."""
    columns = [known.column('ablations', ABLATED, name) for name in NATS]
    return [number(column[change]) - number(column['starting point']) for column in columns]


def _optima(known: Records) -> Iterator[Sentence]:
    ratio = known.value('linear_gaussian', 'variance ratios').removeprefix('largest difference ')
    lacks = {name: number(cell) for name, cell in known.column(
        'gaussian_mixture', MIXTURE, 'log p(x, w)').items()}
    yield Sentence(
        '**The objectives are what the derivation says.** Where the best posteriors can be '
        'computed, training finds them, for every objective and knob that was tried (variances '
        f'within {ratio}); estimates of likelihoods and fitted temperatures agree with the exact '
        'values.',
        all(known.met('linear_gaussian')) and all(known.met('gaussian_mixture')),
    )
    yield Sentence(
        'On the published mixture of Gaussians no objective reaches the true density: m2vae lacks '
        f'{-lacks["m2vae"]:.3f} nats of log p(x, w), as jvae and jmvae do.',
        max(lacks.values()) < 0 and all(
            abs(lacks['m2vae'] - lacks[other]) < 0.01 for other in ('jvae', 'jmvae')),
    )


def _digits(known: Records) -> Iterator[Sentence]:
    other = [known.value('digits', f'{parts}: {FIRST} log p(other | one)')
             for parts in (HALVES, QUADRANTS)]
    accuracy = known.value('digits', f'{QUADRANTS}: {FIRST} class accuracy')
    rest = known.column('digits', f'{QUADRANTS}: test split', 'accuracy_rest')
    yield Sentence(
        "**On digits m2vae is level with the best of MultiVae's models where all sensors are "
        'heard, and behind JMVAE where only one is.** On the likelihood of all sensors it is '
        'first or within one standard error.',
        all(known.met('digits', 'on log p(M)')),
    )
    yield Sentence(
        f'At predicting the others from one sensor it is behind by {_gap(other[0])} nats in '
        f'halves and by {_gap(other[1])} in quadrants, and from one quadrant JMVAE tells the '
        f'class more often (by {_gap(accuracy)}).',
        all('behind JMVAE' in value for value in (*other, accuracy))
        and not any(known.met('digits', 'on log p(other | one)')),
    )
    yield Sentence(
        f'From three quadrants m2vae tells it most often: {rest["m2vae"]}, JMVAE {rest["JMVAE"]}.',
        number(rest['m2vae']) == max(map(number, rest.values())),
    )


def _robot(known: Records) -> Iterator[Sentence]:
    counted = known.column(
        'robot_comparison', 'Simulated robot: test split', 'joint_effective_samples')
    yield Sentence(
        '**On the simulated robot m2vae is within one standard error of the best,** MVTCAE, on '
        'both likelihoods that are compared.',
        all(known.met('robot_comparison')) and all(
            'behind MVTCAE' in bar['value'] for bar in known.bars('robot_comparison')),
    )
    yield Sentence(
        'That is weaker evidence than the digits: of the draws behind each estimate hardly more '
        f'than one counts ({span(list(counted.values()))}), so the estimates are lower bounds.',
        max(map(number, counted.values())) < 1.5,
    )


def _speed(known: Records) -> Iterator[Sentence]:
    last = known.value('training_speed', 'sampled orderings, grows').rpartition(', ')[2]
    yield Sentence(
        '**Training is not as fast as was asked for.** No objective makes 1.5 times the steps of '
        "MultiVae's JMVAE on any network: m2vae with all subsets makes "
        f'{span(times(known, "m2vae"))} times as many, with sampled orderings '
        f'{span(times(known, "m2vae, sampled orderings"))}.',
        not any(known.met('training_speed', FASTER)),
    )
    yield Sentence(
        'As sensors are added, a step with all subsets grows more slowly than the number of its '
        f'terms; with sampled orderings it ends above it ({last}).',
        all(known.met('training_speed', 'closed form, grows'))
        and not any(known.met('training_speed', 'sampled orderings, grows')),
    )


def _shipped(known: Records) -> Iterator[Sentence]:
    growth, separate = (known.value('robot_models', f'{name}: no error grows').split()[0]
                        for name in ('default', 'separate'))
    lidar = known.column('robot_models', SHIPPED, 'lidar')
    yield Sentence(
        '**The shipped model shows what its live sensors see, and of a silent one what they have '
        'in common;** it knows simulated rooms only. A lidar is hardly made up for: from camera '
        f'and depth its reconstruction keeps {lidar["camera+depth"]} of the error of a predictor '
        f'that always answers with the mean, from itself {lidar["lidar"]}.',
        number(lidar['camera+depth']) > 0.5 > number(lidar['lidar']),
    )
    yield Sentence(
        f'Another sensor never makes an error much larger (at most {growth}); with separate heads '
        f"and the paper's knobs it does (up to {separate}).",
        all(known.met('robot_models', 'default')) and not any(
            known.met('robot_models', 'separate')),
    )


def _knobs(known: Records) -> Iterator[Sentence]:
    others = known.column('ablations', ABLATED, 'log p(other | one)')
    kinds = [abs(nats) for change in ('heads separate', 'trunks own')
             for nats in changes(known, change)]
    yield Sentence(
        '**Of the knobs `alpha` matters most.** Without the mutual divergences (`alpha` 0) no '
        f'sensor predicts the others: log p(other | one) is {others["alpha 0"]} nats instead of '
        f'{others["starting point"]}. Heads and trunks change no likelihood of the digits by more '
        f'than {max(kinds):.2f} nats.',
        min(others, key=lambda change: number(others[change])) == 'alpha 0' and max(kinds) < 0.5,
    )


def _gap(value: str) -> str:
    """Return by how much a model is behind, from what was measured for its bar."""
    return value.rpartition(' by ')[2]

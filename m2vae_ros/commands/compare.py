# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""`m2vae compare`: whether two recordings of latents are the same."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
import json
from pathlib import Path

from m2vae_ros.replay.compare import compare, Comparison
from m2vae_ros.replay.latents import read_latents

_DIFFERENT_EXIT_CODE = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    for name in 'ab':
        parser.add_argument(
            name, type=Path, metavar=name.upper(),
            help='bag of latents, or report folder of m2vae evaluate',
        )
    parser.add_argument(
        '--tolerance', type=float, default=0.0,
        help='largest difference of means and log variances that counts as equal '
        '(default %(default)s: equal numbers)',
    )
    parser.add_argument(
        '--share', type=float, default=0.99,
        help='smallest share of all sets that must be in both, fused from the same sensors '
        '(default %(default)s)',
    )
    parser.add_argument(
        '--topic', action='append', metavar='TOPIC',
        help="topic of the latents, if a bag has several of their type; twice: A's, then B's",
    )
    parser.add_argument('--json', action='store_true', help='print JSON')


def run(arguments: argparse.Namespace) -> int:
    """Compare; return 0 if they are equal, 1 if not."""
    if not arguments.tolerance >= 0:
        raise ValueError(f'--tolerance {arguments.tolerance}: must be 0 or more')
    if not 0 <= arguments.share <= 1:
        raise ValueError(f'--share {arguments.share}: must be from 0 to 1')
    topics = arguments.topic or [None]
    if len(topics) > 2:
        raise ValueError('--topic is given more than twice: give one for A and one for B')
    found = compare(read_latents(arguments.a, topics[0]), read_latents(arguments.b, topics[-1]))
    equal = found.within(arguments.tolerance) and found.share >= arguments.share
    if arguments.json:
        numbers = {name: value for name, value in asdict(found).items() if value != {}}
        print(json.dumps({'equal': equal, 'share': found.share, **numbers}, indent=2))
    else:
        print(_format_comparison(found, arguments.tolerance, arguments.share))
    return 0 if equal else _DIFFERENT_EXIT_CODE


def _format_absent(which: str, absent: Mapping[str, int], other: str) -> list[str]:
    return [
        f'{which} is without {sensor}, which {other} has in {count} sets: these are of different '
        f'sensors' for sensor, count in absent.items()
    ]


def _format_comparison(found: Comparison, tolerance: float, share: float) -> str:
    lines = {
        'sets in A': found.sets_a,
        'sets in B': found.sets_b,
        'only in A': found.missing_in_b,
        'only in B': found.missing_in_a,
        'in both, of different sensors': found.other_members,
        'in both, of the same sensors': f'{found.equal_members}, {found.share:.2%} of all '
        f'(at least {share:.2%} required)',
        'bit-identical ones of these': found.bit_identical,
        'largest difference of a mean': f'{found.mean_difference:.3g}',
        'largest difference of a log variance': f'{found.log_variance_difference:.3g} '
        f'(at most {tolerance:g} allowed)',
        'largest symmetric KL': f'{found.symmetric_kl:.3g} nats',
    }
    if found.repeated_a or found.repeated_b:
        lines['left out, repeated stamps'] = f'{found.repeated_a} in A, {found.repeated_b} in B'
    equal = found.within(tolerance) and found.share >= share
    return '\n'.join([
        *_format_absent('A', found.absent_in_a, 'B'),
        *_format_absent('B', found.absent_in_b, 'A'),
        *(f'{name:38}{value}' for name, value in lines.items()),
        'equal' if equal else 'not equal',
    ])

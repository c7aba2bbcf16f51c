# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""`m2vae inspect`: a model file's header, the sizes of its networks, and their speed here."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
import json
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from m2vae_ros.evaluation.inspection import inspect
from m2vae_ros.evaluation.relative_errors import format_ratios, RelativeError
from m2vae_ros.vae.checkpoint import add_digest, NO_DIGEST
from m2vae_ros.weights_file import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('model', type=Path, help='the model file')
    parser.add_argument('--json', action='store_true', help='print one JSON object instead')
    parser.add_argument(
        '--device', default='auto',
        help='where to measure the forward times: auto, cpu or cuda (default %(default)s)',
    )
    parser.add_argument(
        '--threads', type=int, default=1,
        help='CPU threads of one inference (default %(default)s, as in the node)',
    )
    parser.add_argument(
        '--add-digest', action='store_true',
        help='if the file has no digest (SHA-256), write it anew with one, so that damage from '
             'now on is noticed; print nothing else',
    )


def run(arguments: argparse.Namespace) -> int:
    """Inspect a model file; return the exit code."""
    if not 1 <= arguments.threads <= 256:
        raise ValueError(f'--threads {arguments.threads}: must be 1 to 256')
    if arguments.add_digest:
        added = add_digest(arguments.model)
        print(f'{arguments.model}: {"a digest was added" if added else "has a digest already"}')
        return 0
    found = inspect(arguments.model, device=arguments.device, threads=arguments.threads)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return 0
    console = Console(highlight=False)
    console.print(
        f'{arguments.model}: {found["bytes"] / 1e6:.1f} MB, '
        f'{found["parameters"]["total"]:,} parameters, '
        f'{"SHA-256 digest" if found["has_digest"] else NO_DIGEST}', markup=False, soft_wrap=True,
    )
    console.print(_sensor_table(found))
    console.print(_encoder_table(found))
    console.print(
        f'Measured on {found["forward"]["device"]}; CPU threads: {found["forward"]["threads"]}.\n',
        markup=False, soft_wrap=True,
    )
    for name in ('objective', 'architecture', 'provenance'):
        console.print(Text(f'{name.capitalize()}: {_format_fields(found[name])}'), soft_wrap=True)
    console.print(Text(f'\n{_format_errors(found["evaluation"])}'), soft_wrap=True)
    return 0


def _sensor_table(found: Mapping[str, Any]) -> Table:
    """Return a table of the sensors and the parameters of their networks."""
    table = Table(
        title='Sensors, and the parameters of their trunks and decoders', box=box.SIMPLE_HEAD,
        title_justify='left', padding=(0, 2, 0, 0), pad_edge=False,
    )
    for column in ('sensor', 'kind', 'topic', 'array'):
        table.add_column(column, overflow='fold')
    for column in ('trunk', 'decoder'):
        table.add_column(column, justify='right')
    parameters = found['parameters']
    for spec in found['sensors']:
        name = spec['name']
        cells = (
            name, spec['kind'], spec['topic'], ' x '.join(map(str, spec['shape'])),
            _thousands(parameters['trunks'][name]), _thousands(parameters['decoders'][name]),
        )
        table.add_row(*map(Text, cells))
    return table


def _encoder_table(found: Mapping[str, Any]) -> Table:
    """Return a table of the encoders with their temperatures and times."""
    table = Table(
        title='Encoders, and the median time of one set', box=box.SIMPLE_HEAD,
        title_justify='left', padding=(0, 2, 0, 0), pad_edge=False,
    )
    table.add_column('subset', overflow='fold')
    for column in ('encoder', 'temperature', 'fuse', 'and reconstruct the missing'):
        table.add_column(column, justify='right')
    temperatures = found['calibration'].get('temperature', {})
    for row in found['forward']['subsets']:
        name = '+'.join(row['subset'])
        temperature = f'{temperatures[name]:.3f}' if name in temperatures else '-'
        table.add_row(
            name, _thousands(found['parameters']['encoders'][name]), temperature,
            f'{row["fuse_ms"]:.2f} ms', f'{row["fuse_and_reconstruct_missing_ms"]:.2f} ms',
        )
    return table


def _thousands(count: int) -> str:
    return f'{count / 1e3:,.0f} k'


def _format_fields(fields: Mapping[str, Any]) -> str:
    """Return fields as one line of text."""
    return ', '.join(_format_items(fields)) or 'not in the file'


def _format_items(fields: Mapping[str, Any], prefix: str = '') -> Iterator[str]:
    """Yield 'key: value' of all fields; keys of nested ones are joined by dots."""
    for key, value in fields.items():
        if isinstance(value, Mapping):
            yield from _format_items(value, f'{prefix}{printable(key)}.')
        else:
            yield f'{prefix}{printable(key)}: {printable(value)}'


def _format_errors(evaluation: Mapping[str, Any]) -> str:
    """Return the held-out errors as a table of text, as the training printed them."""
    try:
        errors = [
            RelativeError(
                printable(row['sensor']), tuple(map(printable, row['from'])),
                float(row['error']), float(row['mean_predictor_error']),
            )
            for row in evaluation['reconstruction']
        ]
        rows = format_ratios(errors)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 'Held-out errors: none in the file'
    return (
        f"Error over the mean predictor's (columns: reconstructed, rows: from), "
        f'{printable(evaluation.get("data", "held-out data"))}:\n{rows}'
    )

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Command-line flags made from dataclasses of options, with their defaults and docstrings."""

from __future__ import annotations

import argparse
from collections.abc import Container, Sequence
from dataclasses import fields
from inspect import cleandoc
from math import isfinite, nan
from typing import Any, TypeVar

LARGEST_NUMBER = 10**9  # of any option; seconds or steps of more than thirty years
Options = TypeVar('Options')


def add_options(
    parser: argparse.ArgumentParser, group: type, *, exclude: Container[str] = ()
) -> None:
    """
    Add a flag for each field of a dataclass.

    Parameters
    ----------
    parser
        The parser to add to.
    group
        The dataclass; its docstring has the help texts.
    exclude
        Names of fields that get no flag.

    """
    descriptions = _descriptions(group)
    for option in fields(group):
        if option.name in exclude:
            continue
        flag = f'--{option.name.replace("_", "-")}'
        text = descriptions[option.name].replace('%', '%%')
        if isinstance(option.default, bool):
            parser.add_argument(flag, action='store_true', help=text)
            continue
        default: Any = option.default
        parser.add_argument(
            flag, type=float if default is None else type(default), default=default,
            help=f'{text} Default: %(default)s.' if default not in (None, '') else text,
        )


def options_of(group: type[Options], arguments: argparse.Namespace) -> Options:
    """
    Return the dataclass with the values of its flags.

    Raises
    ------
    ValueError
        If a number is larger than any that makes sense, or an option breaks its rule.

    """
    values = {
        option.name: getattr(arguments, option.name)
        for option in fields(group)  # type: ignore[arg-type]
    }
    for name, value in values.items():
        if isinstance(value, int | float) and isfinite(value) and abs(value) > LARGEST_NUMBER:
            raise ValueError(
                f'--{name.replace("_", "-")} {value:g}: must be from {-LARGEST_NUMBER:g} to '
                f'{LARGEST_NUMBER:g}'
            )
    return group(**values)


def sensor_topics(pairs: Sequence[str]) -> dict[str, str]:
    """
    Return sensor -> topic of pairs ``SENSOR=TOPIC``.

    Raises
    ------
    ValueError
        If a pair has another form.

    """
    topics = {}
    for pair in pairs:
        sensor, separator, topic = pair.partition('=')
        if not (sensor and separator and topic):
            raise ValueError(f'--topic {pair}: must be SENSOR=TOPIC, as in camera=/front/image')
        topics[sensor] = topic
    return topics


def add_offset_option(parser: argparse.ArgumentParser) -> None:
    """Add the flag of the sensors' offsets, which `sensor_offsets` reads."""
    parser.add_argument(
        '--offset', action='append', default=[], metavar='SENSOR=SECONDS',
        help="by how much a sensor's stamps are ahead, as the node's SENSOR.offset; any size, "
        'negative where they are behind; may be repeated',
    )


def sensor_offsets(pairs: Sequence[str]) -> dict[str, float]:
    """
    Return sensor -> seconds of pairs ``SENSOR=SECONDS``.

    Raises
    ------
    ValueError
        If a pair has another form.

    """
    offsets = {}
    for pair in pairs:
        sensor, _, seconds = pair.partition('=')
        try:
            offsets[sensor] = float(seconds)
        except ValueError:
            offsets[sensor] = nan
        if not sensor or not abs(offsets[sensor]) <= LARGEST_NUMBER:
            raise ValueError(f'--offset {pair}: must be SENSOR=SECONDS, as in lidar=0.19')
    return offsets


def _descriptions(group: type) -> dict[str, str]:
    """Return field -> its description in the dataclass's docstring."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in cleandoc(group.__doc__ or '').splitlines():
        if line.startswith(' '):
            for name in names:
                found[name] = f'{found.get(name, "")} {line.strip()}'.strip()
        else:
            names = line.split(', ')
    return found

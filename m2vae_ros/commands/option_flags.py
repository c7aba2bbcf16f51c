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

from m2vae_ros.fusion.options import LARGEST_OFFSET

_LARGEST_NUMBER = 2**32 - 1  # of any option: the largest seed, and seconds of a century
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
        if isinstance(value, int | float) and isfinite(value) and abs(value) > _LARGEST_NUMBER:
            raise ValueError(
                f'--{name.replace("_", "-")} {value:g}: must be from {-_LARGEST_NUMBER} to '
                f'{_LARGEST_NUMBER}'
            )
    return group(**values)


def changed_options(group: type, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return flag -> value of the options of a dataclass that are not its defaults."""
    chosen = vars(options_of(group, arguments))
    return {
        f'--{option.name.replace("_", "-")}': chosen[option.name]
        for option in fields(group) if chosen[option.name] != option.default
    }


def sensor_topics(pairs: Sequence[str]) -> dict[str, str]:
    """
    Return sensor -> topic of pairs ``SENSOR=TOPIC``.

    Raises
    ------
    ValueError
        If a pair has another form.

    """
    return _of_sensors('--topic', pairs, 'SENSOR=TOPIC, as in camera=/front/image')


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
    form = 'SENSOR=SECONDS, as in lidar=0.19'
    offsets = {}
    for sensor, seconds in _of_sensors('--offset', pairs, form).items():
        try:
            offsets[sensor] = float(seconds)
        except ValueError:
            offsets[sensor] = nan
        if not abs(offsets[sensor]) <= LARGEST_OFFSET:
            raise ValueError(f'--offset {sensor}={seconds}: must be {form}')
    return offsets


def _of_sensors(flag: str, pairs: Sequence[str], form: str) -> dict[str, str]:
    """Return sensor -> value of pairs ``SENSOR=VALUE``; raise ValueError if one is none."""
    values = {}
    for pair in pairs:
        sensor, _, value = pair.partition('=')
        if not (sensor and value):
            raise ValueError(f'{flag} {pair}: must be {form}')
        values[sensor] = value
    return values


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

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Arguments of launch files: switches, paths, names of nodes, and what they choose."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from difflib import get_close_matches
from mmap import ACCESS_READ, mmap
import os
from pathlib import Path
from typing import Any

from m2vae_ros.specs import SensorSpec
from m2vae_ros.vae.header import check_digest, read_header, read_model_file
from m2vae_ros.weights_file import CheckpointError

UNSET = ''


class LaunchArgumentError(RuntimeError):
    """An argument of a launch file, or a file that it names, cannot be used; one line."""


def ignored_arguments(
    words: Sequence[str], known: Collection[str], *files: str
) -> list[str]:
    """
    Describe the arguments on the command line that a launch file does not have.

    Parameters
    ----------
    words
        The command line. Where it names another launch file, its arguments are for that.
    known
        Names of the arguments that the launch file has.
    files
        Names of the launch file, and of those that hand all of their arguments on to it.

    """
    if not any(Path(word).name in files for word in words):
        return []
    names = [word.partition(':=')[0] for word in words if ':=' in word]
    lines = []
    for name in [name for name in names if name not in known]:
        close = get_close_matches(name, known, n=1)
        meant = f': did you mean {close[0]}?' if close else ', see --show-args'
        lines.append(f'{name}:= is ignored: there is no such argument{meant}')
    return lines


def lower_case(values: MutableMapping[str, str], names: Iterable[str]) -> None:
    """Write the values of some arguments in lower case, so that ``True`` is ``true``."""
    for name in names:
        if name in values:
            values[name] = values[name].lower()


def expanded(path: str | Path) -> Path:
    """Return a path with ``~`` and ``~user`` expanded; an unknown user is left as it is."""
    return Path(os.path.expanduser(path))


def node_name(values: Mapping[str, str], name: str) -> str:
    """
    Return the fully qualified name of a node, ``/robot1/fusion``.

    Parameters
    ----------
    values
        Arguments of the launch: ``namespace``, and ``ros_namespace`` where another launch file has
        pushed one.
    name
        Name of the node.

    """
    namespace = values.get('namespace', UNSET)
    if not namespace.startswith('/'):
        namespace = f'{values.get("ros_namespace", UNSET)}/{namespace}'
    return '/' + '/'.join(part for part in [*namespace.split('/'), name] if part)


def public_topic(topic: str, node: str) -> str:
    """Return a topic of a node, ``~/scan``, as another node of its namespace may name it."""
    return f'{node}{topic[1:]}' if topic.startswith('~') else topic


def choose_model(values: Mapping[str, str], in_file: Mapping[str, Any], default: Path) -> Path:
    """
    Return the path of the model that a launch is to use.

    Parameters
    ----------
    values
        Arguments of the launch; ``model`` comes first, where it is set.
    in_file
        The node's parameters in the parameter file.
    default
        The installed model.

    """
    return expanded(values.get('model', UNSET) or str(in_file.get('model', UNSET)) or default)


def read_sensors(model: Path) -> tuple[SensorSpec, ...]:
    """
    Return the sensors of a model file.

    Raises
    ------
    LaunchArgumentError
        If the file is no model.

    """
    try:
        return read_header(model).sensors
    except CheckpointError as error:
        raise LaunchArgumentError(f'model {error}') from None


def check_model(model: Path) -> None:
    """
    Check that a model file is as it was written, as the node will when it has imported torch.

    Raises
    ------
    LaunchArgumentError
        If the file is no model, or damaged.

    """
    try:
        _, layout = read_model_file(model)
        with (
            model.open('rb') as file,
            mmap(file.fileno(), 0, access=ACCESS_READ) as mapped,
            memoryview(mapped) as content,
        ):
            check_digest(model, layout, content)
    except CheckpointError as error:
        raise LaunchArgumentError(f'model {error}') from None


def parse_topics(text: str) -> dict[str, str]:
    """Return sensor -> topic, see `parse_pairs`."""
    return parse_pairs('topics', text, 'TOPIC')


def parse_pairs(name: str, text: str, value: str) -> dict[str, str]:
    """
    Return sensor -> value, from SENSOR=VALUE pairs separated by spaces or commas.

    Raises
    ------
    LaunchArgumentError
        If something is no pair; names the argument and what the value is.

    """
    pairs = text.replace(',', ' ').split()
    for pair in pairs:
        sensor, equals, given = pair.partition('=')
        if not (sensor and equals and given):
            raise LaunchArgumentError(f'{name}:={pair}: must be SENSOR={value}')
    return dict(pair.split('=', 1) for pair in pairs)


def parse_number(name: str, text: str, low: float, high: float, meaning: str) -> float:
    """
    Return the number that an argument gives.

    Raises
    ------
    LaunchArgumentError
        If it is no number, or is not from `low` to `high`; names argument, value and `meaning`.

    """
    try:
        number = float(text)
    except ValueError:
        number = float('nan')
    if not low <= number <= high:
        raise LaunchArgumentError(f'{name}:={text}: must be {meaning}')
    return number

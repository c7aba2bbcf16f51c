# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Check the arguments of a replay, and turn them into parameters of the fusion node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.resolution import find_topics
from m2vae_ros.bags.topics import ros_2_name
from m2vae_ros.launching.arguments import (
    expanded,
    LaunchArgumentError,
    parse_number,
    parse_pairs,
    parse_topics,
    read_sensors,
)
from m2vae_ros.launching.parameter_rules import broken
from m2vae_ros.specs import SensorSpec

_TIMES = ('slop', 'max_wait', 'timeout')
BACKLOG = 100  # fused sets that may wait for the model, so that none is dropped
QUEUE_DEPTH = 30  # messages of a sensor that may wait


def replay_parameters(
    values: Mapping[str, str], model: Path, in_file: Mapping[str, Any] | None = None,
    warn: Callable[[str], None] = print,
) -> tuple[dict[str, Any], list[str]]:
    """
    Return the fusion node's parameters and the topics of the bag to play.

    Sensors that the bag lacks are not enabled.

    Parameters
    ----------
    values
        Arguments of the launch: ``bag``, ``topics``, ``rate``, ``start_offset``; ``slop``,
        ``max_wait``, ``timeout`` and ``offsets``, where they are given.
    model
        Path of the model.
    in_file
        The node's parameters in the parameter file; ``<sensor>.enabled`` of it counts.
    warn
        Called with each line about a sensor that is absent, or whose topic was found by its type.

    Raises
    ------
    LaunchArgumentError
        If model or bag cannot be read, or an argument does not fit them.

    """
    sensors = read_sensors(model)
    chosen = parse_topics(values['topics'])
    parse_number('rate', values['rate'], 1e-3, 1e3, 'a number from 0.001 to 1000')
    try:
        with Bag(expanded(values['bag'])) as bag:
            found = find_topics(
                bag, sensors, chosen, option='topics:=', by_type=True,
                disabled=[
                    spec.name for spec in sensors
                    if (in_file or {}).get(f'{spec.name}.enabled') is False
                ],
            )
            length = (bag.end_ns - bag.start_ns) * 1e-9
    except (ValueError, OSError) as error:
        raise LaunchArgumentError(' '.join(str(error).split())) from None
    parse_number(
        'start_offset', values['start_offset'], 0, length,
        f'a number from 0 to the length of the bag, {length:.1f} s',
    )
    for line in found.remarks():
        warn(line)
    parameters: dict[str, Any] = {
        'model': str(model), 'use_sim_time': True, 'autostart': True, 'exit_on_failure': True,
        'backlog': BACKLOG,
    }
    parameters |= _time_parameters(values, sensors)
    for spec in sensors:
        parameters[f'{spec.name}.enabled'] = spec.name in found.topics
        if spec.name in found.absent:
            continue
        topic = ros_2_name(found.topics[spec.name])
        compressed = spec.kind == 'image' and topic.endswith('/compressed')
        parameters[f'{spec.name}.topic'] = topic.removesuffix('/compressed' * compressed)
        parameters[f'qos_overrides.{topic}.subscription.depth'] = QUEUE_DEPTH
        if spec.kind == 'image':
            parameters[f'{spec.name}.transport'] = 'compressed' if compressed else 'raw'
    return parameters, list(found.topics.values())


def _time_parameters(
    values: Mapping[str, str], sensors: Sequence[SensorSpec]
) -> dict[str, float]:
    """Return the parameters that say which measurements belong together."""
    given = {name: (f'{name}:=', values[name]) for name in _TIMES if values.get(name)}
    for sensor, text in parse_pairs('offsets', values.get('offsets', ''), 'SECONDS').items():
        if sensor not in [spec.name for spec in sensors]:
            raise LaunchArgumentError(
                f'offsets:={sensor}={text}: the sensors are '
                f'{", ".join(spec.name for spec in sensors)}'
            )
        given[f'{sensor}.offset'] = f'offsets:={sensor}=', text
    for name, rule in broken({name: text for name, (_, text) in given.items()}, sensors):
        raise LaunchArgumentError(f'{"".join(given[name])}: must be {rule}')
    return {name: float(text) for name, (_, text) in given.items()}


def check_output(path: Path) -> None:
    """
    Check that a bag can be written to a path.

    Raises
    ------
    LaunchArgumentError
        If it exists, or its parent does not.

    """
    if path.exists():
        raise LaunchArgumentError(f'output:={path}: exists already: give another path')
    if not path.parent.is_dir():
        raise LaunchArgumentError(
            f'output:={path}: there is no folder {path.parent} to write it to'
        )

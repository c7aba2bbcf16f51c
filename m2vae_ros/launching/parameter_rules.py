# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
What the fusion node takes: names and values of parameters, checked before it is started.

A launch says at once what the node would say after it has imported torch. Where YAML is read in
another way by ROS 2 than here, as ``1e3`` is, the node decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import Field, fields
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
import re
from typing import Any

from m2vae_ros.node.parameters import (
    describe_rule,
    FusionParameters,
    SensorParameters,
    why_no_topic,
)
from m2vae_ros.specs import SensorSpec

SIMILARITY = 0.7  # of a misspelt name to the right one, difflib's ratio
_OF_EVERY_NODE = ('use_sim_time', 'start_type_description_service')
_ANY_NAME = re.compile(r'qos_overrides\..+')
_DEVICES = re.compile(r'auto|(cpu|cuda|xpu|mps|hpu|mtia|xla|privateuseone)(:\d+)?')


def unknown(parameters: Iterable[str], sensors: Sequence[SensorSpec]) -> Iterator[str]:
    """Describe the parameters that the fusion node does not declare."""
    known = [*_rules(sensors), *_OF_EVERY_NODE]
    of_sensor = {parameter.name for parameter in fields(SensorParameters)}
    absent: dict[str, list[str]] = {}  # a sensor that the model has not -> its parameters
    for parameter in parameters:
        if parameter in known or _ANY_NAME.fullmatch(parameter):
            continue
        sensor, _, name = parameter.rpartition('.')
        close = get_close_matches(parameter, known, n=1, cutoff=SIMILARITY)
        if sensor in [spec.name for spec in sensors] and name in of_sensor:
            yield f'{parameter}: only images have a {name}'
        elif sensor and name in of_sensor and not _alike(sensor, sensors):
            absent.setdefault(sensor, []).append(parameter)
        elif close:
            yield f'the fusion node has no parameter {parameter}: did you mean {close[0]}?'
        else:
            yield f'the fusion node has no parameter {parameter}'
    for sensor, names in absent.items():
        yield (
            f'{", ".join(names)}: the model has no sensor {sensor}, but '
            f'{", ".join(spec.name for spec in sensors)}'
        )


def unknown_to(
    node: str, parameters: Iterable[str], declared: Iterable[str]
) -> Iterator[str]:
    """Describe the parameters that another node does not declare."""
    known = [*declared, *_OF_EVERY_NODE]
    for parameter in parameters:
        if parameter not in known and not _ANY_NAME.fullmatch(parameter):
            close = get_close_matches(parameter, known, n=1, cutoff=SIMILARITY)
            meant = f': did you mean {close[0]}?' if close else ''
            yield f'the node {node} has no parameter {parameter}{meant}'


def broken(
    parameters: Mapping[str, Any], sensors: Sequence[SensorSpec]
) -> Iterator[tuple[str, str]]:
    """Yield the parameters whose values the fusion node refuses, with what they must be."""
    rules = _rules(sensors)
    for name, value in parameters.items():
        problem = ''
        if name in rules and _breaks(rules[name], value):
            problem = describe_rule(rules[name])
        elif name == 'use_sim_time' and not isinstance(value, (bool, str)):
            problem = 'true or false'
        elif name == 'device':
            problem = _device_problem(value)
        elif name in rules and name.endswith('.topic'):
            reason = why_no_topic(str(value))
            problem = f'the name of a topic: {reason}' if reason else ''
        if problem:
            yield name, problem


def _rules(sensors: Sequence[SensorSpec]) -> dict[str, Field[Any]]:
    """Return parameter -> its field, with type, range and choices."""
    of_sensor = {rule.name: rule for rule in fields(SensorParameters)}
    return {rule.name: rule for rule in fields(FusionParameters)} | {
        f'{spec.name}.{name}': of_sensor[name]
        for spec in sensors for name in SensorParameters.names(spec)
    }


def _breaks(rule: Field[Any], value: Any) -> bool:
    kind = type(rule.default)
    if kind in (int, float):
        return _is_no_number(kind, rule.metadata['range'], value)
    if kind is bool:
        return not isinstance(value, bool) and str(value).lower() not in ('y', 'n')
    if isinstance(value, str):
        return bool(rule.metadata['choices']) and value not in rule.metadata['choices']
    return isinstance(value, (bool, list))  # what is a number here may be a text there: 10:30


def _is_no_number(kind: type, limits: tuple[float, float] | None, value: Any) -> bool:
    if isinstance(value, str):  # 1e3 is a number in ROS 2
        with suppress(ValueError, OverflowError):
            value = kind(float(value))
    is_one = isinstance(value, kind) and not isinstance(value, bool)
    return not is_one or (limits is not None and not limits[0] <= value <= limits[1])


def _device_problem(name: Any) -> str:
    """Return what a device must be, empty where only torch knows whether it is one."""
    if not isinstance(name, str):
        return ''
    if not _DEVICES.fullmatch(name):
        return 'auto, cpu, cuda or cuda:N'
    with suppress(PackageNotFoundError):
        if name.startswith('cuda') and version('torch').endswith('+cpu'):
            return f'auto or cpu: this torch ({version("torch")}) is built without CUDA'
    return ''


def _alike(sensor: str, sensors: Sequence[SensorSpec]) -> bool:
    return bool(get_close_matches(sensor, [s.name for s in sensors], cutoff=SIMILARITY))

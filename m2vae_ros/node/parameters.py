# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The fusion node's parameters: the dataclasses are the only source of names and defaults.

``FusionParameters`` are the node's; ``SensorParameters`` are declared once for each sensor of the
model, as ``<sensor>.<name>``. ``config/fusion.yaml`` is tested against them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, Field, field, fields, replace
import re
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidTopicNameException, ParameterException
from rclpy.expand_topic_name import expand_topic_name
from rclpy.node import Node
from rclpy.validate_full_topic_name import validate_full_topic_name

from m2vae_ros.fusion.options import LARGEST_OFFSET, SynchronizerOptions
from m2vae_ros.specs import SensorSpec

_WAITING = SynchronizerOptions()
_TYPES = {str: 'text', bool: 'true or false', int: 'an integer', float: 'a number with a point'}


class ParameterError(ValueError):
    """A parameter breaks its rule; the message names parameter, rule and value."""


def _parameter(
    default: Any,
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    read_only: bool = False,
    any_time: bool = False,
) -> Any:
    """Return a dataclass field with what the descriptor of its parameter needs."""
    return field(default=default, metadata={
        'description': description, 'range': None if low is None else (low, high),
        'choices': choices, 'read_only': read_only, 'any_time': any_time,
    })


@dataclass(frozen=True)
class FusionParameters:
    """
    Parameters of the node itself.

    Those that are neither read-only nor ``reconstruct`` may be set while the node is
    unconfigured.
    """

    model: str = _parameter(
        '', 'Path of the model (.safetensors); empty = the model that the package installs')
    device: str = _parameter(
        'auto', 'Where the model runs: auto (the GPU if there is one), cpu, cuda or cuda:N')
    autostart: bool = _parameter(
        True, 'Whether the node configures and activates itself', read_only=True)
    exit_on_failure: bool = _parameter(
        False, 'Whether the process ends, with exit code 2, when autostart fails', read_only=True)
    reconstruct: str = _parameter(
        'missing', 'Which sensors are reconstructed while somebody subscribes: those missing '
        'from the fused set, or all; may be set at any time',
        choices=('missing', 'all'), any_time=True)
    slop: float = _parameter(
        _WAITING.slop, 'How far stamps of one set may lie apart, s', low=0.0, high=10.0)
    max_wait: float = _parameter(
        _WAITING.max_wait, 'How long a measurement waits for the others, s; above the '
        'differences of their delays, plus slop', low=0.0, high=60.0)
    timeout: float = _parameter(
        _WAITING.timeout, 'How long a silent sensor is still waited for, s', low=0.0, high=60.0)
    queue_size: int = _parameter(
        _WAITING.queue_size, 'Measurements of one sensor that may wait', low=1, high=1000)
    max_age: float = _parameter(
        _WAITING.max_age, 'Age of a stamp above which its measurement is rejected, s',
        low=0.0, high=1e9)
    max_future: float = _parameter(
        _WAITING.max_future, 'How far a stamp may lie in the future, s', low=0.0, high=1e9)
    backlog: int = _parameter(
        1, 'Fused sets that may wait while the model is busy; older ones are dropped. More than 1 '
        'is for recordings, where all count and none is late', low=1, high=1000)
    threads: int = _parameter(
        1, 'CPU threads of one inference and of image decoding', low=1, high=256)
    max_image_pixels: int = _parameter(
        4096 * 2160, 'Pixels of the largest image that is decoded, 4K video; larger ones are '
        'rejected, and compressed ones that take longer to decode', low=1, high=2**28)

    def synchronizer(self) -> SynchronizerOptions:
        """Return the options of the synchronizer."""
        return SynchronizerOptions(**{
            option.name: getattr(self, option.name) for option in fields(SynchronizerOptions)
        })


@dataclass(frozen=True)
class SensorParameters:
    """Parameters of one sensor of the model, as ``<sensor>.<name>``."""

    enabled: bool = _parameter(
        True, 'Whether the robot has the sensor; false = nobody listens for it or warns of it')
    topic: str = _parameter('', 'Topic of the sensor; the default is that of the model')
    transport: str = _parameter(
        'raw', 'raw, or compressed: CompressedImage on <topic>/compressed (images only)',
        choices=('raw', 'compressed'))
    frame_id: str = _parameter(
        '', 'Frame of its reconstructions; empty = as last heard, before that as in the model')
    offset: float = _parameter(
        0.0, 'By how much its stamps are later than its measurements, s; is subtracted',
        low=-float(LARGEST_OFFSET), high=float(LARGEST_OFFSET))
    reliability: str = _parameter(
        'auto', 'Reliability of the subscription; auto = reliable where all publishers offer it',
        choices=('auto', 'reliable', 'best_effort'))

    @classmethod
    def of(cls, spec: SensorSpec) -> SensorParameters:
        """Return the defaults for a sensor of the model."""
        return replace(cls(), topic=spec.topic)

    @staticmethod
    def names(spec: SensorSpec) -> tuple[str, ...]:
        """Return the names of a sensor's parameters; only images have a transport."""
        every = tuple(parameter.name for parameter in fields(SensorParameters))
        return tuple(n for n in every if n != 'transport' or spec.kind == 'image')


class ParameterDeclarations:
    """
    Declare the parameters of a node and reject values that break a rule.

    Parameters
    ----------
    node
        The node.
    state
        Returns its lifecycle state.

    """

    def __init__(self, node: Node, state: Callable[[], str]) -> None:
        self._node = node
        self._state = state
        self._rules: dict[str, Field[Any]] = {}
        self._sensors: dict[str, SensorSpec] = {}
        self._broken: dict[str, str] = {}  # what was given and broke its rule, until it is set
        node.add_on_set_parameters_callback(self._check)
        for rule in fields(FusionParameters):
            self._declare(rule.name, rule, rule.default)

    def read(self) -> FusionParameters:
        """Return the node's parameters as they are now."""
        return FusionParameters(**{
            rule.name: self._node.get_parameter(rule.name).value
            for rule in fields(FusionParameters)
        })

    def read_sensors(self, sensors: Sequence[SensorSpec]) -> dict[str, SensorParameters]:
        """
        Declare the parameters of a model's sensors and return their values.

        A value that was set stays, unless a model is loaded whose sensor of that name differs.

        Raises
        ------
        ParameterError
            If a given value breaks its rule.

        """
        for spec in [s for s in self._sensors.values() if s not in sensors]:
            del self._sensors[spec.name]
            for name in SensorParameters.names(spec):
                self._node.undeclare_parameter(f'{spec.name}.{name}')
        values = {}
        for spec in sensors:
            defaults = SensorParameters.of(spec)
            names = SensorParameters.names(spec)
            for rule in fields(SensorParameters):
                full_name = f'{spec.name}.{rule.name}'
                if rule.name in names and not self._node.has_parameter(full_name):
                    self._declare(full_name, rule, getattr(defaults, rule.name))
                if full_name in self._broken:
                    raise ParameterError(self._broken[full_name])
            self._sensors[spec.name] = spec
            values[spec.name] = replace(defaults, **{
                name: self._node.get_parameter(f'{spec.name}.{name}').value for name in names
            })
            self._check_topic(spec.name, values[spec.name].topic)
        return values

    def _declare(self, name: str, rule: Field[Any], default: Any) -> None:
        self._rules[name] = rule
        try:
            self._node.declare_parameter(name, default, _descriptor(rule))
        except ParameterException as error:
            # Declared all the same, so that it can be set without a restart.
            self._node.declare_parameter(name, default, _descriptor(rule), ignore_override=True)
            self._broken[name] = f'parameter {name}{_given(error)} must be {describe_rule(rule)}'
            raise ParameterError(self._broken[name]) from None

    def _check_topic(self, sensor: str, topic: str) -> None:
        reason = why_no_topic(topic)
        if not reason:
            try:
                self._node.resolve_topic_name(topic)
            except (InvalidTopicNameException, RuntimeError) as error:
                reason = ' '.join(str(error).split())
        if reason:
            raise ParameterError(
                f'parameter {sensor}.topic must be the name of a topic, is {topic!r}: {reason}'
            )

    def _check(self, parameters: Sequence[Any]) -> SetParametersResult:
        """Reject what breaks a rule, and what would have no effect in this state."""
        for parameter in parameters:
            rule = self._rules.get(parameter.name)
            if rule is None:
                continue
            if rule.metadata['choices'] and parameter.value not in rule.metadata['choices']:
                return SetParametersResult(successful=False, reason=(
                    f'{parameter.name} is {parameter.value!r}, must be {describe_rule(rule)}'
                ))
            late = self._node.has_parameter(parameter.name) and not rule.metadata['any_time']
            if late and self._state() not in ('unconfigured', 'unknown'):
                return SetParametersResult(successful=False, reason=(
                    f'{parameter.name} takes effect at configure only and the node is '
                    f'{self._state()}: deactivate and clean it up first'
                ))
        for parameter in parameters:
            if self._node.has_parameter(parameter.name):
                self._broken.pop(parameter.name, None)
        return SetParametersResult(successful=True)


def _descriptor(rule: Field[Any]) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=rule.metadata['description'], read_only=rule.metadata['read_only']
    )
    if rule.metadata['choices']:
        descriptor.additional_constraints = f'one of {", ".join(rule.metadata["choices"])}'
    if rule.metadata['range']:
        low, high = rule.metadata['range']
        if isinstance(rule.default, int):
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=0)]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)
            ]
    return descriptor


def _given(error: ParameterException) -> str:
    """Return ' is VALUE,' with the value that rclpy refused, empty if it does not say it."""
    found = re.search(r"value \((.*)\) for parameter|to '(.*)' of type", str(error.args[0]), re.S)
    return f' is {found[1] or found[2]},' if found else ''


def why_no_topic(name: str) -> str:
    """Return why a text cannot be the name of a topic, empty if it can."""
    try:
        validate_full_topic_name(expand_topic_name(name, 'node', '/namespace'))
    except (InvalidTopicNameException, ValueError) as error:
        return ' '.join(str(error).split())
    return ''


def describe_rule(rule: Field[Any]) -> str:
    """Return what a value must be."""
    if rule.metadata['choices']:
        return f'one of {", ".join(rule.metadata["choices"])}'
    words = _TYPES[type(rule.default)]
    if rule.metadata['range']:
        low, high = rule.metadata['range']
        words += f' from {low} to {high}'
    return f'{words} ({rule.metadata["description"]})'

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Which topic of a bag has the messages of which sensor, and which sensors the bag lacks.

A robot goes on when a sensor is absent, and so does what reads its recordings; it says so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.storage import BagError
from m2vae_ros.bags.topics import format_topics, ros_2_name, Topic
from m2vae_ros.sensors.kinds import decode, message_type
from m2vae_ros.sensors.messages import InvalidMessage
from m2vae_ros.specs import SensorSpec

COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
_COMPRESSED = '/compressed'
_DEPTH_ENCODINGS = ('16UC1', '32FC1')
_TRIED_MESSAGES = 5  # of a topic, of which a sensor must be able to read some


@dataclass(frozen=True)
class FoundTopics:
    """
    The topics of a model's sensors in a bag.

    Parameters
    ----------
    topics
        Sensor -> its topic, in the order of the sensors.
    by_type
        Sensors whose own topic the bag lacks, and that were given the only one that fits.
    absent
        Sensor that the bag lacks -> why, and what to do.

    """

    topics: Mapping[str, str]
    by_type: Collection[str]
    absent: Mapping[str, str]

    def remarks(self) -> list[str]:
        """Return lines of text that say what is absent and what was assumed."""
        return [
            *(f'without {name}: {why}' for name, why in self.absent.items()),
            *(f'{name} is taken from {self.topics[name]}, the only topic that fits: its own is '
              f'not in the bag' for name in self.by_type),
        ]


@dataclass(frozen=True)
class _OwnTopic:
    """
    A sensor's own, or chosen, topic in a bag.

    Parameters
    ----------
    name
        The topic; None if it cannot be used.
    problem
        Why not.
    is_there
        Whether it is there all the same, but empty.

    """

    name: str | None
    problem: str = ''
    is_there: bool = False


def find_topics(
    bag: Bag, sensors: Sequence[SensorSpec], chosen: Mapping[str, str] | None = None,
    *, option: str = '--topic ', disabled: Collection[str] = (), by_type: bool = False,
    require_chosen: bool = True,
) -> FoundTopics:
    """
    Find the topics of the sensors that a bag has.

    Parameters
    ----------
    bag
        The recording.
    sensors
        Their own topics are looked up; of an image also ``<topic>/compressed``. A topic that
        ROS 2 cannot name is found by its `ros_2_name`, too.
    chosen
        Sensor -> its topic in this bag, where it is not the sensor's own.
    option
        What the user writes before ``SENSOR=TOPIC``, for messages.
    disabled
        Sensors to do without.
    by_type
        Whether a sensor whose topic is not in the bag gets the only other topic that fits: of its
        type, no other sensor's, with messages that it can read.
    require_chosen
        Whether a chosen topic must be in the bag; otherwise the sensor's own is the second choice.

    Raises
    ------
    BagError
        If the bag has none of the sensors, lacks a chosen topic that it must have, or a name is
        no sensor's.

    """
    chosen = chosen or {}
    _check_names(sensors, chosen, option)
    wanted = [spec for spec in sensors if spec.name not in disabled]
    own = {spec.name: _own_topic(bag, spec, chosen.get(spec.name)) for spec in wanted}
    for spec in wanted:
        if spec.name in chosen and own[spec.name].name is None:
            if require_chosen:
                raise BagError(_explain(bag, spec, own[spec.name].problem, option))
            own[spec.name] = _own_topic(bag, spec, None)
    found = {name: each.name for name, each in own.items() if each.name is not None}
    homeless = [spec for spec in wanted if own[spec.name].name is None]
    assumed = {}
    if by_type:
        lost = [spec for spec in homeless if not own[spec.name].is_there]
        assumed = _only_fitting(bag, lost, set(found.values()))
    absent = {spec.name: 'not enabled' for spec in sensors if spec.name in disabled}
    for spec in homeless:
        if spec.name not in assumed:
            problem = own[spec.name].problem
            absent[spec.name] = f'{problem}; {_candidates(bag, spec, option)}'
    found |= assumed
    if not found:
        raise BagError(f'{bag.path}: none of the sensors is in it: ' + '; '.join(
            f'sensor {name}: {why}' for name, why in absent.items()
        ))
    names = [spec.name for spec in sensors]
    return FoundTopics(
        {name: found[name] for name in names if name in found}, tuple(assumed),
        {name: absent[name] for name in names if name in absent},
    )


def resolve_topics(
    bag: Bag, sensors: Sequence[SensorSpec], chosen: Mapping[str, str] | None = None,
    *, option: str = '--topic ',
) -> dict[str, str]:
    """
    Find the topic of each sensor in a bag, which must have them all.

    Parameters
    ----------
    bag, sensors, chosen, option
        See `find_topics`.

    Returns
    -------
    dict
        Sensor -> topic, which exists, is of the right type and has messages.

    Raises
    ------
    BagError
        If there is no such topic; names the bag, the topic, the wanted type and topics that have
        it.

    """
    chosen = chosen or {}
    _check_names(sensors, chosen, option)
    topics = {}
    for spec in sensors:
        own = _own_topic(bag, spec, chosen.get(spec.name))
        if own.name is None:
            raise BagError(_explain(bag, spec, own.problem, option))
        topics[spec.name] = own.name
    return topics


def _check_names(
    sensors: Sequence[SensorSpec], chosen: Mapping[str, str], option: str
) -> None:
    unknown = sorted(set(chosen) - {spec.name for spec in sensors})
    if unknown:
        raise BagError(
            f'{option}{unknown[0]}={chosen[unknown[0]]}: no such sensor; the sensors are '
            f'{", ".join(spec.name for spec in sensors)}'
        )


def _own_topic(bag: Bag, spec: SensorSpec, chosen: str | None) -> _OwnTopic:
    types = _types(spec)
    name = (chosen or spec.topic).strip('/')
    names = [name] + [f'{name}{_COMPRESSED}'] * (spec.kind == 'image')
    by_name = {
        **{ros_2_name(topic.name).strip('/'): topic for topic in bag.topics.values()},
        **{topic.name.strip('/'): topic for topic in bag.topics.values()},
    }
    found = [by_name[name] for name in names if name in by_name]
    fitting = [topic for topic in found if topic.message_type in types]
    for topic in fitting:
        if topic.count:
            return _OwnTopic(topic.name)
    if fitting:
        return _OwnTopic(None, f'topic {fitting[0].name} has no messages', is_there=True)
    if found:
        return _OwnTopic(None, f'topic {found[0].name} is of type {found[0].message_type}, not '
                               f'{" or ".join(types)}')
    return _OwnTopic(None, f'no topic {" or ".join(f"/{name}" for name in names)}')


def _types(spec: SensorSpec) -> list[str]:
    """Return the message types of which a sensor's topic may be."""
    return [message_type(spec)] + [COMPRESSED_IMAGE] * (spec.kind == 'image')


def _of_type(bag: Bag, spec: SensorSpec) -> list[Topic]:
    types = _types(spec)
    return [t for t in bag.topics.values() if t.message_type in types and t.count]


def _explain(bag: Bag, spec: SensorSpec, problem: str, option: str) -> str:
    return f'{bag.path}: sensor {spec.name}: {problem}; {_fix(bag, spec, option)}'


def _fix(bag: Bag, spec: SensorSpec, option: str) -> str:
    """Return what to do about a topic that must be there and is not."""
    text = _candidates(bag, spec, option)
    if _of_type(bag, spec):
        return text
    return (
        f'{text}: record it, or take {spec.name} out of the sensors file, or use a model without '
        f'it'
    )


def _candidates(bag: Bag, spec: SensorSpec, option: str) -> str:
    """Return which topics a sensor might have instead, and how to choose one."""
    types = ' or '.join(_types(spec))
    candidates = _of_type(bag, spec)
    if not candidates:
        return f'no topic of this bag has messages of type {types}'
    return (
        f'choose one with {option}{spec.name}={candidates[0].name}; of type {types} there are '
        f'{format_topics(candidates)}'
    )


def _only_fitting(
    bag: Bag, lost: Sequence[SensorSpec], taken: Collection[str]
) -> dict[str, str]:
    """Return sensor -> topic where a single topic fits the sensor, and it alone."""
    fitting = {}
    for spec in lost:
        names = [topic.name for topic in _of_type(bag, spec) if topic.name not in taken]
        # A camera's compressed images are not another camera.
        names = [
            name for name in names
            if not name.endswith(_COMPRESSED)
            or name.removesuffix(_COMPRESSED) not in {*names, *taken}
        ]
        fitting[spec.name] = [name for name in names if _can_read(bag, spec, name)]
    return {
        name: topics[0] for name, topics in fitting.items() if len(topics) == 1
        and not any(topics[0] in others for other, others in fitting.items() if other != name)
    }


def _can_read(bag: Bag, spec: SensorSpec, topic: str) -> bool:
    """Return whether one of a topic's first messages is a measurement of the sensor."""
    try:
        for received in islice(bag.messages([topic]), _TRIED_MESSAGES):
            if spec.kind == 'image' and _is_depth(received.message):
                return False  # its numbers could be read as grey levels, and mean something else
            try:
                decode(spec, received.message)
            except InvalidMessage:
                continue
            return True
    except ValueError:  # it is damaged where it begins
        pass
    return False


def _is_depth(message: Any) -> bool:
    """Return whether an image holds distances, by REP-118, compressed or not."""
    encoding = message.format if hasattr(message, 'format') else message.encoding
    return encoding.split(';')[0].strip() in _DEPTH_ENCODINGS

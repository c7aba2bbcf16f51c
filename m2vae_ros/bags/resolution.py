# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Which topic of a bag has the messages of which sensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.storage import BagError
from m2vae_ros.bags.topics import format_topics, ros_2_name
from m2vae_ros.sensors.kinds import message_type
from m2vae_ros.specs import SensorSpec

COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'


def resolve_topics(
    bag: Bag, sensors: Sequence[SensorSpec], chosen: Mapping[str, str] | None = None,
    *, option: str = '--topic ',
) -> dict[str, str]:
    """
    Find the topic of each sensor in a bag.

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
        What the user writes before ``SENSOR=TOPIC``, for error messages.

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
    unknown = sorted(set(chosen) - {spec.name for spec in sensors})
    if unknown:
        raise BagError(
            f'{option}{unknown[0]}={chosen[unknown[0]]}: no such sensor; the sensors are '
            f'{", ".join(spec.name for spec in sensors)}'
        )
    return {
        spec.name: _resolve_topic(bag, spec, chosen.get(spec.name), option) for spec in sensors
    }


def _resolve_topic(bag: Bag, spec: SensorSpec, chosen: str | None, option: str) -> str:
    types = [message_type(spec)] + [COMPRESSED_IMAGE] * (spec.kind == 'image')
    name = (chosen or spec.topic).strip('/')
    names = [name] + [f'{name}/compressed'] * (spec.kind == 'image')
    by_name = {
        **{ros_2_name(topic.name).strip('/'): topic for topic in bag.topics.values()},
        **{topic.name.strip('/'): topic for topic in bag.topics.values()},
    }
    found = [by_name[name] for name in names if name in by_name]
    fitting = [topic for topic in found if topic.message_type in types]
    for topic in fitting:
        if topic.count:
            return topic.name
    if fitting:
        problem = f'topic {fitting[0].name} has no messages'
    elif found:
        problem = (
            f'topic {found[0].name} is of type {found[0].message_type}, not {" or ".join(types)}'
        )
    else:
        problem = f'no topic {" or ".join(f"/{name}" for name in names)}'
    candidates = [
        topic for topic in bag.topics.values() if topic.message_type in types and topic.count
    ]
    fix = (
        f'choose one with {option}{spec.name}={candidates[0].name}; of type '
        f'{" or ".join(types)} there are {format_topics(candidates)}'
        if candidates else
        f'no topic of this bag has messages of type {" or ".join(types)}: record it, or take '
        f'{spec.name} out of the sensors file, or use a model without it'
    )
    raise BagError(f'{bag.path}: sensor {spec.name}: {problem}; {fix}')

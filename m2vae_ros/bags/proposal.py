# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Propose the sensors of a bag from a few of its messages.

Of each topic, a few bursts of messages are read, spread over the bag, so it takes as long for a
minute as for a day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
import re
from typing import Any

import numpy as np

from m2vae_ros.bags.bag import Bag, Received
from m2vae_ros.bags.proposed_clouds import propose_cloud
from m2vae_ros.bags.proposed_geometry import Layout, UnusableTopic
from m2vae_ros.bags.proposed_images import propose_image
from m2vae_ros.bags.proposed_scans import propose_scan
from m2vae_ros.bags.resolution import COMPRESSED_IMAGE
from m2vae_ros.bags.topics import ros_2_name, Topic
from m2vae_ros.fusion.timing import LONGEST_DELAY, measure
from m2vae_ros.sensors.kinds import decode, KINDS
from m2vae_ros.sensors.messages import InvalidMessage, stamp_and_frame
from m2vae_ros.specs import Measurement, SensorSpec

_BURSTS_PER_TOPIC = 6
_MESSAGES_PER_BURST = 3
_LONGEST_NAME = 60  # characters of 64, so that a number may follow
_COMPRESSED = '/compressed'
_KIND_OF_TYPE = {
    **{kind.MESSAGE_TYPE: name for name, kind in KINDS.items()}, COMPRESSED_IMAGE: 'image',
}
# Last words of topics that do not tell one sensor from another.
_GENERIC_WORDS = (
    'compressed', 'raw', 'image', 'image_raw', 'image_rect', 'image_color', 'image_colour',
    'image_mono', 'image_rect_color', 'image_rect_raw', 'points', 'cloud', 'point_cloud',
    'pointcloud', 'points_raw',
)
_PROPOSE_BY_KIND: dict[str, Callable[[Sequence[Any], str], Layout]] = {
    'image': propose_image, 'laser_scan': propose_scan, 'point_cloud': propose_cloud,
}  # from messages and their frame
_MAX_AHEAD = 0.2  # s, the synchroniser's max_future


@dataclass(frozen=True)
class ProposedSensor:
    """
    A proposed sensor.

    Parameters
    ----------
    topic
        The topic of its messages.
    spec
        Its specification for a model.
    remarks
        What is worth knowing of it, lines of text.

    """

    topic: Topic
    spec: SensorSpec
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class UnusedTopic:
    """A topic that is no sensor, and why."""

    topic: Topic
    reason: str


def propose_sensors(bag: Bag) -> tuple[list[ProposedSensor], list[UnusedTopic]]:
    """
    Return the proposed sensors of a bag, and its other topics.

    Whatever is wrong with a topic is the reason why it is not used; the others are proposed.
    """
    proposed: list[ProposedSensor] = []
    unused: list[UnusedTopic] = []
    not_empty = {topic.name for topic in bag.topics.values() if topic.count}
    for topic in bag.topics.values():
        try:
            if topic.message_type not in _KIND_OF_TYPE:
                raise UnusableTopic('no kind of sensor has this type')
            if not topic.count:
                raise UnusableTopic('no messages')
            raw_topic = topic.name.removesuffix(_COMPRESSED)
            if topic.message_type == COMPRESSED_IMAGE and raw_topic in not_empty - {topic.name}:
                raise UnusableTopic(f'the same as {raw_topic}')
            sensor = _propose(bag, topic)
            name = _unique_name(sensor.spec.name, {other.spec.name for other in proposed})
            proposed.append(replace(sensor, spec=replace(sensor.spec, name=name)))
        except ValueError as error:
            unused.append(UnusedTopic(topic, str(error)))
        except Exception as error:  # one odd topic must not hide the sensors on the others
            unused.append(UnusedTopic(
                topic, f'it cannot be examined ({type(error).__name__}: {error})'
            ))
    return proposed, unused


def name_of(topic: str) -> str:
    """Return a sensor's name for a topic: ``/front/camera/image_raw`` is ``front_camera``."""
    words = [word for word in topic.strip('/').split('/') if word]
    while len(words) > 1 and words[-1].lower() in _GENERIC_WORDS:
        words.pop()
    name = re.sub(r'[^a-z0-9]+', '_', '_'.join(words).lower()).strip('_')
    name = name if name[:1].isalpha() else f'sensor_{name}'.rstrip('_')
    return name[:_LONGEST_NAME].rstrip('_')


def _propose(bag: Bag, topic: Topic) -> ProposedSensor:
    bursts = _read_bursts(bag, topic)
    messages = [received.message for burst in bursts for received in burst]
    headers = [stamp_and_frame(message) for message in messages]
    frames = Counter(frame for _, frame in headers)
    sent_frame = frames.most_common(1)[0][0]
    frame_id = ''.join(filter(str.isprintable, sent_frame))
    name = name_of(topic.name)
    kind = _KIND_OF_TYPE[topic.message_type]
    shape, geometry, remarks = _PROPOSE_BY_KIND[kind](messages, frame_id)
    base = topic.name.removesuffix(_COMPRESSED) if kind == 'image' else topic.name
    spec = SensorSpec(name, kind, ros_2_name(base).strip('/'), frame_id or name, shape, geometry)
    measurements, rejected = _decode_all(spec, messages)
    if not measurements:
        raise InvalidMessage(*next(iter(rejected)))
    remarks = [
        f'{topic.count} messages, {_format_rate(bursts)}; {len(messages)} of them were read',
        *remarks, *_format_returns(spec, measurements),
    ]
    if rejected:
        (rule, explanation), _ = rejected.most_common(1)[0]
        remarks.append(
            f'CAUTION: {rejected.total()} of {len(messages)} messages cannot be used '
            f'({rule}: {explanation})'
        )
    if ros_2_name(topic.name) != topic.name:
        remarks.append(
            f'CAUTION: {topic.name} is no name of ROS 2: a live driver must publish on '
            f'{ros_2_name(topic.name)}'
        )
    if frame_id == '':
        remarks.append('CAUTION: its messages have no frame; fill in frame_id')
    elif frame_id != sent_frame:
        remarks.append(f'CAUTION: its frame {sent_frame!r} has characters that cannot be printed')
    elif len(frames) > 1:
        remarks.append(f'CAUTION: its messages have several frames: {", ".join(sorted(frames))}')
    remarks += _check_stamps(name, [received for burst in bursts for received in burst])
    return ProposedSensor(topic, spec, tuple(remarks))


def _read_bursts(bag: Bag, topic: Topic) -> list[list[Received]]:
    """Return bursts of consecutive messages, spread over the bag; no message twice."""
    bursts = []
    last_ns = -1
    duration_ns = bag.end_ns - bag.start_ns
    for index in range(_BURSTS_PER_TOPIC):
        start = max(last_ns + 1, bag.start_ns + duration_ns * index // _BURSTS_PER_TOPIC)
        burst = list(islice(bag.messages([topic.name], start_ns=start), _MESSAGES_PER_BURST))
        if not burst:
            break
        bursts.append(burst)
        last_ns = burst[-1].receive_ns
    if not bursts:
        raise UnusableTopic('none of its messages can be read')
    return bursts


def _decode_all(
    spec: SensorSpec, messages: Sequence[Any]
) -> tuple[list[Measurement], Counter[tuple[str, str]]]:
    """Return the measurements, and (rule, explanation) -> number of messages that are invalid."""
    measurements = []
    rejected: Counter[tuple[str, str]] = Counter()
    for message in messages:
        try:
            measurements.append(decode(spec, message))
        except InvalidMessage as error:
            rejected[error.rule, str(error).removeprefix(f'{error.rule}: ')] += 1
    return measurements, rejected


def _format_returns(spec: SensorSpec, measurements: Iterable[Measurement]) -> list[str]:
    """Return a line that says how much of the array has returns; images have none."""
    if spec.kind == 'image':
        return []
    returned = np.stack([measurement.returned for measurement in measurements])
    cells = 'bearings' if spec.kind == 'laser_scan' else 'cells'
    text = f'{100 * returned.mean():.0f} % of the {cells} have a return'
    if spec.kind == 'point_cloud':
        rows = returned.mean(axis=(0, 2))
        text += f', from {100 * rows[0]:.0f} % in the top row to {100 * rows[-1]:.0f} % in the ' \
                f'bottom one'
    return [text]


def _format_rate(bursts: Sequence[Sequence[Received]]) -> str:
    """Return the rate by the stamps of consecutive messages, so that gaps do not matter."""
    stamps = [[stamp_and_frame(received.message)[0] for received in burst] for burst in bursts]
    periods = [after - before for burst in stamps for before, after in pairwise(burst)]
    period = float(np.median(periods)) if periods else 0.0
    return f'{1e9 / period:.1f} Hz' if period > 0 else 'rate unknown'


def _check_stamps(name: str, received: Sequence[Received]) -> list[str]:
    """Return warnings about stamps that the synchroniser would reject; raise if all are zero."""
    stamps = np.array([stamp_and_frame(each.message)[0] for each in received])
    receipts = np.array([each.receive_ns for each in received])
    if (stamps == 0).all():
        raise UnusableTopic('the stamps in its headers are zero: the driver must set them')
    if (stamps == 0).any():
        return [f'CAUTION: {(stamps == 0).sum()} of {len(stamps)} messages have a stamp of zero']
    timing = measure(np.stack([stamps, receipts], 1))
    modes = timing.modes if timing else ((float(np.median(receipts - stamps)) * 1e-9, 1.0),)
    if all(-_MAX_AHEAD <= delay <= LONGEST_DELAY for delay, _ in modes):
        return []
    lie = ', then '.join(
        f'{abs(delay):.1f} s {"behind" if delay > 0 else "ahead"}'
        + (f' ({share:.0%} of those read)' if len(modes) > 1 else '')
        for delay, share in modes
    )
    offset = -modes[0][0]
    return [
        f'CAUTION: its stamps are {lie}, compared with the time of receipt; '
        + ('its clock was set while it ran, so no offset fits all' if len(modes) > 1 else
           f'train and evaluate with --offset {name}={offset:.1f}, and set {name}.offset of '
           f'the node, or correct its clock')
    ]


def _unique_name(name: str, taken: set[str]) -> str:
    number = 2
    unique = name
    while unique in taken:
        unique = f'{name}_{number}'
        number += 1
    return unique

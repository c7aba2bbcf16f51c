# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Which sensors a bag holds, told from a few of its messages.

A few bursts of messages are read, spread over the bag, so that it takes the same time for a minute
and for a day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.bags.bag import Bag, COMPRESSED_IMAGE, Received
from m2vae_ros.bags.proposed_geometry import cloud_geometry, image_shape, scan_geometry
from m2vae_ros.bags.topics import Topic
from m2vae_ros.sensors.compressed_image import decompress
from m2vae_ros.sensors.kinds import decode, KINDS
from m2vae_ros.sensors.messages import InvalidMessage, stamp_and_frame
from m2vae_ros.sensors.point_cloud import points_of
from m2vae_ros.specs import Measurement, SensorSpec

_BURSTS = 6  # of messages are read of each topic
_BURST = 3  # messages long
_MOST_POINTS = 50_000  # of a cloud
_COMPRESSED = '/compressed'
_DEPTH_IMAGES = ('16UC1', '32FC1')  # REP-118
_TYPES = {kind.MESSAGE_TYPE: name for name, kind in KINDS.items()} | {COMPRESSED_IMAGE: 'image'}
# What names of topics say of every camera or cloud, and thus of none.
_GENERIC = (
    'compressed', 'raw', 'image', 'image_raw', 'image_rect', 'image_color', 'image_colour',
    'image_mono', 'image_rect_color', 'image_rect_raw', 'points', 'cloud', 'point_cloud',
    'pointcloud', 'points_raw',
)
_AHEAD_NS, _BEHIND_NS = 200_000_000, 10_000_000_000  # the synchroniser's limits for stamps


@dataclass(frozen=True)
class Proposed:
    """
    A sensor, and what is worth knowing of it.

    Parameters
    ----------
    topic
        Where its messages are.
    spec
        What a model would see of it.
    remarks
        Lines of text.

    """

    topic: Topic
    spec: SensorSpec
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Unused:
    """A topic that no sensor can be made of, and why."""

    topic: Topic
    reason: str


class Unusable(ValueError):  # noqa: N818 (a property of the topic, not of the program)
    """What the messages of a topic lack for being a sensor."""


def study(bag: Bag) -> tuple[list[Proposed], list[Unused]]:
    """Return the sensors that a bag holds, and its other topics."""
    proposed: list[Proposed] = []
    unused: list[Unused] = []
    raw = {topic.name for topic in bag.topics.values() if topic.count}
    for topic in bag.topics.values():
        try:
            if topic.message_type not in _TYPES:
                raise Unusable('no kind of sensor has this type')
            if not topic.count:
                raise Unusable('no messages')
            if topic.message_type == COMPRESSED_IMAGE and topic.name.removesuffix(_COMPRESSED) in \
                    raw - {topic.name}:
                raise Unusable(f'the same as {topic.name.removesuffix(_COMPRESSED)}')
            sensor = _proposed(bag, topic)
            name = _unique(sensor.spec.name, {other.spec.name for other in proposed})
            proposed.append(replace(sensor, spec=replace(sensor.spec, name=name)))
        except (Unusable, InvalidMessage) as error:
            unused.append(Unused(topic, str(error)))
    return proposed, unused


def name_of(topic: str) -> str:
    """Return a sensor's name for a topic: ``/front/camera/image_raw`` is ``front_camera``."""
    words = [word for word in topic.strip('/').split('/') if word]
    while len(words) > 1 and words[-1].lower() in _GENERIC:
        words.pop()
    name = re.sub(r'[^a-z0-9]+', '_', '_'.join(words).lower()).strip('_')
    return name if name[:1].isalpha() else f'sensor_{name}'.rstrip('_')


def _proposed(bag: Bag, topic: Topic) -> Proposed:
    bursts = _bursts(bag, topic)
    messages = [received.message for burst in bursts for received in burst]
    heard = [stamp_and_frame(message) for message in messages]
    frames = Counter(frame for _, frame in heard)
    frame_id = frames.most_common(1)[0][0]
    name = name_of(topic.name)
    kind = _TYPES[topic.message_type]
    shape, geometry, remarks = _STUDIES[kind](messages, frame_id)
    base = topic.name.removesuffix(_COMPRESSED) if kind == 'image' else topic.name
    spec = SensorSpec(name, kind, base.strip('/'), frame_id or name, shape, geometry)
    measurements, rejected = _decoded(spec, messages)
    if not measurements:
        raise InvalidMessage(*next(iter(rejected)))
    about = [
        f'{topic.count} messages, {_rate(bursts)}; {len(messages)} of them were looked at',
        *remarks, *_returns(spec, measurements),
    ]
    if rejected:
        (rule, explanation), _ = rejected.most_common(1)[0]
        about.append(
            f'CAUTION: {rejected.total()} of {len(messages)} messages cannot be used '
            f'({rule}: {explanation})'
        )
    if frame_id == '':
        about.append('CAUTION: its messages name no frame; fill in frame_id')
    elif len(frames) > 1:
        about.append(f'CAUTION: its messages name several frames: {", ".join(sorted(frames))}')
    about += _stamps([received for burst in bursts for received in burst])
    return Proposed(topic, spec, tuple(about))


def _bursts(bag: Bag, topic: Topic) -> list[list[Received]]:
    """Return a few messages at a time, spread over the bag; none of them twice."""
    bursts = []
    after = -1
    span = bag.end_ns - bag.start_ns
    for index in range(_BURSTS):
        start = max(after + 1, bag.start_ns + span * index // _BURSTS)
        burst = list(islice(bag.messages([topic.name], start_ns=start), _BURST))
        if not burst:
            break
        bursts.append(burst)
        after = burst[-1].receive_ns
    if not bursts:
        raise Unusable('none of its messages can be read')
    return bursts


def _decoded(
    spec: SensorSpec, messages: Sequence[Any]
) -> tuple[list[Measurement], Counter[tuple[str, str]]]:
    """Return what messages say, and how many say nothing for which rule."""
    measurements = []
    rejected: Counter[tuple[str, str]] = Counter()
    for message in messages:
        try:
            measurements.append(decode(spec, message))
        except InvalidMessage as error:
            rejected[error.rule, str(error).removeprefix(f'{error.rule}: ')] += 1
    return measurements, rejected


def _study_image(messages: Sequence[Any], _: str) -> tuple[tuple[int, ...], Any, list[str]]:
    sizes: Counter[tuple[int, int]] = Counter()
    encodings = set()
    failure = None
    for message in messages:
        try:
            height, width = _image_size(message)
            sizes[height, width] += 1
            encodings.add(getattr(message, 'encoding', '') or message.format)
        except InvalidMessage as error:
            failure = error
    if failure and not sizes:
        raise failure
    if encodings & set(_DEPTH_IMAGES):
        raise Unusable(
            f'a depth image ({", ".join(sorted(encodings))}): a model reads it as a PointCloud2'
        )
    (height, width), _count = sizes.most_common(1)[0]
    remarks = [f'{width} x {height} pixels, {", ".join(sorted(encodings))}']
    if len(sizes) > 1:
        remarks.append('CAUTION: its images have several sizes: ' + ', '.join(
            f'{columns} x {rows}' for rows, columns in sorted(sizes)
        ))
    return image_shape(height, width), {}, remarks


def _image_size(message: Any) -> tuple[int, int]:
    """Return rows and columns."""
    if hasattr(message, 'format'):
        pixels, _ = decompress(message)
        return int(pixels.shape[0]), int(pixels.shape[1])
    if message.height < 1 or message.width < 1:
        raise InvalidMessage('empty_image', f'{message.width} x {message.height} pixels')
    return int(message.height), int(message.width)


def _study_scan(messages: Sequence[Any], _: str) -> tuple[tuple[int, ...], Any, list[str]]:
    layouts = Counter(
        (float(m.angle_min), float(m.angle_increment), len(m.ranges), float(m.range_min),
         float(m.range_max)) for m in messages
    )
    (angle_min, increment, beams, nearest, farthest), _count = layouts.most_common(1)[0]
    if beams < 1 or not np.isfinite([angle_min, increment, nearest, farthest]).all() or \
            not 0 <= nearest < farthest:
        raise Unusable(
            f'{beams} beams from {angle_min} rad at {increment} rad, from {nearest} to {farthest} '
            f'm: must be beams between limits that are finite'
        )
    ranges = np.concatenate([np.asarray(m.ranges, np.float32) for m in messages])
    measured = ranges[np.isfinite(ranges) & (ranges > 0) & (ranges <= farthest)]
    shape, geometry = scan_geometry(angle_min, increment, beams, (nearest, farthest), measured)
    remarks = [
        f'{beams} beams, {abs(increment) * 180 / np.pi:.2f} degrees apart; the driver says '
        f'{nearest:g} to {farthest:g} m, {_measured(measured)}'
    ]
    if len(layouts) > 1:
        remarks.append(
            f'CAUTION: its beams change on the way ({len(layouts)} ways): a model wants one'
        )
    return shape, geometry, remarks


def _study_cloud(messages: Sequence[Any], frame_id: str) -> tuple[tuple[int, ...], Any, list[str]]:
    clouds = []
    failure = None
    for message in messages:
        try:
            clouds.append(points_of(message))
        except InvalidMessage as error:
            failure = error
    if failure and not clouds:
        raise failure
    points = np.concatenate([_some(cloud) for cloud in clouds])
    if not len(points):
        raise Unusable('its clouds have no finite point')
    sizes = Counter((int(message.height), int(message.width)) for message in messages)
    (height, width), _count = sizes.most_common(1)[0]
    shape, geometry = cloud_geometry(points, frame_id, (height, width) if height > 1 else None)
    fewest, most = min(map(len, clouds)), max(map(len, clouds))
    layout = f'{height} rows of {width}' if height > 1 else 'without rows'
    distances = np.linalg.norm(points, axis=1)
    return shape, geometry, [
        f'{fewest} to {most} points, {layout}, with '
        f'{", ".join(field.name for field in messages[0].fields)}; {_measured(distances)}'
    ]


_STUDIES: dict[str, Callable[[Sequence[Any], str], tuple[tuple[int, ...], Any, list[str]]]] = {
    'image': _study_image, 'laser_scan': _study_scan, 'point_cloud': _study_cloud,
}


def _some(cloud: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return points of a cloud, not more than memory has room for whatever the lidar."""
    if len(cloud) <= _MOST_POINTS:
        return cloud
    return cloud[np.random.default_rng(0).integers(0, len(cloud), _MOST_POINTS)]


def _measured(ranges: Any) -> str:
    if not ranges.size:
        return 'nothing returned'
    return f'{ranges.min():.2f} to {ranges.max():.2f} m were measured'


def _returns(spec: SensorSpec, measurements: Iterable[Measurement]) -> list[str]:
    """Return how much of the array is filled."""
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


def _rate(bursts: Sequence[Sequence[Received]]) -> str:
    """Return the rate by the stamps of neighbours, which gaps of a recording leave alone."""
    stamps = [[stamp_and_frame(received.message)[0] for received in burst] for burst in bursts]
    periods = [after - before for burst in stamps for before, after in pairwise(burst)]
    period = float(np.median(periods)) if periods else 0.0
    return f'{1e9 / period:.1f} Hz' if period > 0 else 'rate unknown'


def _stamps(received: Sequence[Received]) -> list[str]:
    """Return what keeps a synchroniser from using the stamps of messages."""
    stamps = np.array([stamp_and_frame(one.message)[0] for one in received])
    receipts = np.array([one.receive_ns for one in received])
    if (stamps == 0).all():
        raise Unusable('the stamps in its headers are zero: the driver must set them')
    if (stamps == 0).any():
        return [f'CAUTION: {(stamps == 0).sum()} of {len(stamps)} messages have a stamp of zero']
    behind = float(np.median(receipts - stamps))
    if -_AHEAD_NS <= behind <= _BEHIND_NS:
        return []
    direction = 'behind' if behind > 0 else 'ahead of'
    return [
        f'CAUTION: its stamps are {abs(behind) * 1e-9:.1f} s {direction} the time of receipt; '
        f'such messages are rejected: set offsets, or max_age and max_future, of the synchroniser'
    ]


def _unique(name: str, taken: set[str]) -> str:
    number = 2
    unique = name
    while unique in taken:
        unique = f'{name}_{number}'
        number += 1
    return unique

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Record a simulated drive to a bag: what `robot_node` would publish, faster than real time.

The options alone determine every byte of the messages. The robot's clock starts at a fixed time,
and a message is received when the robot sends it, shortly after its stamp. No ROS is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import heapify, heapreplace
import math
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from m2vae_ros.bags.writer import BagWriter, message_types, rosbags_classes
from m2vae_ros.sensors.kinds import message_type
from m2vae_ros.sensors.messages import MessageClasses
from m2vae_ros.simulation.fault_schedule import Fault, FaultySensor
from m2vae_ros.simulation.faults import STAMP_JITTER, transmissions
from m2vae_ros.simulation.generator import world_seeds
from m2vae_ros.simulation.native_messages import observe, PERIODS
from m2vae_ros.simulation.robot import Robot, SENSORS
from m2vae_ros.simulation.world import World

CAMERAS = ('raw', 'jpeg')
START_NS = 1_750_000_000 * 10**9
POSE_TOPIC = '/robot/pose'
_POSE_TYPE = 'geometry_msgs/msg/PoseStamped'
_POSE_PERIOD = 1 / 20  # s
_JPEG_QUALITY = 80  # the default of ROS's compressed_image_transport
_LONGEST = 7 * 24 * 3600.0  # s, of a drive


@dataclass(frozen=True)
class DriveOptions:
    """
    What to record.

    Parameters
    ----------
    seconds
        Length of the drive.
    seed
        Seed of world, path and noise; the default is a world that no model is trained on.
    camera
        raw: Image on camera/image_raw. jpeg: CompressedImage on camera/image_raw/compressed.
    stamp_jitter
        How far stamps are behind the time of measurement, standard deviation, seconds.

    """

    seconds: float = 60.0
    seed: int = world_seeds('test', 1)[0]
    camera: str = 'raw'
    stamp_jitter: float = STAMP_JITTER

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= _LONGEST:
            raise ValueError(
                f'--seconds {self.seconds:g}: must be above 0 and at most {_LONGEST:g}, a week'
            )
        if not 0 <= self.seed < 2**63:
            raise ValueError(f'--seed {self.seed}: must be from 0 to 2^63 - 1')
        if self.camera not in CAMERAS:
            raise ValueError(f'--camera {self.camera}: must be one of {", ".join(CAMERAS)}')
        if not 0 <= self.stamp_jitter < math.inf:
            raise ValueError(
                f'--stamp-jitter {self.stamp_jitter:g}: must be a finite time from 0 up, seconds'
            )


class Sent(NamedTuple):
    """A message, its topic, and when the robot sent it, nanoseconds."""

    topic: str
    receive_ns: int
    message: Any


def topics(options: DriveOptions) -> dict[str, str]:
    """Return the topics of a recording -> their message types."""
    types = {}
    for spec in SENSORS:
        topic, kind = f'/{spec.topic}', message_type(spec)
        if spec.kind == 'image' and options.camera == 'jpeg':
            topic, kind = f'{topic}/compressed', 'sensor_msgs/msg/CompressedImage'
        types[topic] = kind
    return {**types, POSE_TOPIC: _POSE_TYPE}


def drive(options: DriveOptions, faults: Sequence[Fault] = ()) -> Iterator[Sent]:
    """Yield the messages of the sensors and of the true pose during a drive, in order of time."""
    robot = Robot(World(options.seed), options.seed)
    senders = _senders(robot, options, faults)
    phases = np.random.default_rng([options.seed, 5]).random(len(senders))
    due = [(phase * senders[i].period, i, 0) for i, phase in enumerate(phases)]
    heapify(due)  # (seconds of the drive, sender, its messages so far)
    driven = 0.0
    while due[0][0] < options.seconds:
        seconds, i, count = due[0]
        topic, period, message_at = senders[i]
        heapreplace(due, ((phases[i] + count + 1) * period, i, count + 1))
        robot.step(seconds - driven)
        driven = seconds
        now_ns = START_NS + round(1e9 * seconds)
        message = message_at(now_ns, seconds)
        if message is not None:
            yield Sent(topic, now_ns, message)


def record(
    path: Path, options: DriveOptions, faults: Sequence[Fault] = (), *,
    storage: str = 'mcap', compression: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> dict[str, int]:
    """
    Record a drive to a bag, atomically.

    Parameters
    ----------
    path
        Folder of the bag; must not exist.
    options, faults
        The drive, and the faults of its sensors.
    storage, compression
        See `BagWriter`.
    progress
        Called repeatedly with the seconds driven so far.

    Returns
    -------
    dict
        Topic -> number of its messages.

    Raises
    ------
    ValueError
        If the bag exists or cannot be written.

    """
    cv2.setNumThreads(1)  # faster for such small images
    counts = dict.fromkeys(topics(options), 0)
    with BagWriter(path, storage=storage, compression=compression) as bag:
        for topic, kind in topics(options).items():
            bag.add_topic(topic, kind)
        for sent in drive(options, faults):
            bag.write(*sent)
            counts[sent.topic] += 1
            if progress and sent.topic == POSE_TOPIC:
                progress((sent.receive_ns - START_NS) * 1e-9)
    return counts


class _Sender(NamedTuple):
    """A topic, its period in seconds, and (now_ns, seconds driven) -> message to send or None."""

    topic: str
    period: float
    message_at: Callable[[int, float], Any]


def _senders(robot: Robot, options: DriveOptions, faults: Sequence[Fault]) -> list[_Sender]:
    classes = rosbags_classes()
    senders = []
    ways = transmissions(options.seed, len(SENSORS), jitter=options.stamp_jitter)
    for topic, spec, way in zip(topics(options), SENSORS, ways, strict=False):
        observed = partial(observe, robot, spec.name, classes=classes)
        message_at = FaultySensor(spec, way, faults, observed, classes).message
        if topic.endswith('/compressed'):
            message_at = partial(_compressed, message_at, classes)
        senders.append(_Sender(topic, PERIODS[spec.name], message_at))
    return [*senders, _Sender(POSE_TOPIC, _POSE_PERIOD, lambda now_ns, _: _pose(robot, now_ns))]


def _compressed(
    message_at: Callable[[int, float], Any], classes: MessageClasses, now_ns: int, seconds: float
) -> Any:
    """Return the camera's message as ROS's image transport compresses it."""
    image = message_at(now_ns, seconds)
    if image is None:
        return None
    pixels = np.asarray(image.data).reshape(image.height, image.width, 3)
    pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return classes.CompressedImage(
        header=image.header, format=f'{image.encoding}; jpeg compressed bgr8',
        data=classes.uint8_sequence(jpeg),
    )


def _pose(robot: Robot, now_ns: int) -> Any:
    """Return the robot's true pose in the map frame, as a message."""
    classes, types = rosbags_classes(), message_types()
    sec, nanosec = divmod(now_ns, 10**9)
    x, y, heading = robot.pose
    return types[_POSE_TYPE](
        header=classes.Header(stamp=classes.Time(sec=sec, nanosec=nanosec), frame_id='map'),
        pose=types['geometry_msgs/msg/Pose'](
            position=types['geometry_msgs/msg/Point'](x=x, y=y, z=0.0),
            orientation=types['geometry_msgs/msg/Quaternion'](
                x=0.0, y=0.0, z=math.sin(heading / 2), w=math.cos(heading / 2)
            ),
        ),
    )

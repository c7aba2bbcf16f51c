# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Bags of ROS 2 (sqlite3, mcap, compressed too) and of ROS 1, read without a ROS installation.

`rosbags` does the reading. Messages come one at a time in the order in which they were received,
so the size of a bag does not matter. Every failure ends in one `BagError` that names the file and
what can be done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from heapq import merge
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from rosbags.interfaces import Connection

from m2vae_ros.bags.storage import (
    BagError,
    check_path,
    explained,
    fingerprint,
    opened,
    Raw,
    ROS_1,
    Storage,
)
from m2vae_ros.bags.topics import listed, Topic, topics_of
from m2vae_ros.bags.types import converting
from m2vae_ros.sensors.kinds import message_type
from m2vae_ros.specs import SensorSpec

COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
_YEAR_NS = 365 * 24 * 3600 * 10**9


class Received(NamedTuple):
    """A message, and when it was received: nanoseconds."""

    topic: str
    receive_ns: int
    message: Any


class Serialized(NamedTuple):
    """A message as ROS 2 serialises it (CDR), and when it was received: nanoseconds."""

    topic: str
    receive_ns: int
    data: bytes


class Bag:
    """
    A bag that is open for reading; a context manager.

    A bag whose files are compressed is unpacked into a temporary folder, which takes their place
    on disk as long as the bag is open; messages that are compressed one by one, or chunks of them,
    cost nothing of the kind.

    Parameters
    ----------
    path
        The folder of a ROS 2 bag, one .mcap or .db3 file, or the .bag file of a ROS 1 bag.

    Raises
    ------
    BagError
        If there is no such bag, it is truncated, of another format, holds no message, or was
        recorded without a clock.

    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        check_path(self.path)
        with ExitStack() as stack:
            files = stack.enter_context(opened(self.path))
            self._typestore, self.readable = files.typestore, files.readable
            self._storages = [storage for storage in files.storages if storage.count]
            self.topics: Mapping[str, Topic] = topics_of(files.storages)
            if not self._storages:
                raise BagError(
                    f'{self.path}: has no messages (topics: {listed(self.topics.values())}): '
                    f'record it again while the sensors publish'
                )
            self._check_clock()
            self._stack = stack.pop_all()

    @property
    def start_ns(self) -> int:
        """When the first message was received, nanoseconds."""
        return min(storage.start_ns for storage in self._storages)

    @property
    def end_ns(self) -> int:
        """When the last message was received, nanoseconds."""
        return max(storage.stop_ns for storage in self._storages) - 1

    @cached_property
    def fingerprint(self) -> str:
        """Key of the content: sizes and a spread of blocks of its files; quick."""
        return fingerprint(self.path)

    def messages(
        self,
        topics: Iterable[str] | None = None,
        *,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[Received]:
        """
        Give messages in the order in which they were received.

        Only the part of the files that holds the time asked for is read, where they are indexed.

        Parameters
        ----------
        topics
            Which; None = all.
        start_ns, stop_ns
            Received from `start_ns` on and before `stop_ns`; None = from the first, to the last.

        Raises
        ------
        BagError
            If the bag has no such topic, is damaged where it is read, or does not say how messages
            of this type are made.

        """
        wanted = self._wanted(topics)
        self._check_types(wanted)
        deserialize = (
            self._typestore.deserialize_ros1 if self._is_ros_1 else self._typestore.deserialize_cdr
        )
        for connection, receive_ns, data in self._raw(wanted, start_ns, stop_ns):
            with explained(self.path, _message_failed(connection, receive_ns)):
                message = deserialize(data, connection.msgtype)
            yield Received(connection.topic, receive_ns, message)

    def serialized(
        self,
        topics: Iterable[str] | None = None,
        *,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[Serialized]:
        """Give messages as `messages` does, in the form that ROS 2 sends them."""
        wanted = self._wanted(topics)
        if self._is_ros_1:
            self._check_types(wanted)
        for connection, receive_ns, data in self._raw(wanted, start_ns, stop_ns):
            if self._is_ros_1:
                with explained(self.path, _message_failed(connection, receive_ns)):
                    data = bytes(self._converter.ros1_to_cdr(data, connection.msgtype))
            yield Serialized(connection.topic, receive_ns, data)

    @cached_property
    def _converter(self) -> Any:
        return converting(self._typestore)

    def close(self) -> None:
        """Close the files, and remove what was unpacked."""
        self._stack.close()

    def __enter__(self) -> Bag:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _is_ros_1(self) -> bool:
        return self.path.suffix == ROS_1 and self.path.is_file()

    def _wanted(self, topics: Iterable[str] | None) -> set[str]:
        wanted = set(self.topics) if topics is None else set(topics)
        absent = sorted(wanted - set(self.topics))
        if absent:
            raise BagError(
                f'{self.path}: no topic {", ".join(absent)}; it has '
                f'{listed(self.topics.values())}'
            )
        return wanted

    def _raw(self, topics: set[str], start_ns: int | None, stop_ns: int | None) -> Raw:
        """Give the messages of all files in one order; they overlap where a bag was split."""
        parts = []
        for storage in self._storages:
            wanted = [found for found in storage.connections if found.topic in topics]
            after = start_ns is not None and storage.stop_ns <= start_ns
            before = stop_ns is not None and stop_ns <= storage.start_ns
            if wanted and not after and not before:
                parts.append(_from_start(storage, wanted, start_ns, stop_ns))
        for found in merge(*parts, key=lambda part: part[1]):
            if found[0] is not None:
                yield found

    def _check_types(self, topics: set[str]) -> None:
        """Check that messages can be told from their bytes."""
        for storage in self._storages:
            for found in storage.connections:
                if found.topic in topics:
                    self._check_type(found)

    def _check_type(self, connection: Connection) -> None:
        try:
            self._typestore.get_msgdef(connection.msgtype)
        except Exception as error:
            raise BagError(
                f'{self.path}: topic {connection.topic}: message type {connection.msgtype} is '
                f'unknown and the bag does not carry its definition: leave the topic out, or '
                f'record to mcap, which carries them'
            ) from error

    def _check_clock(self) -> None:
        """Check that the messages were received at some time."""
        if self.end_ns <= 0 or (self.start_ns <= 0 and self.end_ns > _YEAR_NS):
            some = 'all' if self.end_ns <= 0 else 'some'
            raise BagError(
                f'{self.path}: {some} messages were received at time 0, so the recorder had no '
                f'clock: record it again without --use-sim-time, or with /clock from the beginning'
            )


def open_bag(path: Path | str) -> Bag:
    """Open a recording for reading; use it in a ``with``, see `Bag`."""
    return Bag(path)


def resolve_topics(
    bag: Bag, sensors: Sequence[SensorSpec], chosen: Mapping[str, str] | None = None,
    *, option: str = '--topic ',
) -> dict[str, str]:
    """
    Find the topics on which a bag holds what sensors measured.

    Parameters
    ----------
    bag
        Where.
    sensors
        Their topics are looked for; of an image also ``<topic>/compressed``.
    chosen
        Sensor -> its topic in this bag, where it differs.
    option
        What an error tells the user to write before ``SENSOR=TOPIC``.

    Returns
    -------
    dict
        Sensor -> topic, which exists, is of the right type and has messages.

    Raises
    ------
    BagError
        If there is none; names the bag, the topic, the type wanted and topics that have it.

    """
    given = dict(chosen or {})
    strange = sorted(set(given) - {spec.name for spec in sensors})
    if strange:
        raise BagError(
            f'{option}{strange[0]}={given[strange[0]]}: no such sensor; there are '
            f'{", ".join(spec.name for spec in sensors)}'
        )
    return {spec.name: _topic_of(bag, spec, given.get(spec.name), option) for spec in sensors}


def _topic_of(bag: Bag, spec: SensorSpec, chosen: str | None, option: str) -> str:
    types = [message_type(spec)] + [COMPRESSED_IMAGE] * (spec.kind == 'image')
    name = (chosen or spec.topic).strip('/')
    names = [name] + [f'{name}/compressed'] * (spec.kind == 'image')
    by_name = {topic.name.strip('/'): topic for topic in bag.topics.values()}
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
        f'{" or ".join(types)} there are {listed(candidates)}'
        if candidates else
        f'no topic of this bag has messages of type {" or ".join(types)}: record it, or take '
        f'{spec.name} out of the sensors file, or use a model without it'
    )
    raise BagError(f'{bag.path}: sensor {spec.name}: {problem}; {fix}')


def _from_start(
    storage: Storage, wanted: list[Connection], start_ns: int | None, stop_ns: int | None
) -> Iterator[Any]:
    """Give a file's first time, then its messages: no file is read before its time has come."""
    yield None, storage.start_ns, b''
    messages = storage.read(wanted, start_ns, stop_ns)
    while True:
        with explained(storage.path, 'cannot be read to its end'):
            found = next(messages, None)
        if found is None:
            return
        yield found


def _message_failed(connection: Connection, receive_ns: int) -> str:
    return (
        f'topic {connection.topic}: the message received at {receive_ns * 1e-9:.3f} s is no '
        f'{connection.msgtype}'
    )

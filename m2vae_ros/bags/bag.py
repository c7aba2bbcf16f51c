# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Read bags of ROS 2 (sqlite3, mcap, also compressed) and of ROS 1, without a ROS installation.

`rosbags` does the reading. Messages come one at a time in the order in which they were received,
so a bag may be larger than the memory. Every failure is a `BagError` that names the file and the
fix.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import cached_property
from heapq import merge
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from rosbags.interfaces import Connection

from m2vae_ros.bags.storage import (
    as_bag_error,
    BagError,
    check_path,
    fingerprint,
    open_files,
    RawMessages,
    ROS_1,
    Storage,
)
from m2vae_ros.bags.topics import format_topics, Topic, topics_of
from m2vae_ros.bags.types import ros1_converter

_YEAR_NS = 365 * 24 * 3600 * 10**9


class Received(NamedTuple):
    """A message with its topic and time of receipt, nanoseconds."""

    topic: str
    receive_ns: int
    message: Any


class Serialized(NamedTuple):
    """A message as ROS 2 serialises it (CDR), with its topic and time of receipt, nanoseconds."""

    topic: str
    receive_ns: int
    data: bytes


class Bag:
    """
    A bag that is open for reading; a context manager.

    Compressed files are decompressed into a temporary folder, which needs space on disk as long
    as the bag is open. Compressed messages and chunks are decompressed in memory as they are read.

    Parameters
    ----------
    path
        The folder of a ROS 2 bag, one .mcap or .db3 file, or the .bag file of a ROS 1 bag.

    Attributes
    ----------
    topics
        Name -> topic, sorted by name.
    readable
        A path that other processes can open without decompressing files again; see `BagFiles`.

    Raises
    ------
    BagError
        If there is no such bag, it is truncated, of another format, has no messages, or was
        recorded without a clock.

    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        check_path(self.path)
        with ExitStack() as stack:
            files = stack.enter_context(open_files(self.path))
            self._typestore, self.readable = files.typestore, files.readable
            self._storages = [storage for storage in files.storages if storage.count]
            self.topics: Mapping[str, Topic] = topics_of(files.storages)
            if not self._storages:
                raise BagError(
                    f'{self.path}: has no messages (topics: '
                    f'{format_topics(self.topics.values())}): record it again while the sensors '
                    f'publish'
                )
            self._check_clock()
            self._stack = stack.pop_all()

    @property
    def start_ns(self) -> int:
        """Time of receipt of the first message, nanoseconds."""
        return min(storage.start_ns for storage in self._storages)

    @property
    def end_ns(self) -> int:
        """Time of receipt of the last message, nanoseconds."""
        return max(storage.stop_ns for storage in self._storages) - 1

    @cached_property
    def fingerprint(self) -> str:
        """Key of the content, see `storage.fingerprint`."""
        return fingerprint(self.path)

    def messages(
        self,
        topics: Iterable[str] | None = None,
        *,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[Received]:
        """
        Yield messages in the order in which they were received.

        Of indexed files, only the part of the wanted time is read.

        Parameters
        ----------
        topics
            Topics to read; None = all.
        start_ns, stop_ns
            Only messages received from `start_ns` on and before `stop_ns`, nanoseconds; None =
            from the first, to the last.

        Raises
        ------
        BagError
            If the bag has no such topic, is damaged where it is read, or lacks the definition of
            an unknown message type.

        """
        wanted = self._checked_topics(topics)
        self._check_definitions(wanted)
        deserialize = (
            self._typestore.deserialize_ros1 if self._is_ros_1 else self._typestore.deserialize_cdr
        )
        for connection, receive_ns, data in self._raw_messages(wanted, start_ns, stop_ns):
            with as_bag_error(self.path, _wrong_type(connection, receive_ns)):
                message = deserialize(data, connection.msgtype)
            yield Received(connection.topic, receive_ns, message)

    def serialized(
        self,
        topics: Iterable[str] | None = None,
        *,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[Serialized]:
        """Yield the messages that `messages` yields, as ROS 2 serialises them."""
        wanted = self._checked_topics(topics)
        if self._is_ros_1:
            self._check_definitions(wanted)
        for connection, receive_ns, data in self._raw_messages(wanted, start_ns, stop_ns):
            if self._is_ros_1:
                with as_bag_error(self.path, _wrong_type(connection, receive_ns)):
                    data = bytes(self._converter.ros1_to_cdr(data, connection.msgtype))
            yield Serialized(connection.topic, receive_ns, data)

    @cached_property
    def _converter(self) -> Any:
        return ros1_converter(self._typestore)

    def close(self) -> None:
        """Close the files, and remove those that were decompressed."""
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

    def _checked_topics(self, topics: Iterable[str] | None) -> set[str]:
        wanted = set(self.topics) if topics is None else set(topics)
        absent = sorted(wanted - set(self.topics))
        if absent:
            raise BagError(
                f'{self.path}: no topic {", ".join(absent)}; it has '
                f'{format_topics(self.topics.values())}'
            )
        return wanted

    def _raw_messages(
        self, topics: set[str], start_ns: int | None, stop_ns: int | None
    ) -> RawMessages:
        """Yield the messages of all files in order of receipt; files may overlap in time."""
        parts = []
        for storage in self._storages:
            wanted = [each for each in storage.connections if each.topic in topics]
            is_before = start_ns is not None and storage.stop_ns <= start_ns
            is_after = stop_ns is not None and stop_ns <= storage.start_ns
            if wanted and not is_before and not is_after:
                parts.append(_messages_of(storage, wanted, start_ns, stop_ns))
        for found in merge(*parts, key=lambda message: message[1]):
            if found[0] is not None:
                yield found

    def _check_definitions(self, topics: set[str]) -> None:
        """Check that the message types of topics are defined."""
        for storage in self._storages:
            for connection in storage.connections:
                if connection.topic in topics:
                    self._check_definition(connection)

    def _check_definition(self, connection: Connection) -> None:
        try:
            self._typestore.get_msgdef(connection.msgtype)
        except Exception as error:
            raise BagError(
                f'{self.path}: topic {connection.topic}: message type {connection.msgtype} is '
                f'unknown and the bag does not carry its definition: leave the topic out, or '
                f'record to mcap, which carries them'
            ) from error

    def _check_clock(self) -> None:
        """Check that no message was received at time 0, unless a simulation starts there."""
        if self.end_ns <= 0 or (self.start_ns <= 0 and self.end_ns > _YEAR_NS):
            which = 'all' if self.end_ns <= 0 else 'some'
            raise BagError(
                f'{self.path}: {which} messages were received at time 0, so the recorder had no '
                f'clock: record it again without --use-sim-time, or with /clock from the beginning'
            )


def open_bag(path: Path | str) -> Bag:
    """Open a recording for reading; use it in a ``with`` statement, see `Bag`."""
    return Bag(path)


def _messages_of(
    storage: Storage, wanted: list[Connection], start_ns: int | None, stop_ns: int | None
) -> Iterator[Any]:
    """
    Yield the messages of a file, after an entry without a connection at the time of its first.

    The entry lets `merge` order the file among others without opening its messages yet.
    """
    yield None, storage.start_ns, b''
    messages = storage.read(wanted, start_ns, stop_ns)
    while True:
        with as_bag_error(storage.path, 'cannot be read to its end'):
            found = next(messages, None)
        if found is None:
            return
        yield found


def _wrong_type(connection: Connection, receive_ns: int) -> str:
    return (
        f'topic {connection.topic}: the message received at {receive_ns * 1e-9:.3f} s is not a '
        f'{connection.msgtype}'
    )

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Bags of ROS 2, written whole or not at all, without a ROS installation.

They carry their message definitions and are of the newest format that Humble reads: it takes the
quality of service of a topic as text, which later versions of the format no longer are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, ExitStack, suppress
from functools import cache
from pathlib import Path
import sqlite3
from types import TracebackType
from typing import Any, Literal

from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer, WriterError
from rosbags.typesys import get_typestore, Stores
from rosbags.typesys.store import Typestore

from m2vae_ros.aside import folder_aside
from m2vae_ros.bags.storage import BagError
from m2vae_ros.sensors.messages import MessageClasses, rosbags_message_classes

STORAGES = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
# How zstd is applied: what a storage compresses itself can be read in parts.
COMPRESSIONS = {'mcap': CompressionMode.STORAGE, 'sqlite3': CompressionMode.MESSAGE}
_VERSION: Literal[8] = 8


@cache
def _typestore() -> Typestore:
    return get_typestore(Stores.ROS2_HUMBLE)


def message_types() -> Mapping[str, Any]:
    """Return the classes of all messages that can be written, ``std_msgs/msg/Header``, ..."""
    types: Mapping[str, Any] = _typestore().types
    return types


def rosbags_classes() -> MessageClasses:
    """Return the classes to build messages of sensors with."""
    return rosbags_message_classes(_typestore())


class BagWriter:
    """
    A bag that is written beside its place and put there when it is whole; a context manager.

    What a killed process left of a bag at this path is removed.

    Parameters
    ----------
    path
        Of the folder that the bag will be; its parent exists, itself it does not.
    storage
        ``mcap`` or ``sqlite3``.
    compression
        ``zstd`` or None.

    Raises
    ------
    BagError
        If the path is taken, nothing can be written there, or an option is unknown.

    """

    def __init__(
        self, path: Path | str, *, storage: str = 'mcap', compression: str | None = None
    ) -> None:
        self.path = Path(path)
        if storage not in STORAGES:
            raise BagError(f'storage {storage!r}: must be one of {", ".join(STORAGES)}')
        if compression not in (None, 'zstd'):
            raise BagError(f'compression {compression!r}: must be zstd, or none')
        if self.path.exists():
            raise BagError(f'{self.path}: exists already: name another, or remove it')
        if not self.path.parent.is_dir():
            raise BagError(f'{self.path}: there is no folder {self.path.parent} to write it in')
        self._connections: dict[str, Connection] = {}
        self._stack = ExitStack()
        with self._explained():
            self._folder = self._stack.enter_context(folder_aside(self.path, 'bag'))
        with self._abandoned_on_failure(), self._explained():
            self._writer = Writer(
                self._folder / self.path.name, version=_VERSION, storage_plugin=STORAGES[storage]
            )
            if compression is not None:
                self._writer.set_compression(COMPRESSIONS[storage], CompressionFormat.ZSTD)
            self._writer.open()

    def add_topic(self, name: str, message_type: str) -> None:
        """Announce a topic, ``/scan``, and its type, ``sensor_msgs/msg/LaserScan``."""
        if message_type not in message_types():
            raise BagError(f'{self.path}: topic {name}: message type {message_type} is unknown')
        with self._explained():
            self._connections[name] = self._writer.add_connection(
                name, message_type, typestore=_typestore()
            )

    def write(self, topic: str, receive_ns: int, message: Any) -> None:
        """
        Append a message, received at a time in nanoseconds.

        Raises
        ------
        BagError
            If the topic was not announced, the message is not of its type, or the disk is full.

        """
        kind = self._connection(topic).msgtype
        try:
            data = _typestore().serialize_cdr(message, kind)
        except Exception as error:  # whatever a foreign object makes the serialiser trip over
            raise BagError(
                f'{self.path}: topic {topic}: {type(message).__name__} is no {kind} ({error})'
            ) from error
        self.write_serialized(topic, receive_ns, data)

    def write_serialized(self, topic: str, receive_ns: int, data: bytes | memoryview) -> None:
        """Append a message as ROS 2 serialises it."""
        with self._explained():
            self._writer.write(self._connection(topic), receive_ns, data)

    def close(self) -> None:
        """Finish the bag and put it in its place."""
        with self._abandoned_on_failure(), self._explained():
            self._writer.close()
            (self._folder / self.path.name).rename(self.path)
            self._stack.close()

    def abandon(self) -> None:
        """Leave nothing of the bag."""
        with suppress(Exception):
            self._writer.abort()
        self._stack.close()

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def _connection(self, topic: str) -> Connection:
        if topic not in self._connections:
            raise BagError(
                f'{self.path}: topic {topic} was not announced; '
                f'{", ".join(self._connections) or "none"} were'
            )
        return self._connections[topic]

    @contextmanager
    def _abandoned_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.abandon()
            raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Name the bag in whatever keeps it from being written."""
        try:
            yield
        except (OSError, sqlite3.Error, WriterError) as error:
            reason = getattr(error, 'strerror', None) or str(error)
            raise BagError(f'{self.path}: cannot be written: {reason}') from error

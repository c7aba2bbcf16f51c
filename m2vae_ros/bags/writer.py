# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Write bags of ROS 2, atomically and without a ROS installation.

They carry their message definitions and have the newest format that Humble reads: later versions
no longer store the quality of service of a topic as text, which Humble needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, ExitStack, suppress
from functools import cache
from pathlib import Path
import shutil
import sqlite3
from types import TracebackType
from typing import Any, Literal

from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer, WriterError
from rosbags.typesys import get_typestore, Stores
from rosbags.typesys.store import Typestore

from m2vae_ros.aside import folder_aside, remove_abandoned
from m2vae_ros.bags.storage import BagError
from m2vae_ros.sensors.messages import MessageClasses, rosbags_message_classes

STORAGES = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
# Where zstd is applied; mcap compresses chunks itself, of which a part can be read.
COMPRESSIONS = {'mcap': CompressionMode.STORAGE, 'sqlite3': CompressionMode.MESSAGE}
_FORMAT_VERSION: Literal[8] = 8
_KIND = 'bag'  # of the hidden folder in which one is written


@cache
def _typestore() -> Typestore:
    return get_typestore(Stores.ROS2_HUMBLE)


def message_types() -> Mapping[str, Any]:
    """Return message type, ``std_msgs/msg/Header``, -> class, of all that can be written."""
    types: Mapping[str, Any] = _typestore().types
    return types


def rosbags_classes() -> MessageClasses:
    """Return the classes to build sensor messages with."""
    return rosbags_message_classes(_typestore())


def remove_bag(path: Path) -> None:
    """Remove a bag, and what a killed process left of one at this path, as far as possible."""
    shutil.rmtree(path, ignore_errors=True)
    remove_abandoned(path, _KIND)


class BagWriter:
    """
    A bag that is being written; a context manager.

    It is written to a hidden folder beside its path and renamed when it is closed. On an error it
    is removed.

    What a killed process left of a bag at this path is removed.

    Parameters
    ----------
    path
        Folder of the bag, which must not exist; its parent must.
    storage
        ``mcap`` or ``sqlite3``.
    compression
        ``zstd`` or None.

    Raises
    ------
    BagError
        If the path exists, nothing can be written there, or an option is unknown.

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
            raise BagError(f'{self.path}: exists already: give another path, or remove it')
        if not self.path.parent.is_dir():
            raise BagError(f'{self.path}: there is no folder {self.path.parent} to write it to')
        self._connections: dict[str, Connection] = {}
        self._stack = ExitStack()
        with self._as_bag_error():
            self._folder = self._stack.enter_context(folder_aside(self.path, _KIND))
        with self._abandoned_on_failure(), self._as_bag_error():
            self._writer = Writer(
                self._folder / self.path.name, version=_FORMAT_VERSION,
                storage_plugin=STORAGES[storage],
            )
            if compression is not None:
                self._writer.set_compression(COMPRESSIONS[storage], CompressionFormat.ZSTD)
            self._writer.open()

    def add_topic(self, name: str, message_type: str) -> None:
        """Add a topic, ``/scan``, of a message type, ``sensor_msgs/msg/LaserScan``."""
        if message_type not in message_types():
            raise BagError(f'{self.path}: topic {name}: message type {message_type} is unknown')
        with self._as_bag_error():
            self._connections[name] = self._writer.add_connection(
                name, message_type, typestore=_typestore()
            )

    def write(self, topic: str, receive_ns: int, message: Any) -> None:
        """
        Append a message with its time of receipt, nanoseconds.

        Raises
        ------
        BagError
            If the topic was not added, the message is not of its type, or the disk is full.

        """
        message_type = self._connection(topic).msgtype
        try:
            data = _typestore().serialize_cdr(message, message_type)
        except Exception as error:  # an object of another class may raise anything
            raise BagError(
                f'{self.path}: topic {topic}: {type(message).__name__} is not a {message_type} '
                f'({error})'
            ) from error
        self.write_serialized(topic, receive_ns, data)

    def write_serialized(self, topic: str, receive_ns: int, data: bytes | memoryview) -> None:
        """Append a serialised message (CDR) with its time of receipt, nanoseconds."""
        with self._as_bag_error():
            self._writer.write(self._connection(topic), receive_ns, data)

    def close(self) -> None:
        """Complete the bag and move it to its path."""
        with self._abandoned_on_failure(), self._as_bag_error():
            self._writer.close()
            (self._folder / self.path.name).rename(self.path)
            self._stack.close()

    def abandon(self) -> None:
        """Remove everything that was written."""
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
                f'{self.path}: topic {topic} was not added; '
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
    def _as_bag_error(self) -> Iterator[None]:
        """Turn the errors of writing into a `BagError` that names the bag."""
        try:
            yield
        except (OSError, sqlite3.Error, WriterError) as error:
            reason = getattr(error, 'strerror', None) or str(error)
            raise BagError(f'{self.path}: cannot be written: {reason}') from error

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Bags of ROS 2, written whole or not at all, without a ROS installation.

The messages are those of `message_types`, whose definitions are the same from Humble on.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
import shutil
import tempfile
from types import TracebackType
from typing import Any

from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores
from rosbags.typesys.store import Typestore

from m2vae_ros.learning.bags import BagError
from m2vae_ros.sensors.messages import MessageClasses, rosbags_message_classes

STORAGES = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
COMPRESSIONS = {'zstd': CompressionFormat.ZSTD}
_VERSION = 8  # of the bag format: the newest that Humble to Lyrical all read


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

    Parameters
    ----------
    path
        Of the folder that the bag will be; its parent exists, itself it does not.
    storage
        ``mcap`` or ``sqlite3``.
    compression
        ``zstd`` (each message), or None.

    Raises
    ------
    BagError
        If the path is taken, its parent missing, or an option unknown.

    """

    def __init__(
        self, path: Path | str, *, storage: str = 'mcap', compression: str | None = None
    ) -> None:
        self.path = Path(path)
        if storage not in STORAGES:
            raise BagError(f'storage {storage!r}: must be one of {", ".join(STORAGES)}')
        if compression is not None and compression not in COMPRESSIONS:
            raise BagError(
                f'compression {compression!r}: must be one of {", ".join(COMPRESSIONS)}'
            )
        if self.path.exists():
            raise BagError(f'{self.path}: exists already: name another, or remove it')
        if not self.path.parent.is_dir():
            raise BagError(f'{self.path}: there is no folder {self.path.parent} to write it in')
        self._folder = Path(tempfile.mkdtemp(prefix=f'.{self.path.name}.', dir=self.path.parent))
        self._writer = Writer(
            self._folder / self.path.name, version=_VERSION, storage_plugin=STORAGES[storage]
        )
        if compression is not None:
            self._writer.set_compression(CompressionMode.MESSAGE, COMPRESSIONS[compression])
        self._connections: dict[str, Any] = {}
        try:
            self._writer.open()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def add_topic(self, name: str, message_type: str) -> None:
        """Announce a topic, ``/scan``, and its type, ``sensor_msgs/msg/LaserScan``."""
        if message_type not in message_types():
            raise BagError(f'topic {name}: no message type {message_type!r} is known')
        self._connections[name] = self._writer.add_connection(
            name, message_type, typestore=_typestore()
        )

    def write(self, topic: str, receive_ns: int, message: Any) -> None:
        """Append a message of an announced topic, received at a time in nanoseconds."""
        connection = self._connections[topic]
        self.write_serialized(
            topic, receive_ns, _typestore().serialize_cdr(message, connection.msgtype)
        )

    def write_serialized(self, topic: str, receive_ns: int, data: bytes | memoryview) -> None:
        """Append a message as ROS 2 serialises it."""
        self._writer.write(self._connections[topic], receive_ns, data)

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._writer.close()
            if kind is None:
                (self._folder / self.path.name).rename(self.path)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

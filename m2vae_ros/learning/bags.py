# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Bags of ROS 2 (sqlite3, mcap, compressed too) and of ROS 1, read without a ROS installation.

`rosbags` does the reading. Messages come one at a time in the order in which they were received,
so the size of a bag does not matter. Every failure ends in one `BagError` that names the file and
what can be done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection, QosDurability
from rosbags.rosbag2 import Reader
from rosbags.typesys import get_typestore, Stores

from m2vae_ros.sensors import message_type
from m2vae_ros.specs import SensorSpec

_STORAGES = ('.mcap', '.db3')
_ROS_1 = '.bag'
_BLOCK = 1 << 16  # bytes of a file that are hashed at a time
_BLOCKS = 64  # of each file, evenly spread, that a fingerprint looks at


class BagError(ValueError):
    """A bag, or what is asked of it, is wrong; the text names file, rule, value and fix."""


@dataclass(frozen=True)
class Topic:
    """
    A topic of a bag.

    Parameters
    ----------
    name
        As it was recorded, ``/camera/image_raw``.
    message_type
        ``sensor_msgs/msg/Image``, also in bags of ROS 1.
    count
        How many messages.
    latched
        Whether its publisher kept the last message for late subscribers (transient local).

    """

    name: str
    message_type: str
    count: int
    latched: bool = False


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

    Parameters
    ----------
    path
        The folder of a ROS 2 bag, one .mcap or .db3 file, or the .bag file of a ROS 1 bag.

    Raises
    ------
    BagError
        If there is no such bag, it is truncated, of another format, or holds no message.

    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._check_path()
        with self._explained('cannot be opened'):
            self._reader = AnyReader([self.path], default_typestore=get_typestore(self._store()))
            self._reader.open()
        try:
            with self._explained('cannot be opened'):
                self.topics: Mapping[str, Topic] = {t.name: t for t in self._list_topics()}
                self._span = int(self._reader.start_time), int(self._reader.end_time) - 1
            if not any(topic.count for topic in self.topics.values()):
                raise BagError(f'{self.path}: the bag holds no message: record it again')
        except BaseException:
            self._reader.close()
            raise

    @property
    def start_ns(self) -> int:
        """When the first message was received, nanoseconds."""
        return self._span[0]

    @property
    def end_ns(self) -> int:
        """When the last message was received, nanoseconds."""
        return self._span[1]

    @property
    def fingerprint(self) -> str:
        """Key of the content: names, sizes and a spread of blocks of its files; quick."""
        files = self.files
        digest = blake2b(digest_size=16)
        for file in files:
            size = file.stat().st_size
            digest.update(f'{file.name} {size}\n'.encode())
            with file.open('rb') as stream:
                last = max(0, size - _BLOCK)
                for start in sorted({last * block // (_BLOCKS - 1) for block in range(_BLOCKS)}):
                    stream.seek(start)
                    digest.update(stream.read(_BLOCK))
        return digest.hexdigest()

    @property
    def files(self) -> list[Path]:
        """Files that the bag is made of."""
        if self.path.is_file():
            return [self.path]
        return sorted(file for file in self.path.iterdir() if file.is_file())

    def messages(
        self,
        topics: Collection[str] | None = None,
        *,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[Received]:
        """
        Give messages in the order in which they were received.

        Parameters
        ----------
        topics
            Which; None = all.
        start_ns, stop_ns
            Received from `start_ns` on and before `stop_ns`; None = from the first, to the last.

        Raises
        ------
        BagError
            If the bag has no such topic, or is damaged where it is read.

        """
        for connection, receive_ns, data in self._raw(topics, start_ns, stop_ns):
            with self._explained(f'topic {connection.topic}: a message cannot be read'):
                message = self._reader.deserialize(data, connection.msgtype)
            yield Received(connection.topic, receive_ns, message)

    def serialized(
        self,
        topics: Collection[str] | None = None,
        *,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[Serialized]:
        """Give messages as `messages` does, in the form that ROS 2 sends them."""
        store = self._reader.typestore
        for connection, receive_ns, data in self._raw(topics, start_ns, stop_ns):
            if not self._reader.is2:
                with self._explained(f'topic {connection.topic}: a message cannot be read'):
                    data = bytes(store.ros1_to_cdr(data, connection.msgtype))
            yield Serialized(connection.topic, receive_ns, data)

    def close(self) -> None:
        """Close the files."""
        self._reader.close()

    def __enter__(self) -> Bag:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _raw(
        self, topics: Collection[str] | None, start_ns: int | None, stop_ns: int | None
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Give what the files hold; failures on the way are explained."""
        absent = sorted(set(topics or ()) - set(self.topics))
        if absent:
            raise BagError(f'{self.path}: no topic {", ".join(absent)}; it has {self._known()}')
        wanted = [
            connection for connection in self._reader.connections
            if topics is None or connection.topic in topics
        ]
        if not wanted:
            return
        stored = self._reader.messages(wanted, start=start_ns, stop=stop_ns)
        while True:
            with self._explained('is damaged: not all of its messages can be read'):
                found = next(stored, None)
            if found is None:
                return
            yield found

    def _list_topics(self) -> Iterator[Topic]:
        for name, info in self._reader.topics.items():
            if info.msgtype is None:
                raise BagError(
                    f'{self.path}: topic {name} has messages of several types: filter it '
                    f'(ros2 bag convert), so that one type is left'
                )
            latched = any(_is_latched(connection) for connection in info.connections)
            yield Topic(name, info.msgtype, info.msgcount, latched)

    def _known(self) -> str:
        return ', '.join(self.topics) or 'none'

    def _check_path(self) -> None:
        path = self.path
        if not path.exists():
            raise BagError(f'{path}: no such bag')
        if path.is_file() and path.suffix not in (*_STORAGES, _ROS_1):
            raise BagError(
                f'{path}: no bag; give the folder of a ROS 2 bag, a .mcap or .db3 file, or the '
                f'.bag file of ROS 1'
            )
        if path.is_dir() and not (path / 'metadata.yaml').exists():
            files = sorted(file.name for file in path.iterdir() if file.suffix in _STORAGES)
            raise BagError(
                f'{path}: no metadata.yaml in it: '
                + (f'make it with ros2 bag reindex {path}, or name the file {path / files[0]}'
                   if files else 'it is no folder of a ROS 2 bag')
            )

    def _store(self) -> Stores:
        """Return whose message definitions count where the bag has none of its own."""
        if self.path.suffix == _ROS_1:
            return Stores.ROS1_NOETIC
        distribution = None
        if self.path.is_dir():
            with Reader(self.path) as reader:
                metadata: Any = reader.storage.metadata
                distribution = metadata.ros_distro
        known = {store.value: store for store in Stores}
        return known.get(f'ros2_{distribution}', Stores.ROS2_HUMBLE)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Turn whatever a damaged file makes the reader raise into one clear error."""
        try:
            yield
        except (BagError, GeneratorExit, MemoryError):
            raise
        except PermissionError as error:
            raise BagError(f'{error.filename or self.path}: {error.strerror}') from error
        except Exception as error:
            reason = ' '.join(str(error).split()) or type(error).__name__
            raise BagError(
                f'{self.path}: {what} ({reason}): it is truncated or damaged, as after a power '
                f'cut; mend it (mcap recover, sqlite3 .recover, then ros2 bag reindex; rosbag '
                f'reindex for ROS 1) or record it again'
            ) from error


def resolve_topics(
    bag: Bag, sensors: Sequence[SensorSpec], chosen: Mapping[str, str] | None = None
) -> dict[str, str]:
    """
    Return the topic of the bag that each sensor speaks on.

    Parameters
    ----------
    bag
        Where to look.
    sensors
        Their topics are looked for, with a leading slash; for images ``<topic>/compressed`` too.
    chosen
        Sensor -> topic to take instead.

    Raises
    ------
    BagError
        If there is no such topic, sensor or message, or a topic is of another type.

    """
    chosen = chosen or {}
    strange = sorted(set(chosen) - {spec.name for spec in sensors})
    if strange:
        raise BagError(
            f'topic of sensor {", ".join(strange)}: the sensors are '
            f'{", ".join(spec.name for spec in sensors)}'
        )
    return {spec.name: _resolved(bag, spec, chosen.get(spec.name)) for spec in sensors}


def _resolved(bag: Bag, spec: SensorSpec, chosen: str | None) -> str:
    topic = '/' + (spec.topic if chosen is None else chosen).lstrip('/')
    candidates = [topic]
    types = [message_type(spec)]
    if spec.kind == 'image':
        types.append('sensor_msgs/msg/CompressedImage')
        candidates += [f'{topic}/compressed'] if chosen is None else []
    found = [bag.topics[name] for name in candidates if name in bag.topics]
    fitting = [one.name for one in bag.topics.values() if one.message_type in types]
    advice = (
        f'choose one of {", ".join(fitting)} with --topic {spec.name}=TOPIC' if fitting
        else f'no topic of the bag is of type {" or ".join(types)}: take {spec.name} out of the '
             f'sensors'
    )
    if not found:
        raise BagError(f'{bag.path}: no topic {topic} for sensor {spec.name}; {advice}')
    heard = max(found, key=lambda one: one.count)
    if heard.message_type not in types:
        raise BagError(
            f'{bag.path}: topic {heard.name} is of type {heard.message_type}, sensor {spec.name} '
            f'({spec.kind}) needs {" or ".join(types)}; {advice}'
        )
    if not heard.count:
        raise BagError(
            f'{bag.path}: topic {heard.name} of sensor {spec.name} holds no message; record it '
            f'again, or take {spec.name} out of the sensors'
        )
    return heard.name


def _is_latched(connection: Connection) -> bool:
    extension: Any = connection.ext
    if hasattr(extension, 'latching'):
        return bool(extension.latching)
    return any(
        profile.durability is QosDurability.TRANSIENT_LOCAL
        for profile in extension.offered_qos_profiles
    )

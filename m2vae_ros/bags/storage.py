# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The files of a bag as `rosbags` opens them, and everything that can be wrong with them.

What rosbags would accept silently is an error here: files with fewer messages than the metadata
says, an index that lists fewer messages than were written, a truncated database.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, ExitStack
from dataclasses import dataclass
from errno import ENOSPC
from hashlib import blake2b
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from rosbags.interfaces import Connection
from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag2 import Reader as Reader2
from rosbags.rosbag2.reader import DirectoryReader
from rosbags.rosbag2.storage_mcap import McapReader
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Reader
from rosbags.typesys import Stores
from rosbags.typesys.store import Typestore
import yaml

from m2vae_ros.bags.types import typestore_of

STORAGES = ('.mcap', '.db3')
ROS_1 = '.bag'
METADATA = 'metadata.yaml'
_METADATA_KEY = 'rosbag2_bagfile_information'
_BLOCK_BYTES = 1 << 14
_BLOCKS = 512  # that a fingerprint is made of, of all files together

RawMessages = Iterator[tuple[Connection, int, bytes]]  # connection, time of receipt in ns, data


class BagError(ValueError):
    """A bag or a request to it is wrong; the text names file, rule, value and fix."""


@dataclass(frozen=True)
class Storage:
    """
    One open file of a bag.

    Parameters
    ----------
    path
        The file.
    connections
        Its topics; one topic may have several connections.
    start_ns, stop_ns
        Time of receipt of its first message, and 1 ns after that of its last, nanoseconds.
    read
        Connections, start and stop (ns, None = no limit) -> messages in order of receipt.

    """

    path: Path
    connections: Collection[Connection]
    start_ns: int
    stop_ns: int
    read: Callable[[Collection[Connection], int | None, int | None], RawMessages]

    @property
    def count(self) -> int:
        """Return the number of its messages."""
        return sum(connection.msgcount for connection in self.connections)


@dataclass(frozen=True)
class BagFiles:
    """
    The open files of a bag.

    Parameters
    ----------
    storages
        One for each file.
    typestore
        The bag's message definitions, see `types.typestore_of`.
    readable
        A path that other processes can open without decompressing files again, as long as these
        are open: a folder with the decompressed files if the bag's files are compressed, else the
        bag itself.

    """

    storages: tuple[Storage, ...]
    typestore: Typestore
    readable: Path


@contextmanager
def as_bag_error(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a damaged file makes its reader raise into a `BagError` with the fix."""
    try:
        yield
    except (BagError, GeneratorExit):
        raise
    except PermissionError as error:
        raise BagError(f'{error.filename or path}: {error.strerror}: make it readable') from error
    except OSError as error:
        if error.errno == ENOSPC:
            raise BagError(
                f'{path}: no space left in {gettempdir()} to decompress the files of this bag: '
                f'set TMPDIR to a larger folder'
            ) from error
        raise BagError(f'{error.filename or path}: {what} ({error.strerror or error})') from error
    except Exception as error:  # a truncated file may make the reader raise anything
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise BagError(
            f'{path}: {what} ({reason.rstrip(".")}): truncated or damaged, as after a power cut; '
            f'repair it ({_repair_command(path)}) or record it again'
        ) from error


def check_path(path: Path) -> None:
    """Check that a path may be a bag; the error says what it is instead, and what to give."""
    with as_bag_error(path, 'cannot be opened'):
        if not path.exists():
            raise BagError(f'{path}: no such bag')
        if path.is_file() and path.suffix not in (*STORAGES, ROS_1):
            raise BagError(
                f'{path}: not a bag; give the folder of a ROS 2 bag, a .mcap or .db3 file, or the '
                f'.bag file of a ROS 1 bag'
            )
        if path.is_dir() and not (path / METADATA).exists():
            files = sorted(file.name for file in _storage_files(path) if file.suffix in STORAGES)
            raise BagError(
                f'{path}: no {METADATA} in it: '
                + (f'make it with ros2 bag reindex {path}, or give the file {path / files[0]}'
                   if files else 'not the folder of a ROS 2 bag')
            )


@contextmanager
def open_files(path: Path) -> Iterator[BagFiles]:
    """Open the files of a bag; they are closed when the context ends."""
    with ExitStack() as stack:
        with as_bag_error(path, 'cannot be opened'):
            _check_readable(path)
            if path.suffix == ROS_1 and path.is_file():
                reader1 = stack.enter_context(Reader1(path))
                files = (_storage_of_ros_1(reader1),)
                bag_files = BagFiles(files, _typestore_for(files, Stores.ROS1_NOETIC), path)
            else:
                bag_files = _open_ros_2(path, stack.enter_context(_open_reader(path)))
        yield bag_files


def fingerprint(path: Path) -> str:
    """Return a key of a bag's content: a hash of its files' sizes and of evenly spaced blocks."""
    digest = blake2b(digest_size=16)
    with as_bag_error(path, 'cannot be read'):
        files = [path]
        if path.is_dir():
            digest.update((path / METADATA).read_bytes())
            files = _files_of(path, _read_metadata(path))
        blocks = max(2, _BLOCKS // len(files))
        for file in files:
            size = file.stat().st_size
            digest.update(f'{size}\n'.encode())
            last = max(0, size - _BLOCK_BYTES)
            with file.open('rb') as stream:
                for start in sorted({last * block // (blocks - 1) for block in range(blocks)}):
                    stream.seek(start)
                    digest.update(stream.read(_BLOCK_BYTES))
    return digest.hexdigest()


def _storage_files(folder: Path) -> list[Path]:
    """Return the storage files of a folder, compressed ones too, but not the folders of caches."""
    return sorted(
        file for file in folder.iterdir() if {*STORAGES} & {*file.suffixes} and not file.is_dir()
    )


def _check_readable(path: Path) -> None:
    files = [path]
    if path.is_dir():
        (path / METADATA).open('rb').close()
        files = _storage_files(path)
    for file in files:
        file.open('rb').close()


@contextmanager
def _open_reader(path: Path) -> Iterator[Reader2]:
    """Open a bag of ROS 2; if a folder cannot be opened, blame the file that cannot."""
    reader = Reader2(path)
    try:
        reader.open()
    except Exception:
        for file in _storage_files(path) if path.is_dir() else ():
            if file.suffix in STORAGES:
                with as_bag_error(file, 'cannot be opened'), Reader2(file):
                    pass
        raise
    with closing(reader):
        yield reader


def _open_ros_2(path: Path, reader: Reader2) -> BagFiles:
    stored: list[Any] = [reader.storage]
    paths = [path]
    compressed = None
    expected = 0
    readable = path
    if isinstance(reader.storage, DirectoryReader):
        stored = list(reader.storage.storages)
        paths = _files_of(path, _read_metadata(path))
        compressed, expected = reader.compression_mode, reader.message_count
        if compressed == 'file':
            readable = _as_uncompressed_bag(path, stored)
    files = tuple(
        _storage_of_ros_2(file, storage, compressed == 'message')
        for file, storage in zip(paths, stored, strict=True)
    )
    count = sum(file.count for file in files)
    if count < expected:
        raise BagError(
            f'{path}: {METADATA} counts {expected} messages, its files hold {count}: files are '
            f'truncated or swapped: copy or record it again, or, if this is all there is, '
            f'ros2 bag reindex {path}'
        )
    distribution = {store.value: store for store in Stores}.get(f'ros2_{reader.ros_distro}')
    return BagFiles(files, _typestore_for(files, distribution or Stores.ROS2_HUMBLE), readable)


def _storage_of_ros_1(reader: Reader1) -> Storage:
    return Storage(
        reader.path, tuple(reader.connections), reader.start_time, reader.end_time, reader.messages
    )


def _storage_of_ros_2(path: Path, stored: Any, compressed: bool) -> Storage:
    if isinstance(stored, McapReader) and stored.chunks and stored.statistics is not None:
        indexed = sum(sum(chunk.channel_count.values()) for chunk in stored.chunks)
        if indexed < stored.statistics.message_count:
            raise BagError(
                f'{path}: its index lists {indexed} of {stored.statistics.message_count} '
                f'messages: repair it ({_repair_command(path)})'
            )

    if isinstance(stored, Sqlite3Reader):
        _check_pages(path, stored.path)

    def read(wanted: Collection[Connection], start: int | None, stop: int | None) -> RawMessages:
        messages: RawMessages = stored.messages(wanted, start, stop)
        if not compressed:
            return messages
        return (
            (connection, receive_ns, _decompressed(data))
            for connection, receive_ns, data in messages
        )

    return Storage(
        path, tuple(stored.connections), stored.metadata.start_time, stored.metadata.end_time, read
    )


def _check_pages(path: Path, file: Path) -> None:
    """Check that a database is as long as its header says; SQLite does not."""
    with file.open('rb') as stream:
        header = stream.read(100)
    page_size = int.from_bytes(header[16:18], 'big')
    expected = int.from_bytes(header[28:32], 'big') * (65536 if page_size == 1 else page_size)
    is_current = header[24:28] == header[92:96]  # of the number of pages
    size = file.stat().st_size
    if is_current and size < expected:
        raise BagError(
            f'{path}: truncated: it has {size} of {expected} bytes; repair it '
            f'({_repair_command(path)}) or record it again'
        )


def _decompressed(data: bytes) -> bytes:
    from rosbags.rosbag2 import reader  # has whichever zstd module this version of rosbags uses

    message: bytes = reader.zstd.decompress(data)
    return message


def _as_uncompressed_bag(path: Path, stored: Collection[Any]) -> Path:
    """Write metadata to the folder of the decompressed files and return it, as a bag."""
    files: list[Path] = [storage.path for storage in stored]
    metadata = _read_metadata(path)
    metadata.update(
        relative_file_paths=[file.name for file in files], compression_mode='',
        compression_format='', files=[],
    )
    folder = files[0].parent
    (folder / METADATA).write_text(yaml.safe_dump({_METADATA_KEY: metadata}))
    return folder


def _read_metadata(path: Path) -> dict[str, Any]:
    metadata: dict[str, Any] = yaml.safe_load((path / METADATA).read_text())[_METADATA_KEY]
    return metadata


def _files_of(path: Path, metadata: dict[str, Any]) -> list[Path]:
    return [path / Path(name).name for name in metadata['relative_file_paths']]


def _typestore_for(files: Collection[Storage], default: Stores) -> Typestore:
    return typestore_of([each for file in files for each in file.connections], default)


def _repair_command(path: Path) -> str:
    """Return the command that repairs a damaged file."""
    if path.suffix == ROS_1:
        return f'rosbag reindex {path.name}'
    if path.suffix == '.mcap':
        return f'mcap recover {path.name}'
    if path.suffix == '.db3':
        return f'sqlite3 {path.name} .recover, then ros2 bag reindex'
    return 'mcap recover or sqlite3 .recover on its files, then ros2 bag reindex'

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The files of a bag as `rosbags` opens them, and everything that can be wrong with them.

What rosbags would do silently is an error here: files that hold less than the metadata says, an
index that leads to fewer messages than were written, topics whose quality of service differs
between metadata and storage.
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
_FACTS = 'rosbag2_bagfile_information'
_BLOCK = 1 << 14  # bytes
_BLOCKS = 512  # that a fingerprint looks at, of all files together

Raw = Iterator[tuple[Connection, int, bytes]]


class BagError(ValueError):
    """A bag, or what is asked of it, is wrong; the text names file, rule, value and fix."""


@dataclass(frozen=True)
class Storage:
    """
    One file of a bag, open.

    Parameters
    ----------
    path
        The file.
    connections
        Its topics; one topic may have several.
    start_ns, stop_ns
        Between these its messages were received, nanoseconds; the last one just before `stop_ns`.
    read
        Connections, start and stop (None = no limit) -> messages in order of receipt.

    """

    path: Path
    connections: Collection[Connection]
    start_ns: int
    stop_ns: int
    read: Callable[[Collection[Connection], int | None, int | None], Raw]

    @property
    def count(self) -> int:
        """How many messages it holds."""
        return sum(connection.msgcount for connection in self.connections)


@dataclass(frozen=True)
class Opened:
    """
    A bag's files.

    Parameters
    ----------
    storages
        Those that hold messages.
    typestore
        Knows the bag's own message definitions, else those of the distribution it is of.
    readable
        What another process can open at once while this is open: where the files of the bag are
        compressed, a folder with what they were unpacked to; else the bag itself.

    """

    storages: tuple[Storage, ...]
    typestore: Typestore
    readable: Path


@contextmanager
def explained(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a damaged file makes its reader raise into one clear error."""
    try:
        yield
    except (BagError, GeneratorExit):
        raise
    except PermissionError as error:
        raise BagError(f'{error.filename or path}: {error.strerror}: make it readable') from error
    except OSError as error:
        if error.errno == ENOSPC:
            raise BagError(
                f'{path}: no space left in {gettempdir()} to unpack the compressed files of this '
                f'bag: let TMPDIR name a larger folder'
            ) from error
        raise BagError(f'{error.filename or path}: {what} ({error.strerror or error})') from error
    except Exception as error:  # a truncated file may make the reader trip over anything
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise BagError(
            f'{path}: {what} ({reason.rstrip(".")}): truncated or damaged, as after a power cut; '
            f'mend it ({_cure(path)}) or record it again'
        ) from error


def check_path(path: Path) -> None:
    """Check that a path may be a bag; say what else it is, and what would be right."""
    with explained(path, 'cannot be opened'):
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
                + (f'make it with ros2 bag reindex {path}, or name the file {path / files[0]}'
                   if files else 'not the folder of a ROS 2 bag')
            )


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """Open a bag's files as long as the context lasts."""
    with ExitStack() as stack:
        with explained(path, 'cannot be opened'):
            _check_readable(path)
            if path.suffix == ROS_1 and path.is_file():
                reader1 = stack.enter_context(Reader1(path))
                files = (_storage_of_ros_1(reader1),)
                found = Opened(files, _types(files, Stores.ROS1_NOETIC), path)
            else:
                found = _open_ros_2(path, stack.enter_context(_entered(path)))
        yield found


def fingerprint(path: Path) -> str:
    """Return a key of a bag's content: sizes and a spread of blocks of its files; quick."""
    digest = blake2b(digest_size=16)
    with explained(path, 'cannot be read'):
        files = [path]
        if path.is_dir():
            digest.update((path / METADATA).read_bytes())
            files = _files_of(path, _facts(path))
        spread = max(2, _BLOCKS // len(files))
        for file in files:
            size = file.stat().st_size
            digest.update(f'{size}\n'.encode())
            last = max(0, size - _BLOCK)
            with file.open('rb') as stream:
                for start in sorted({last * block // (spread - 1) for block in range(spread)}):
                    stream.seek(start)
                    digest.update(stream.read(_BLOCK))
    return digest.hexdigest()


def _storage_files(folder: Path) -> list[Path]:
    """Return the storage files of a folder, compressed ones too; a file's cache is none."""
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
def _entered(path: Path) -> Iterator[Reader2]:
    """Open a bag of ROS 2; of a folder that cannot be, name the file that is to blame."""
    reader = Reader2(path)
    try:
        reader.open()
    except Exception:
        for file in _storage_files(path) if path.is_dir() else ():
            if file.suffix in STORAGES:
                with explained(file, 'cannot be opened'), Reader2(file):
                    pass
        raise
    with closing(reader):
        yield reader


def _open_ros_2(path: Path, reader: Reader2) -> Opened:
    stored: list[Any] = [reader.storage]
    paths = [path]
    compressed = None
    expected = 0
    readable = path
    if isinstance(reader.storage, DirectoryReader):
        stored = list(reader.storage.storages)
        paths = _files_of(path, _facts(path))
        compressed, expected = reader.compression_mode, reader.message_count
        if compressed == 'file':
            readable = _as_plain_bag(path, stored)
    files = tuple(
        _storage_of_ros_2(name, one, compressed == 'message')
        for name, one in zip(paths, stored, strict=True)
    )
    count = sum(file.count for file in files)
    if count < expected:
        raise BagError(
            f'{path}: {METADATA} tells of {expected} messages, its files hold {count}: files are '
            f'truncated or exchanged: copy or record it again, or, if this is all there is, '
            f'ros2 bag reindex {path}'
        )
    distribution = {store.value: store for store in Stores}.get(f'ros2_{reader.ros_distro}')
    return Opened(files, _types(files, distribution or Stores.ROS2_HUMBLE), readable)


def _storage_of_ros_1(reader: Reader1) -> Storage:
    return Storage(
        reader.path, tuple(reader.connections), reader.start_time, reader.end_time, reader.messages
    )


def _storage_of_ros_2(path: Path, stored: Any, compressed: bool) -> Storage:
    if isinstance(stored, McapReader) and stored.chunks and stored.statistics is not None:
        indexed = sum(sum(chunk.channel_count.values()) for chunk in stored.chunks)
        if indexed < stored.statistics.message_count:
            raise BagError(
                f'{path}: its index leads to {indexed} of {stored.statistics.message_count} '
                f'messages: mend it ({_cure(path)})'
            )

    if isinstance(stored, Sqlite3Reader):
        _check_pages(path, stored.path)

    def read(wanted: Collection[Connection], start: int | None, stop: int | None) -> Raw:
        messages: Raw = stored.messages(wanted, start, stop)
        if not compressed:
            return messages
        return ((found, when, _unpacked(data)) for found, when, data in messages)

    return Storage(
        path, tuple(stored.connections), stored.metadata.start_time, stored.metadata.end_time, read
    )


def _check_pages(path: Path, file: Path) -> None:
    """Check that a database has the pages that its header tells of (SQLite reads on without)."""
    with file.open('rb') as stream:
        header = stream.read(100)
    page = int.from_bytes(header[16:18], 'big')
    told = int.from_bytes(header[28:32], 'big') * (65536 if page == 1 else page)
    is_current = header[24:28] == header[92:96]
    size = file.stat().st_size
    if is_current and size < told:
        raise BagError(
            f'{path}: truncated: it has {size} of {told} bytes; mend it ({_cure(path)}) or record '
            f'it again'
        )


def _unpacked(data: bytes) -> bytes:
    from rosbags.rosbag2 import reader  # whichever zstd module this version of rosbags brought

    message: bytes = reader.zstd.decompress(data)
    return message


def _as_plain_bag(path: Path, stored: Collection[Any]) -> Path:
    """Make a bag of the files that were unpacked for reading; return its folder."""
    files: list[Path] = [one.path for one in stored]
    facts = _facts(path)
    facts.update(
        relative_file_paths=[file.name for file in files], compression_mode='',
        compression_format='', files=[],
    )
    folder = files[0].parent
    (folder / METADATA).write_text(yaml.safe_dump({_FACTS: facts}))
    return folder


def _facts(path: Path) -> dict[str, Any]:
    facts: dict[str, Any] = yaml.safe_load((path / METADATA).read_text())[_FACTS]
    return facts


def _files_of(path: Path, facts: dict[str, Any]) -> list[Path]:
    return [path / Path(name).name for name in facts['relative_file_paths']]


def _types(files: Collection[Storage], default: Stores) -> Typestore:
    return typestore_of([found for file in files for found in file.connections], default)


def _cure(path: Path) -> str:
    """Return the command that mends a damaged file."""
    if path.suffix == ROS_1:
        return f'rosbag reindex {path.name}'
    if path.suffix == '.mcap':
        return f'mcap recover {path.name}'
    if path.suffix == '.db3':
        return f'sqlite3 {path.name} .recover, then ros2 bag reindex'
    return 'mcap recover or sqlite3 .recover on its files, then ros2 bag reindex'

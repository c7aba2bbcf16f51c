# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
What a bag says to the sensors of a model, decoded once and kept beside it.

A cache is a folder named by a key of the bag's content, the sensors, their topics and the
synchroniser's options. It holds every measurement of each sensor, one behind the other in raw
files, and the table of the sets that the synchroniser made of them. It is written under another
name and renamed when it is whole, so nothing half-written is ever read; what a killed process left
behind is removed by the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
import errno
import fcntl
from hashlib import blake2b
import json
from pathlib import Path
import shutil
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.fusion.options import SynchronizerOptions
from m2vae_ros.learning.bags import Bag, BagError, resolve_topics
from m2vae_ros.learning.decoding import (
    bytes_per_message,
    decode_bag,
    stored_type,
    Tally,
    TIMES,
)
from m2vae_ros.learning.fused_table import check_overlap, fuse, FusedTable
from m2vae_ros.specs import SensorSpec

CLOCKS = ('receive', 'header')
_FORMAT = 1
_SUFFIX = '.m2vae_cache'
_LOCK = 'lock'
_DESCRIPTION = 'description.json'
_SETS = 'sets.npy'


@dataclass(frozen=True)
class CacheOptions:
    """
    How a bag is read.

    Parameters
    ----------
    cache
        Folder for the decoded measurements; none = beside each bag, ``<bag>.m2vae_cache``.
    processes
        Processes that decode.
    clock
        What the synchroniser takes for the time: receive (when a message was recorded, as a live
        node would see it) or header (its own stamp, for bags whose stamps are of another time).
    allow_geometry_changes
        Take a scan whose limits or beams change midway.

    """

    cache: str = ''
    processes: int = 2
    clock: str = 'receive'
    allow_geometry_changes: bool = False

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise ValueError(f'processes {self.processes}: must be 1 or more')
        if self.clock not in CLOCKS:
            raise ValueError(f'clock {self.clock!r}: must be one of {", ".join(CLOCKS)}')


@dataclass(frozen=True, eq=False)
class CachedBag:
    """
    A bag that has been decoded.

    Parameters
    ----------
    bag
        Path of the bag.
    folder
        Where its measurements are.
    sensors
        The model's.
    sets
        Stamp and members of every set.
    description
        Counts: ``decoded`` and ``invalid`` per sensor, ``topics``.

    """

    bag: Path
    folder: Path
    sensors: tuple[SensorSpec, ...]
    sets: FusedTable
    description: Mapping[str, Any]

    def take(self, sensor: SensorSpec, part: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """
        Return a part of some measurements of a sensor, stacked.

        The file is mapped for as long as this takes, so that what was read of it does not count
        as memory of this process.
        """
        dtype, shape = stored_type(sensor, part)
        count = self.description['decoded'][sensor.name]
        mapped = np.memmap(
            self.folder / f'{sensor.name}.{part}', dtype, mode='r', shape=(count, *shape)
        )
        taken: NDArray[Any] = np.asarray(mapped[rows])
        return taken


def open_cache(
    path: Path | str,
    sensors: Sequence[SensorSpec],
    options: CacheOptions | None = None,
    *,
    topics: Mapping[str, str] | None = None,
    synchronizer: Mapping[str, float] | None = None,
) -> CachedBag:
    """
    Decode a bag, unless that has been done.

    Parameters
    ----------
    path
        Of the bag.
    sensors
        The model's sensors.
    options
        How to read it.
    topics
        Sensor -> its topic in this bag, where it is not the sensor's own.
    synchronizer
        Options of `Synchronizer`.

    Raises
    ------
    BagError
        If the bag, a topic, or what is on it is wrong; names the file, the topic and the fix.
    ValueError
        If the cache cannot be written.

    """
    options = options or CacheOptions()
    sensors = tuple(sensors)
    chosen = asdict(SynchronizerOptions.of(dict(synchronizer or {})))
    with Bag(path) as bag:
        found = resolve_topics(bag, sensors, topics)
        key = _key(bag, sensors, found, options, chosen)
        place = Path(options.cache) if options.cache else bag.path.with_name(
            bag.path.name + _SUFFIX
        )
        with _writable(place):
            place.mkdir(parents=True, exist_ok=True)
            _clean(place)
        if not (place / key / _DESCRIPTION).exists():
            _fill(place, key, bag, sensors, found, options, chosen)
    return _read(bag.path, place / key, sensors)


def _fill(
    place: Path, key: str, bag: Bag, sensors: tuple[SensorSpec, ...], topics: Mapping[str, str],
    options: CacheOptions, synchronizer: Mapping[str, float],
) -> None:
    """Decode into a folder of another name and rename it."""
    needed = sum(
        bytes_per_message(spec) * bag.topics[topics[spec.name]].count for spec in sensors
    )
    free = shutil.disk_usage(place).free
    if needed > free:
        raise ValueError(
            f'{place}: the decoded {bag.path} takes {needed / 1e6:.0f} MB, only {free / 1e6:.0f} '
            f'MB are free: free some, or name another folder with --cache'
        )
    folder = Path(tempfile.mkdtemp(prefix=f'.{key}.', dir=place))
    try:
        with (folder / _LOCK).open('w') as lock, _writable(place):
            fcntl.flock(lock, fcntl.LOCK_EX)
            tallies = decode_bag(bag, sensors, topics, folder, processes=options.processes)
            for spec in sensors:
                _check(bag, topics[spec.name], tallies[spec.name], options)
            times = {
                spec.name: np.fromfile(folder / f'{spec.name}.{TIMES}', np.int64).reshape(-1, 2)
                for spec in sensors
            }
            table = fuse(times, synchronizer, clock=options.clock)
            check_overlap(bag.path, topics, times, table)
            np.save(folder / _SETS, table.to_array())
            description = {
                'topics': dict(topics),
                'decoded': {name: tally.decoded for name, tally in tallies.items()},
                'invalid': {name: dict(tally.invalid) for name, tally in tallies.items()},
            }
            (folder / _DESCRIPTION).write_text(json.dumps(description, indent=2) + '\n')
            (folder / _LOCK).unlink()
            _put(folder, place / key)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put(folder: Path, target: Path) -> None:
    """Rename a finished cache; another process may have been faster, with the same content."""
    try:
        folder.chmod(0o755)
        folder.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _read(bag: Path, folder: Path, sensors: tuple[SensorSpec, ...]) -> CachedBag:
    description = json.loads((folder / _DESCRIPTION).read_text())
    table = FusedTable.from_array([spec.name for spec in sensors], np.load(folder / _SETS))
    return CachedBag(bag, folder, sensors, table, description)


def _check(bag: Bag, topic: str, tally: Tally, options: CacheOptions) -> None:
    """Refuse a topic of which nothing can be used, or whose scanner changes."""
    if not tally.decoded:
        raise BagError(
            f'{bag.path}: topic {topic}: not one of {sum(tally.invalid.values())} messages can be '
            f'used; the first: {tally.example}'
        )
    if len(tally.geometries) > 1 and not options.allow_geometry_changes:
        (_, before), (when, after) = tally.geometries[:2]
        raise BagError(
            f'{bag.path}: topic {topic}: the scan changes {(when - bag.start_ns) * 1e-9:.1f} s '
            f'after the start from {_geometry(before)} to {_geometry(after)}: cut the bag there '
            f'(ros2 bag convert), or take it as it is with --allow-geometry-changes'
        )


def _geometry(limits: tuple[float, float, int]) -> str:
    return f'{limits[2]} beams from {limits[0]:.3f} to {limits[1]:.3f} rad'


def _key(
    bag: Bag, sensors: Sequence[SensorSpec], topics: Mapping[str, str], options: CacheOptions,
    synchronizer: Mapping[str, float],
) -> str:
    settings = {
        'format': _FORMAT,
        'bag': bag.fingerprint,
        'sensors': [spec.to_dict() for spec in sensors],
        'topics': dict(topics),
        'clock': options.clock,
        'allow_geometry_changes': options.allow_geometry_changes,
        'synchronizer': dict(synchronizer),
    }
    return blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=12).hexdigest()


@contextmanager
def _writable(place: Path) -> Iterator[None]:
    """Say what to do where the disk is full or may not be written."""
    try:
        yield
    except OSError as error:
        where = error.filename or place
        raise ValueError(
            f'{where}: {error.strerror}: the decoded measurements cannot be written; free the '
            f'disk, or name another folder with --cache'
        ) from error


def _clean(place: Path) -> None:
    """Remove what processes left behind that were killed while they decoded."""
    for folder in place.glob('.*'):
        try:
            with (folder / _LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except (FileNotFoundError, NotADirectoryError, BlockingIOError):
            continue

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
What a bag says to the sensors of a model, decoded once and kept beside it.

A cache is a folder named by a key of the bag's content, the sensors, their topics and the
synchroniser's options. It holds every measurement of each sensor, one behind the other in raw
files, and the table of the sets that the synchroniser made of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2vae_ros import __version__
from m2vae_ros.bags.bag import Bag, resolve_topics
from m2vae_ros.bags.storage import BagError
from m2vae_ros.fusion.options import SynchronizerOptions
from m2vae_ros.fusion.statistics import BAD_STAMPS
from m2vae_ros.samples.cache_folder import check_free, turn, whole_or_not_at_all, writable
from m2vae_ros.samples.decoding import (
    bytes_per_message,
    decode_bag,
    parts_of,
    stored_type,
    Tally,
    TIMES,
    Times,
)
from m2vae_ros.samples.fused_table import check_overlap, fuse, FusedTable
from m2vae_ros.specs import SensorSpec

CLOCKS = ('receive', 'header')
_FORMAT = 1
_SUFFIX = '.m2vae_cache'
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
        Counts of messages: ``decoded`` per sensor, ``invalid`` per sensor and rule, ``dropped`` by
        the synchroniser per sensor and reason; the ``topics``.

    """

    bag: Path
    folder: Path
    sensors: tuple[SensorSpec, ...]
    sets: FusedTable
    description: Mapping[str, Any]

    def report(self) -> list[str]:
        """Return lines that say what is in it, and which messages were of no use."""
        subsets = ', '.join(f'{n} of {names}' for names, n in self.sets.subsets().items())
        lines = [f'{self.bag}: {len(self.sets)} fused sets: {subsets}']
        for name, topic in self.description['topics'].items():
            invalid = self.description['invalid'][name]
            dropped = self.description['dropped'][name]
            refused = {**invalid, **{why: dropped[why] for why in BAD_STAMPS if dropped.get(why)}}
            if refused:
                whole = self.description['decoded'][name] + sum(invalid.values())
                why = ', '.join(f'{rule} {count}' for rule, count in refused.items())
                lines.append(
                    f'{self.bag}: topic {topic}: {sum(refused.values())} of {whole} messages are '
                    f'of no use ({why}){self.description["examples"].get(name, "")}'
                )
        return lines

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
    chosen = asdict(SynchronizerOptions.from_dict(dict(synchronizer or {})))
    with Bag(path) as bag:
        found = resolve_topics(bag, sensors, topics)
        key = _key(bag, sensors, found, options, chosen)
        place = Path(options.cache) if options.cache else bag.path.with_name(
            bag.path.name + _SUFFIX
        )
        if not _is_whole(place / key, sensors):
            with writable(place, bag.path), turn(place, key):
                if not _is_whole(place / key, sensors):
                    _fill(place, key, bag, sensors, found, options, chosen)
    description = json.loads((place / key / _DESCRIPTION).read_text())
    table = FusedTable.from_array([spec.name for spec in sensors], np.load(place / key / _SETS))
    return CachedBag(bag.path, place / key, sensors, table, description)


def _fill(
    place: Path, key: str, bag: Bag, sensors: tuple[SensorSpec, ...], topics: Mapping[str, str],
    options: CacheOptions, synchronizer: Mapping[str, float],
) -> None:
    """Decode into a folder of another name and rename it."""
    check_free(place, bag.path, sum(
        bytes_per_message(spec) * bag.topics[topics[spec.name]].count for spec in sensors
    ))
    with whole_or_not_at_all(place, key) as folder:
        def check(spec: SensorSpec, tally: Tally) -> None:
            _check_geometry(bag, topics[spec.name], tally, options)

        tallies = decode_bag(
            bag, sensors, topics, folder, processes=options.processes, check=check
        )
        for spec in sensors:
            _check_any(bag, topics[spec.name], tallies[spec.name])
        times = {
            spec.name: np.fromfile(folder / f'{spec.name}.{TIMES}', np.int64).reshape(
                -1, len(Times._fields)
            )
            for spec in sensors
        }
        table, statistics = fuse(times, synchronizer, clock=options.clock)
        check_overlap(bag.path, topics, times, table, statistics)
        np.save(folder / _SETS, table.to_array())
        description = {
            'topics': dict(topics),
            'decoded': {name: tally.decoded for name, tally in tallies.items()},
            'invalid': {name: dict(tally.invalid) for name, tally in tallies.items()},
            'examples': {
                name: f'; the first: {tally.example}'
                for name, tally in tallies.items() if tally.example
            },
            'dropped': {
                name: {reason: count for reason, count in counts.items() if count}
                for name, counts in statistics.dropped.items()
            },
        }
        (folder / _DESCRIPTION).write_text(json.dumps(description, indent=2) + '\n')


def _is_whole(folder: Path, sensors: Sequence[SensorSpec]) -> bool:
    """Return whether a finished cache is there, and no file of it has been cut since."""
    try:
        decoded = json.loads((folder / _DESCRIPTION).read_text())['decoded']
        return (folder / _SETS).exists() and all(
            (folder / f'{spec.name}.{part}').stat().st_size
            == decoded[spec.name] * bytes_per_message(spec, part)
            for spec in sensors for part in parts_of(spec)
        )
    except (OSError, ValueError, KeyError):
        return False


def _check_any(bag: Bag, topic: str, tally: Tally) -> None:
    """Refuse a topic of which nothing can be used."""
    if not tally.decoded:
        raise BagError(
            f'{bag.path}: topic {topic}: not one of {sum(tally.invalid.values())} messages can be '
            f'used; the first: {tally.example}'
        )


def _check_geometry(bag: Bag, topic: str, tally: Tally, options: CacheOptions) -> None:
    """Refuse a topic whose scanner changes."""
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
        'version': __version__,
        'bag': bag.fingerprint,
        'sensors': [spec.to_dict() for spec in sensors],
        'topics': dict(topics),
        'clock': options.clock,
        'allow_geometry_changes': options.allow_geometry_changes,
        'synchronizer': dict(synchronizer),
    }
    return blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=12).hexdigest()

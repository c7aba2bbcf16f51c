# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The cache of a bag: its messages, decoded once for the sensors of a model and fused into sets.

A cache is a folder named by a key of the bag's content, the sensors, their topics and the
synchroniser's options. It holds every measurement of each sensor, one after the other in raw
files, and the table of the sets that the synchroniser made of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
import json
from pathlib import Path
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2vae_ros import __version__
from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.resolution import resolve_topics
from m2vae_ros.bags.storage import BagError
from m2vae_ros.fusion.options import SynchronizerOptions
from m2vae_ros.fusion.statistics import BAD_STAMPS
from m2vae_ros.parent import MOST_PROCESSES
from m2vae_ros.samples.cache_folder import (
    atomic_folder,
    check_free_space,
    digest_of,
    explain_write_errors,
    write_lock,
)
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
from m2vae_ros.samples.timing_cure import find_cure
from m2vae_ros.sensors.beams import ScanGeometry
from m2vae_ros.specs import SensorSpec

CLOCKS = ('receive', 'header')
_FORMAT = 2  # of what is decoded; another one has another key, so the bag is decoded anew
_SUFFIX = '.m2vae_cache'
_DESCRIPTION = 'description.json'
_SETS = 'sets.npy'


@dataclass(frozen=True)
class CacheOptions:
    """
    How a bag is decoded and fused.

    Parameters
    ----------
    cache
        Folder for the decoded measurements; none = beside each bag, ``<bag>.m2vae_cache``.
    processes
        Processes that decode.
    clock
        Time of the synchroniser: receive (when a message was recorded, as in a live node) or
        header (its own stamp, for bags whose stamps are not of the time of recording).
    allow_geometry_changes
        Accept a scan whose angle limits or number of beams change during the recording.

    """

    cache: str = ''
    processes: int = 2
    clock: str = 'receive'
    allow_geometry_changes: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.processes <= MOST_PROCESSES:
            raise ValueError(f'processes {self.processes}: must be from 1 to {MOST_PROCESSES}')
        if self.clock not in CLOCKS:
            raise ValueError(f'clock {self.clock!r}: must be one of {", ".join(CLOCKS)}')


@dataclass(frozen=True, eq=False)
class CachedBag:
    """
    A bag that has been decoded.

    Parameters
    ----------
    path
        Path of the bag.
    folder
        Folder of its cache.
    sensors
        The model's sensors.
    sets
        Stamp and members of every fused set.
    description
        Counts of messages: ``decoded`` per sensor, ``invalid`` per sensor and rule, ``dropped`` by
        the synchroniser per sensor and reason; ``examples`` of invalid ones per sensor; and the
        ``topics``.

    """

    path: Path
    folder: Path
    sensors: tuple[SensorSpec, ...]
    sets: FusedTable
    description: Mapping[str, Any]

    def report(self) -> list[str]:
        """Return lines of text: how many sets it has of which sensors, and unusable messages."""
        subsets = ', '.join(f'{n} of {names}' for names, n in self.sets.subset_counts().items())
        lines = [f'{self.path}: {len(self.sets)} fused sets: {subsets}']
        if self.description.get('cure'):
            lines.append(f'{self.path}: CAUTION: {self.description["cure"]}')
        for name, topic in self.description['topics'].items():
            invalid = self.description['invalid'][name]
            dropped = self.description['dropped'][name]
            rejected = {
                **invalid, **{rule: dropped[rule] for rule in BAD_STAMPS if dropped.get(rule)}
            }
            if rejected:
                total = self.description['decoded'][name] + sum(invalid.values())
                counts = ', '.join(f'{rule} {count}' for rule, count in rejected.items())
                lines.append(
                    f'{self.path}: topic {topic}: {sum(rejected.values())} of {total} messages '
                    f'cannot be used ({counts}){self.description["examples"].get(name, "")}'
                )
        return lines

    def take(self, sensor: SensorSpec, part: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """
        Return one part of some measurements of a sensor, ``(rows, *shape)``.

        Parameters
        ----------
        sensor
            The sensor.
        part
            ``values``, ``valid`` or ``returned``, as stored; see `decoding.stored_type`.
        rows
            Rows of the measurements in the cache.

        """
        # Mapped anew each time: what was read of the file then does not stay in the process.
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
    offsets: Mapping[str, float] | None = None,
) -> CachedBag:
    """
    Return the cache of a bag; decode the bag if there is none.

    Parameters
    ----------
    path
        Path of the bag.
    sensors
        The model's sensors.
    options
        How to decode and fuse it.
    topics
        Sensor -> its topic in this bag, where it is not the sensor's own.
    synchronizer
        Options of `Synchronizer`.
    offsets
        Sensor -> seconds that its stamps are ahead.

    Raises
    ------
    BagError
        If the bag, a topic or its messages are wrong; names the file, the topic and the fix.
    ValueError
        If the cache cannot be written.

    """
    options = options or CacheOptions()
    sensors = tuple(sensors)
    chosen = asdict(SynchronizerOptions.from_dict(dict(synchronizer or {})))
    ahead = {name: by for name, by in (offsets or {}).items() if by}
    _check_offsets(ahead, sensors)
    with Bag(path) as bag:
        found = resolve_topics(bag, sensors, topics)
        key = _cache_key(bag, sensors, found, options, chosen, ahead)
        root = Path(options.cache) if options.cache else bag.path.with_name(
            bag.path.name + _SUFFIX
        )
        if not _is_complete(root / key, sensors):
            with explain_write_errors(root, bag.path), write_lock(root, key):
                if not _is_complete(root / key, sensors):
                    _write_cache(root, key, bag, sensors, found, options, chosen, ahead)
    description = json.loads((root / key / _DESCRIPTION).read_text())
    table = FusedTable.from_array([spec.name for spec in sensors], np.load(root / key / _SETS))
    return CachedBag(bag.path, root / key, sensors, table, description)


def _write_cache(
    root: Path, key: str, bag: Bag, sensors: tuple[SensorSpec, ...], topics: Mapping[str, str],
    options: CacheOptions, synchronizer: Mapping[str, float], offsets: Mapping[str, float],
) -> None:
    """Decode a bag, fuse its measurements and write the cache, atomically."""
    check_free_space(root, bag.path, sum(
        bytes_per_message(spec) * bag.topics[topics[spec.name]].count for spec in sensors
    ))
    with atomic_folder(root, key) as folder:
        def check(spec: SensorSpec, tally: Tally) -> None:
            _check_geometry(bag, topics[spec.name], tally, options)

        tallies = decode_bag(
            bag, sensors, topics, folder, processes=options.processes, check=check
        )
        for spec in sensors:
            _check_decoded(bag, topics[spec.name], tallies[spec.name])
        times = {
            spec.name: np.fromfile(folder / f'{spec.name}.{TIMES}', np.int64).reshape(
                -1, len(Times._fields)
            )
            for spec in sensors
        }
        table, statistics = fuse(times, synchronizer, clock=options.clock, offsets=offsets)
        cure = find_cure(times, synchronizer, clock=options.clock, offsets=offsets)
        check_overlap(bag.path, topics, times, table, statistics, cure)
        np.save(folder / _SETS, table.to_array())
        description = {
            'digests': {path.name: digest_of(path) for path in sorted(folder.iterdir())},
            'cure': cure,
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


def _check_offsets(offsets: Mapping[str, float], sensors: Sequence[SensorSpec]) -> None:
    names = [spec.name for spec in sensors]
    unknown = sorted(set(offsets) - set(names))
    if unknown:
        raise ValueError(f'--offset {unknown[0]}: the sensors are {", ".join(names)}')


def _is_complete(folder: Path, sensors: Sequence[SensorSpec]) -> bool:
    """Return whether there is a finished cache, and its files are as they were written."""
    try:
        description = json.loads((folder / _DESCRIPTION).read_text())
        decoded = description['decoded']
        if not (folder / _SETS).exists() or not all(
            (folder / f'{spec.name}.{part}').stat().st_size
            == decoded[spec.name] * bytes_per_message(spec, part)
            for spec in sensors for part in parts_of(spec)
        ):
            return False
        damaged = [
            name for name, digest in description.get('digests', {}).items()
            if digest_of(folder / name) != digest
        ]
    except (OSError, ValueError, KeyError):
        return False
    if damaged:
        print(f'{folder / damaged[0]}: damaged; the bag is decoded again', file=sys.stderr)
    return not damaged


def _check_decoded(bag: Bag, topic: str, tally: Tally) -> None:
    """Check that some message of a topic was decoded."""
    if not tally.decoded:
        raise BagError(
            f'{bag.path}: topic {topic}: none of {sum(tally.invalid.values())} messages can be '
            f'used; the first: {tally.example}'
        )


def _check_geometry(bag: Bag, topic: str, tally: Tally, options: CacheOptions) -> None:
    """Check that the scans of a topic have one geometry, unless the options allow changes."""
    if len(tally.geometries) > 1 and not options.allow_geometry_changes:
        (_, before), (receive_ns, after) = tally.geometries[:2]
        seconds = (receive_ns - bag.start_ns) * 1e-9
        raise BagError(
            f'{bag.path}: topic {topic}: the scan changes {seconds:.1f} s after the start from '
            f'{_format_geometry(before)} to {_format_geometry(after)}: cut the bag there '
            f'(ros2 bag convert), or take it as it is with --allow-geometry-changes'
        )


def _format_geometry(geometry: ScanGeometry) -> str:
    angle_min, angle_max, beams = geometry
    return f'{beams} beams from {angle_min:.3f} to {angle_max:.3f} rad'


def _cache_key(
    bag: Bag, sensors: Sequence[SensorSpec], topics: Mapping[str, str], options: CacheOptions,
    synchronizer: Mapping[str, float], offsets: Mapping[str, float],
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
        **({'offsets': dict(offsets)} if offsets else {}),
    }
    return blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=12).hexdigest()

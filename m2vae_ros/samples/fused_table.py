# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Which measurements of a recording are fused together: the synchroniser's sets as a table."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.bags.storage import BagError
from m2vae_ros.fusion.playback import Arrival, play
from m2vae_ros.fusion.statistics import BAD_STAMPS, Statistics, ZERO_STAMP
from m2vae_ros.fusion.synchronizer import FusedSet, Synchronizer

MISSING = -1


@dataclass(frozen=True, eq=False)
class FusedTable:
    """
    The fused sets of a recording.

    Parameters
    ----------
    names
        Names of the model's sensors.
    stamps
        Stamps of the sets, nanoseconds, ``(sets,)``.
    rows
        Row of each sensor's measurement in the cache, `MISSING` where the set lacks the sensor,
        ``(sets, sensors)``.

    """

    names: tuple[str, ...]
    stamps: NDArray[np.int64]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.stamps)

    def to_array(self) -> NDArray[np.int64]:
        """Return stamps and rows as one array, ``(sets, 1 + sensors)``, for `from_array`."""
        return np.concatenate([self.stamps[:, None], self.rows], 1)

    def subset_counts(self) -> dict[str, int]:
        """Return 'a+b' -> number of sets that have exactly these sensors, most frequent first."""
        members, counts = np.unique(self.rows != MISSING, axis=0, return_counts=True)
        order = np.argsort(-counts, kind='stable')
        return {
            '+'.join(name for name, has in zip(self.names, members[i], strict=True) if has):
                int(counts[i])
            for i in order
        }

    def widened(self, names: Sequence[str]) -> FusedTable:
        """Return the same sets as ones of these sensors; those that are new are missing."""
        rows = np.full((len(self), len(names)), MISSING, np.int64)
        rows[:, [list(names).index(name) for name in self.names]] = self.rows
        return FusedTable(tuple(names), self.stamps, rows)

    @classmethod
    def from_array(cls, names: Sequence[str], array: NDArray[np.int64]) -> FusedTable:
        """Return the table that `to_array` made an array of."""
        return cls(tuple(names), array[:, 0], array[:, 1:])


class _RowReceiver:
    """Synchronises rows of the cache in place of measurements, as `playback.play` drives it."""

    def __init__(
        self, names: Sequence[str], options: Mapping[str, float], offsets: Mapping[str, float]
    ) -> None:
        self.synchronizer = Synchronizer(names, offsets=offsets, **options)

    @property
    def next_deadline_ns(self) -> int | None:
        return self.synchronizer.next_deadline_ns

    def receive(self, sensor: str, message: tuple[int, int], now_ns: int) -> list[FusedSet]:
        stamp_ns, row = message
        return self.synchronizer.add(sensor, stamp_ns, row, now_ns)

    def poll(self, now_ns: int) -> list[FusedSet]:
        return self.synchronizer.poll(now_ns)


def fuse(
    times: Mapping[str, NDArray[np.int64]],
    options: Mapping[str, float],
    *,
    clock: str = 'receive',
    offsets: Mapping[str, float] | None = None,
) -> tuple[FusedTable, Statistics]:
    """
    Synchronise recorded measurements as the pipeline does.

    Parameters
    ----------
    times
        Sensor -> the `Times` of its measurements, ``(measurements, 3)``.
    options
        Options of `Synchronizer`.
    clock
        Time of the synchroniser: ``receive`` or ``header``, see `CacheOptions`.
    offsets
        Sensor -> seconds that its stamps are ahead.

    """
    offsets = offsets or {}
    receiver = _RowReceiver(tuple(times), options, offsets)
    stamps, rows = array('q'), array('q')
    for fused_set in play(receiver, _arrivals(times, clock, offsets)):
        stamps.append(fused_set.stamp_ns)
        rows.extend(fused_set.items.get(name, MISSING) for name in times)
    table = FusedTable(
        tuple(times),
        np.array(stamps, np.int64),
        np.array(rows, np.int64).reshape(-1, len(times)),
    )
    return table, receiver.synchronizer.statistics


def _arrivals(
    times: Mapping[str, NDArray[np.int64]], clock: str, offsets: Mapping[str, float]
) -> Iterator[Arrival]:
    """Yield sensor, time and (stamp, row) of all measurements, in order of the clock's time."""
    received, stamps, order = np.concatenate(list(times.values())).T
    sensor = np.repeat(np.arange(len(times)), [len(each) for each in times.values()])
    ahead = np.array([round(offsets.get(name, 0.0) * 1e9) for name in times])
    now = stamps - ahead[sensor] if clock == 'header' else received
    row = np.concatenate([np.arange(len(each)) for each in times.values()])
    names = tuple(times)
    for index in np.lexsort([order, received, now]):
        yield names[sensor[index]], int(now[index]), (int(stamps[index]), int(row[index]))


def check_overlap(
    bag: Path, topics: Mapping[str, str], times: Mapping[str, NDArray[np.int64]],
    table: FusedTable, statistics: Statistics, cure: str,
) -> None:
    """
    Check that every sensor is fused at some time, and at some time with another sensor.

    ``cure`` is what would fuse them, see `find_cure`.

    Raises
    ------
    BagError
        If one is not; names the bag, the topic, the cause and the fix.

    """
    fused = table.rows != MISSING
    together = fused & (fused.sum(1, keepdims=True) > 1)
    for column, name in enumerate(table.names):
        if not fused[:, column].any():
            reason = _explain_never_fused(times[name], statistics.dropped[name], cure)
            raise BagError(f'{bag}: topic {topics[name]}: {reason}')
        if len(table.names) > 1 and not together[:, column].any():
            spans = '; '.join(
                f'{topics[other]} {_format_span(each[:, 1])}' for other, each in times.items()
            )
            remedy = cure or f'record them together, or take {name} out of the sensors'
            raise BagError(
                f'{bag}: topic {topics[name]}: none of its {len(times[name])} messages has a '
                f'stamp close to one of another sensor (stamps: {spans}): {remedy}'
            )


def _explain_never_fused(
    times: NDArray[np.int64], dropped: Mapping[str, int], cure: str
) -> str:
    """Return why no measurement of a sensor was fused, and what to do."""
    if dropped.get(ZERO_STAMP) == len(times):
        return (
            f'all {len(times)} messages are stamped with time 0: the driver had no clock; record '
            f'again with the driver stamping its messages'
        )
    if sum(dropped.get(reason, 0) for reason in BAD_STAMPS) == len(times):
        behind = float(np.median(times[:, 0] - times[:, 1])) * 1e-9
        return (
            f'all {len(times)} stamps lie {abs(behind):.1f} s '
            f'{"before" if behind > 0 else "after"} the time of recording: '
            + (cure or 'set the clock of the sensor and record again')
        )
    counts = ', '.join(f'{count} {reason}' for reason, count in dropped.items() if count)
    return f'none of its {len(times)} messages was fused ({counts}){": " if cure else ""}{cure}'


def _format_span(stamps: NDArray[np.int64]) -> str:
    return f'{stamps.min() * 1e-9:.1f} to {stamps.max() * 1e-9:.1f} s'

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Decode the messages of a bag into files of stacked measurements, in several processes.

Each process opens the bag and decodes one slice of its time after the other, a message at a time,
so the memory does not grow with the bag. Every slice has its own folder; their files are joined
in order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
import multiprocessing
from pathlib import Path
import signal
import sys
from typing import Any, BinaryIO, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from m2vae_ros.bags.bag import Bag
from m2vae_ros.parent import end_with_pool
from m2vae_ros.sensors.beams import may_be_one_scanner, ScanGeometry
from m2vae_ros.sensors.kinds import decode
from m2vae_ros.sensors.messages import InvalidMessage
from m2vae_ros.specs import Measurement, SensorSpec

#: Parts of a measurement that are stored; `TIMES` are its `Times`.
VALUES, VALID, RETURNED, TIMES = 'values', 'valid', 'returned', 'times'
_SLICE_NS = 5_000_000_000
_MIN_MESSAGES_PER_SLICE = 50  # on average, or a bag with long gaps would have too many slices
# Rules that a scan may break, '' for none, while its geometry can be relied on.
_GEOMETRY_IS_READABLE = ('', 'outside_view', 'no_valid_range')


class Times(NamedTuple):
    """
    The times of a measurement, int64.

    Parameters
    ----------
    receive_ns
        When its message was received, nanoseconds.
    stamp_ns
        Its stamp, nanoseconds.
    order
        Ascending number that orders messages received at the same time, of all sensors.

    """

    receive_ns: int
    stamp_ns: int
    order: int


@dataclass(frozen=True)
class Slice:
    """A task: the messages received from `start_ns` on and before `stop_ns`, into a folder."""

    sensors: tuple[SensorSpec, ...]
    topics: Mapping[str, str]
    start_ns: int
    stop_ns: int
    folder: Path


@dataclass
class Tally:
    """
    Counts of a sensor's messages.

    Parameters
    ----------
    decoded
        Number of decoded messages.
    invalid
        Rule -> number of messages that broke it.
    example
        Error of the first invalid message; empty if there is none.
    geometries
        Time of receipt in nanoseconds and geometry of the first scan, and of each scan whose
        geometry differs from that of the one before.

    """

    decoded: int = 0
    invalid: Counter[str] = field(default_factory=Counter)
    example: str = ''
    geometries: list[tuple[int, ScanGeometry]] = field(default_factory=list)

    def add(self, later: Tally) -> None:
        """Add the counts of later messages."""
        self.decoded += later.decoded
        self.invalid.update(later.invalid)
        self.example = self.example or later.example
        for receive_ns, geometry in later.geometries:
            self.add_geometry(receive_ns, geometry)

    def add_geometry(self, receive_ns: int, geometry: ScanGeometry) -> None:
        """Keep a scan's geometry if it differs from that of the scan before."""
        if not self.geometries or not may_be_one_scanner(self.geometries[-1][1], geometry):
            self.geometries.append((receive_ns, geometry))


def stored_type(spec: SensorSpec, part: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return the type and the shape in which a part is stored; images as uint8 grey levels."""
    if part == TIMES:
        return np.dtype(np.int64), (len(Times._fields),)
    if part == VALUES:
        return np.dtype(np.uint8 if spec.kind == 'image' else np.float32), spec.shape
    return np.dtype(np.bool_), spec.spatial_shape


def parts_of(spec: SensorSpec) -> tuple[str, ...]:
    """Return the stored parts of a sensor; an image has a return wherever it is valid."""
    return (VALUES, VALID, TIMES) if spec.kind == 'image' else (VALUES, VALID, RETURNED, TIMES)


def bytes_per_message(spec: SensorSpec, *parts: str) -> int:
    """Return the bytes that these parts of a measurement take on disk; none given = all parts."""
    types = (stored_type(spec, part) for part in parts or parts_of(spec))
    return sum(dtype.itemsize * int(np.prod(shape)) for dtype, shape in types)


def decode_bag(
    bag: Bag,
    sensors: Sequence[SensorSpec],
    topics: Mapping[str, str],
    folder: Path,
    *,
    processes: int,
    check: Callable[[SensorSpec, Tally], None],
) -> dict[str, Tally]:
    """
    Decode the messages of a bag into ``<sensor>.<part>`` files of a folder; shows a progress bar.

    Parameters
    ----------
    bag
        The open recording.
    sensors
        Sensors whose messages to decode.
    topics
        Sensor -> its topic.
    folder
        An empty folder.
    processes
        Number of processes that decode.
    check
        Called after every slice with each sensor and its counts so far; may raise to stop.

    Returns
    -------
    dict
        Sensor -> counts of its messages.

    """
    tasks = list(_slices(bag, tuple(sensors), topics, folder))
    tallies = {spec.name: Tally() for spec in sensors}
    with ExitStack() as stack:
        files = {
            (spec.name, part): stack.enter_context((folder / f'{spec.name}.{part}').open('wb'))
            for spec in sensors for part in parts_of(spec)
        }
        seconds = (bag.end_ns - bag.start_ns) * 1e-9
        bar = stack.enter_context(tqdm(
            total=seconds, desc=f'decoding {bag.path.name}',
            unit='s', file=sys.stderr,
            bar_format='{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s of the bag '
                       '[{elapsed}<{remaining}]',
        ))
        for task, found in zip(tasks, _decode_slices(bag, tasks, processes), strict=True):
            for (name, part), file in files.items():
                _append(task.folder / f'{name}.{part}', file)
            task.folder.rmdir()
            for spec in sensors:
                tallies[spec.name].add(found[spec.name])
                check(spec, tallies[spec.name])
            bar.update(min((task.stop_ns - task.start_ns) * 1e-9, seconds - bar.n))
    return tallies


def _decode_slices(bag: Bag, tasks: Sequence[Slice], processes: int) -> Iterator[dict[str, Tally]]:
    """Decode slices and yield their tallies in order; without other processes if one is enough."""
    if processes == 1 or len(tasks) == 1:
        yield from (_decode_slice(bag, task) for task in tasks)
        return
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_start_worker, initargs=(str(bag.readable),)
    ) as pool:
        waiting = iter(tasks)
        running = [pool.submit(_decode_in_worker, task) for task in islice(waiting, 2 * processes)]
        try:
            while running:
                yield running.pop(0).result()
                running += [pool.submit(_decode_in_worker, task) for task in islice(waiting, 1)]
        except BrokenProcessPool as error:
            raise ValueError(
                f'{bag.path}: a decoding process was killed (out of memory?): free memory, or '
                f'decode with fewer --processes'
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_worker_bag: Bag | None = None  # set in decoding processes only


def _start_worker(path: str) -> None:
    """Open the bag in a decoding process, which ends with its parent and leaves Ctrl-C to it."""
    global _worker_bag
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)  # the processes are as many as may run at a time
    end_with_pool()
    _worker_bag = Bag(path)


def _decode_in_worker(task: Slice) -> dict[str, Tally]:
    assert _worker_bag is not None
    return _decode_slice(_worker_bag, task)


def _decode_slice(bag: Bag, task: Slice) -> dict[str, Tally]:
    task.folder.mkdir()
    specs = {task.topics[spec.name]: spec for spec in task.sensors}
    tallies = {spec.name: Tally() for spec in task.sensors}
    with ExitStack() as stack:
        files = {
            (spec.name, part): stack.enter_context(
                (task.folder / f'{spec.name}.{part}').open('wb')
            )
            for spec in task.sensors for part in parts_of(spec)
        }
        for order, (topic, receive_ns, message) in enumerate(bag.messages(
            specs, start_ns=task.start_ns, stop_ns=task.stop_ns
        )):
            spec = specs[topic]
            tally = tallies[spec.name]
            measurement, rule = None, ''
            try:
                measurement = decode(spec, message)
            except InvalidMessage as error:
                rule = error.rule
                tally.invalid[rule] += 1
                tally.example = tally.example or str(error)
            if spec.kind == 'laser_scan' and rule in _GEOMETRY_IS_READABLE:
                limits = float(message.angle_min), float(message.angle_max)
                tally.add_geometry(receive_ns, (*limits, len(message.ranges)))
            if measurement is None:
                continue
            tally.decoded += 1
            times = Times(receive_ns, measurement.stamp_ns, order)
            for part, array in _stored(spec, measurement, times).items():
                files[spec.name, part].write(array.tobytes())
    return tallies


def _stored(
    spec: SensorSpec, measurement: Measurement, times: Times
) -> dict[str, np.ndarray[Any, Any]]:
    """Return part -> its array as it is stored."""
    parts = {
        VALUES: measurement.values,
        VALID: measurement.valid,
        TIMES: np.array(times, np.int64),
    }
    if spec.kind == 'image':
        parts[VALUES] = np.rint(measurement.values * 255).astype(np.uint8)
    else:
        parts[RETURNED] = measurement.returned
    return parts


def _slices(
    bag: Bag, sensors: tuple[SensorSpec, ...], topics: Mapping[str, str], folder: Path
) -> Iterator[Slice]:
    """Yield slices of equal length that cover the bag, each of `_SLICE_NS` or longer."""
    messages = sum(bag.topics[topic].count for topic in topics.values())
    max_slices = -(-messages // _MIN_MESSAGES_PER_SLICE)  # rounded up, as the next division
    length_ns = max(_SLICE_NS, -(-(bag.end_ns + 1 - bag.start_ns) // max_slices))
    for start_ns in range(bag.start_ns, bag.end_ns + 1, length_ns):
        stop_ns = min(start_ns + length_ns, bag.end_ns + 1)
        yield Slice(sensors, topics, start_ns, stop_ns, folder / f'slice_{start_ns}')


def _append(part: Path, whole: BinaryIO) -> None:
    """Append a file to another and remove it."""
    with part.open('rb') as file:
        while block := file.read(1 << 20):
            whole.write(block)
    part.unlink()

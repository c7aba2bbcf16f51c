# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The messages of a bag as stacked measurements in files, decoded by several processes.

Each process opens the bag and decodes one slice of its time after the other into a folder of its
own, a message at a time, so the memory does not grow with the bag.
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
from m2vae_ros.sensors.kinds import decode
from m2vae_ros.sensors.messages import InvalidMessage
from m2vae_ros.specs import Measurement, SensorSpec

#: Parts of a measurement that are stored; `TIMES` are its `Times`.
VALUES, VALID, RETURNED, TIMES = 'values', 'valid', 'returned', 'times'
_SLICE_NS = 5_000_000_000  # of a bag that a process decodes before it reports
_FEWEST = 50  # messages for each slice, or bags with gaps would have too many
_MOST_TURN = 0.035  # rad that a scan's limits may wander
_MOST_BEAMS = 1.2  # ratio of beam counts that is still the same scanner
_WHOLE_SCAN = ('', 'outside_view', 'no_valid_range')  # rules that leave a scan's geometry right


class Times(NamedTuple):
    """
    When a measurement was received and made, int64.

    Parameters
    ----------
    receive_ns, stamp_ns
        Nanoseconds.
    place
        Among those of all sensors that were received at the same time, ascending.

    """

    receive_ns: int
    stamp_ns: int
    place: int


@dataclass(frozen=True)
class Slice:
    """What one task decodes: messages received in a span of time, and where they go."""

    sensors: tuple[SensorSpec, ...]
    topics: Mapping[str, str]
    start_ns: int
    stop_ns: int
    folder: Path


@dataclass
class Tally:
    """
    What became of a sensor's messages.

    Parameters
    ----------
    decoded
        How many were.
    invalid
        Rule -> how many broke it.
    example
        What the first invalid one was told.
    geometries
        (when received, (angle_min, angle_max, beams)) of scans, wherever they change.

    """

    decoded: int = 0
    invalid: Counter[str] = field(default_factory=Counter)
    example: str = ''
    geometries: list[tuple[int, tuple[float, float, int]]] = field(default_factory=list)

    def add(self, later: Tally) -> None:
        """Count what came later, too."""
        self.decoded += later.decoded
        self.invalid.update(later.invalid)
        self.example = self.example or later.example
        for when, geometry in later.geometries:
            self.note(when, geometry)

    def note(self, receive_ns: int, geometry: tuple[float, float, int]) -> None:
        """Keep a scan's geometry if it is another than that of the scan before."""
        if not self.geometries or not _alike(self.geometries[-1][1], geometry):
            self.geometries.append((receive_ns, geometry))


def stored_type(spec: SensorSpec, part: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return the type and the shape of one measurement's part; images are grey levels."""
    if part == TIMES:
        return np.dtype(np.int64), (len(Times._fields),)
    if part == VALUES:
        return np.dtype(np.uint8 if spec.kind == 'image' else np.float32), spec.shape
    return np.dtype(np.bool_), spec.spatial_shape


def parts_of(spec: SensorSpec) -> tuple[str, ...]:
    """Return what is stored of a sensor's measurements; an image returns where it is valid."""
    return (VALUES, VALID, TIMES) if spec.kind == 'image' else (VALUES, VALID, RETURNED, TIMES)


def bytes_per_message(spec: SensorSpec, *parts: str) -> int:
    """Return how much some parts of one measurement, or all, take on disk."""
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
        Open.
    sensors
        Whose messages.
    topics
        Sensor -> its topic.
    folder
        Exists, and nothing else is in it.
    processes
        That decode.
    check
        Called now and then with what has become of a sensor's messages so far; may raise.

    Returns
    -------
    dict
        Sensor -> what became of its messages.

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
        for task, found in zip(tasks, _decoded(bag, tasks, processes), strict=True):
            for (name, part), file in files.items():
                _append(task.folder / f'{name}.{part}', file)
            task.folder.rmdir()
            for spec in sensors:
                tallies[spec.name].add(found[spec.name])
                check(spec, tallies[spec.name])
            bar.update(min((task.stop_ns - task.start_ns) * 1e-9, seconds - bar.n))
    return tallies


def _decoded(bag: Bag, tasks: Sequence[Slice], processes: int) -> Iterator[dict[str, Tally]]:
    """Decode slices, in order; in this process where one is enough."""
    if processes == 1 or len(tasks) == 1:
        yield from (_decode_slice(bag, task) for task in tasks)
        return
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_open, initargs=(str(bag.readable),)
    ) as pool:
        waiting = iter(tasks)
        running = [pool.submit(_work, task) for task in islice(waiting, 2 * processes)]
        try:
            while running:
                yield running.pop(0).result()
                running += [pool.submit(_work, task) for task in islice(waiting, 1)]
        except BrokenProcessPool as error:
            raise ValueError(
                f'{bag.path}: a decoding process was ended from outside (out of memory?): free '
                f'memory, or decode with fewer processes'
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_bag: Bag | None = None  # of a working process


def _open(path: str) -> None:
    """Get ready to decode; end with the parent, whatever ends that, and leave Ctrl-C to it."""
    global _bag
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)  # there are as many processes as shall work
    end_with_pool()
    _bag = Bag(path)


def _work(task: Slice) -> dict[str, Tally]:
    assert _bag is not None
    return _decode_slice(_bag, task)


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
        for place, (topic, receive_ns, message) in enumerate(bag.messages(
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
            if spec.kind == 'laser_scan' and rule in _WHOLE_SCAN:
                limits = float(message.angle_min), float(message.angle_max)
                tally.note(receive_ns, (*limits, len(message.ranges)))
            if measurement is None:
                continue
            tally.decoded += 1
            times = Times(receive_ns, measurement.stamp_ns, place)
            for part, array in _stored(spec, measurement, times).items():
                files[spec.name, part].write(array.tobytes())
    return tallies


def _stored(
    spec: SensorSpec, measurement: Measurement, times: Times
) -> dict[str, np.ndarray[Any, Any]]:
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
    messages = sum(bag.topics[topic].count for topic in topics.values())
    most = -(-messages // _FEWEST)
    step = max(_SLICE_NS, -(-(bag.end_ns + 1 - bag.start_ns) // most))
    for start in range(bag.start_ns, bag.end_ns + 1, step):
        stop = min(start + step, bag.end_ns + 1)
        yield Slice(sensors, topics, start, stop, folder / f'slice_{start}')


def _append(part: Path, whole: BinaryIO) -> None:
    """Move what a file holds to the end of another."""
    with part.open('rb') as file:
        while block := file.read(1 << 20):
            whole.write(block)
    part.unlink()


def _alike(one: tuple[float, float, int], other: tuple[float, float, int]) -> bool:
    """Return whether two scans come from one scanner; some vary their beams a little."""
    turned = max(abs(a - b) for a, b in zip(one[:2], other[:2], strict=True))
    fewer, more = sorted((one[2], other[2]))
    return turned <= _MOST_TURN and more <= _MOST_BEAMS * fewer

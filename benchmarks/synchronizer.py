# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Measure what the synchronizer costs per message, for cameras and LiDARs at 30, 10 and 12 Hz.

Everything that the node asks of it for a message is counted: `add`, `next_deadline_ns`, and `poll`
where it is due. The yardstick is a plain loop that keeps a queue per sensor and, as soon as no
queue is empty, pairs whatever is closest: no deadlines, no liveness, no checks of stamps. Both
take the same messages, interleaved in one run, and the median is printed, so that the ratio
stands on a busy machine.

    python benchmarks/synchronizer.py
"""

from __future__ import annotations

from collections import deque
import random
import statistics
import time

from m2vae_ros.fusion.synchronizer import Synchronizer

ROUNDS = 30
SECONDS = 60
RATES = {'camera': 30.0, 'lidar': 10.0, 'depth': 12.0}
SLOP_NS = 50_000_000

Message = tuple[str, int, int]


def messages(silent: str | None = None) -> list[Message]:
    """Return sensor, stamp and arrival of what arrives, with jitter, in order of arrival."""
    draw = random.Random(0)
    arrivals = []
    for sensor, rate in RATES.items():
        phase = draw.random() / rate
        for index in range(int(SECONDS * rate)):
            stamp = 1000 + phase + index / rate + draw.gauss(0, 0.002)
            arrivals.append((sensor, int(stamp * 1e9), int((stamp + 0.01 * draw.random()) * 1e9)))
    heard = [one for one in arrivals if one[0] != silent or one[1] < 1001 * 10**9]
    return sorted(heard, key=lambda one: one[2])


def synchronize(stream: list[Message]) -> int:
    """Return how many sets leave, polled whenever that is due."""
    synchronizer = Synchronizer(tuple(RATES))
    sets = 0
    deadline_ns = None
    for sensor, stamp_ns, now_ns in stream:
        while deadline_ns is not None and deadline_ns < now_ns:
            sets += len(synchronizer.poll(deadline_ns))
            deadline_ns = synchronizer.next_deadline_ns
        sets += len(synchronizer.add(sensor, stamp_ns, None, now_ns))
        deadline_ns = synchronizer.next_deadline_ns
    return sets


def plain_loop(stream: list[Message]) -> int:
    """Return how many sets a loop makes that pairs the closest of every sensor."""
    queues: dict[str, deque[tuple[int, None]]] = {name: deque(maxlen=10) for name in RATES}
    sets = 0
    for sensor, stamp_ns, _ in stream:
        queues[sensor].append((stamp_ns, None))
        if not all(queues.values()):
            continue
        closest = {
            name: min(queue, key=lambda one: abs(one[0] - stamp_ns))
            for name, queue in queues.items()
        }
        stamps = [one[0] for one in closest.values()]
        if max(stamps) - min(stamps) <= SLOP_NS:
            sets += 1
            newest = max(stamps)
            for queue in queues.values():
                while queue and queue[0][0] <= newest:
                    queue.popleft()
    return sets


def main() -> None:
    """Print the cost of a message, with every sensor alive and with one dead."""
    for title, silent in (('all alive', None), ('lidar dead', 'lidar'), ('camera dead', 'camera')):
        stream = messages(silent)
        costs: dict[str, list[float]] = {'synchronizer': [], 'plain loop': []}
        sets = {}
        for _ in range(ROUNDS):
            for name, run in (('synchronizer', synchronize), ('plain loop', plain_loop)):
                begun = time.perf_counter()
                sets[name] = run(stream)
                costs[name].append((time.perf_counter() - begun) / len(stream) * 1e6)
        ours, plain = (statistics.median(costs[name]) for name in costs)
        print(
            f'{title:>12}: {ours:.2f} us a message, plain loop {plain:.2f} us, ratio '
            f'{ours / plain:.2f}; {len(stream)} messages, {sets["synchronizer"]} sets, '
            f'plain loop {sets["plain loop"]}'
        )


if __name__ == '__main__':
    main()

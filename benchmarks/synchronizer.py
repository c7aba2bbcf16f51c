# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The synchronizer's processor time per message, of a robot with three sensors and of one with eight.

Beside it, in the same run, the minimum that any synchroniser must do: append each message to the
queue of its sensor and look at the heads of all queues.
"""

from __future__ import annotations

from collections import deque
import json
import random
import time

from m2vae_ros.fusion.synchronizer import Synchronizer

_SECONDS = 100
_ROBOTS = {
    'three': {'camera': 1 / 30, 'lidar': 1 / 10, 'depth': 1 / 12},
    'eight': {f'sensor{index}': 1 / rate for index, rate in enumerate(
        (30, 30, 30, 30, 40, 10, 10, 20))},
}
_Stream = list[tuple[int, str, int]]


def messages(periods: dict[str, float]) -> _Stream:
    """Return (arrival in ns, sensor, stamp in ns), in order of arrival."""
    rng = random.Random(0)
    found = []
    for sensor, period in periods.items():
        stamp = 1000 + rng.random() * period
        while stamp < 1000 + _SECONDS:
            arrival = stamp + abs(rng.gauss(0.01, 0.003))
            found.append((round(arrival * 1e9), sensor, round(stamp * 1e9)))
            stamp += period
    return sorted(found)


def synchronize(stream: _Stream, periods: dict[str, float]) -> float:
    """Return the share of the slowest sensor's messages that were emitted in complete sets."""
    synchronizer = Synchronizer(tuple(periods))
    for now, sensor, stamp in stream:
        due = synchronizer.next_deadline_ns
        while due is not None and due <= now:
            synchronizer.poll(due)
            due = synchronizer.next_deadline_ns
        synchronizer.add(sensor, stamp, None, now)
    statistics = synchronizer.statistics
    slowest = max(periods, key=periods.__getitem__)
    return statistics.sets[tuple(periods)] / statistics.accepted[slowest]


def queue_only(stream: _Stream, periods: dict[str, float]) -> None:
    """Append each message to its queue and look at the heads, nothing else."""
    queues: dict[str, deque[int]] = {sensor: deque(maxlen=10) for sensor in periods}
    for _, sensor, stamp in stream:
        queues[sensor].append(stamp)
        if all(queues.values()):
            min(queue[0] for queue in queues.values())


def main() -> None:
    """Print the cost per message as JSON."""
    print(json.dumps({name: measure(periods) for name, periods in _ROBOTS.items()}, indent=2))


def measure(periods: dict[str, float]) -> dict[str, float]:
    """Return the cost per message of one robot."""
    stream = messages(periods)
    costs = {}
    for work in (synchronize, queue_only):
        rounds = []
        for _ in range(7):
            started = time.process_time()
            work(stream, periods)
            rounds.append((time.process_time() - started) / len(stream) * 1e6)
        costs[work] = min(rounds)
    return {
        'messages': len(stream),
        'synchronizer_us_per_message': round(costs[synchronize], 2),
        'queues_only_us_per_message': round(costs[queue_only], 2),
        'ratio': round(costs[synchronize] / costs[queue_only], 1),
        'complete_share_of_slowest': round(synchronize(stream, periods), 4),
    }


if __name__ == '__main__':
    main()

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The synchronizer's processor time per message of a robot with sensors of 30, 10 and 12 Hz.

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
_PERIODS = {'camera': 1 / 30, 'lidar': 1 / 10, 'depth': 1 / 12}


def messages() -> list[tuple[int, str, int]]:
    """Return (arrival in ns, sensor, stamp in ns), in order of arrival."""
    rng = random.Random(0)
    found = []
    for sensor, period in _PERIODS.items():
        stamp = 1000 + rng.random() * period
        while stamp < 1000 + _SECONDS:
            arrival = stamp + abs(rng.gauss(0.01, 0.003))
            found.append((round(arrival * 1e9), sensor, round(stamp * 1e9)))
            stamp += period
    return sorted(found)


def synchronize(stream: list[tuple[int, str, int]]) -> float:
    """Return the share of lidar messages that were emitted in complete sets."""
    synchronizer = Synchronizer(tuple(_PERIODS))
    for now, sensor, stamp in stream:
        due = synchronizer.next_deadline_ns
        while due is not None and due <= now:
            synchronizer.poll(due)
            due = synchronizer.next_deadline_ns
        synchronizer.add(sensor, stamp, None, now)
    statistics = synchronizer.statistics
    return statistics.sets[tuple(_PERIODS)] / statistics.accepted['lidar']


def queue_only(stream: list[tuple[int, str, int]]) -> None:
    """Append each message to its queue and look at the heads, nothing else."""
    queues: dict[str, deque[int]] = {sensor: deque(maxlen=10) for sensor in _PERIODS}
    for _, sensor, stamp in stream:
        queues[sensor].append(stamp)
        if all(queues.values()):
            min(queue[0] for queue in queues.values())


def main() -> None:
    """Print the cost per message as JSON."""
    stream = messages()
    costs = {}
    for name, work in (('synchronizer', synchronize), ('queues only', queue_only)):
        rounds = []
        for _ in range(7):
            started = time.process_time()
            work(stream)
            rounds.append((time.process_time() - started) / len(stream) * 1e6)
        costs[name] = min(rounds)
    print(json.dumps({
        'messages': len(stream),
        'synchronizer_us_per_message': round(costs['synchronizer'], 2),
        'queues_only_us_per_message': round(costs['queues only'], 2),
        'ratio': round(costs['synchronizer'] / costs['queues only'], 1),
        'complete_share_of_lidar': round(synchronize(stream), 4),
    }, indent=2))


if __name__ == '__main__':
    main()

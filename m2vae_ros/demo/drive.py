# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The drive of the demo: phases in which sensors die and come back, and the latents of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
import time

from m2vae_ros.demo.processes import Processes, signals_delayed
from m2vae_ros.node.observer import Arrival, Observer
from m2vae_ros.vae.subsets import Subset

_START_TIMEOUT = 90.0  # s until the first complete set
_ANSWER_TIMEOUT = 5.0  # s until the robot answers a request


@dataclass(frozen=True)
class Phase:
    """A part of the drive: its title, and the sensors that are silent in it."""

    title: str
    silent: tuple[str, ...] = ()


PHASES = (
    Phase('all live'),
    Phase('camera dead', ('camera',)),
    Phase('lidar dead', ('lidar',)),
    Phase('only depth', ('camera', 'lidar')),
    Phase('all back'),
)


@dataclass
class PhaseRecord:
    """
    What happened in a phase; times on the steady clock, nanoseconds.

    Parameters
    ----------
    phase
        The phase.
    started_ns
        When the robot confirmed which sensors are silent.
    revived
        Whether a sensor came back at the start.
    arrivals
        The latents that arrived from the start to the end.
    ended_ns
        When the phase ended.

    """

    phase: Phase
    started_ns: int
    revived: bool
    arrivals: list[Arrival] = field(default_factory=list)
    ended_ns: int = 0

    def longest_gap(self) -> float:
        """Return the longest time without a latent in the phase, seconds."""
        times = [self.started_ns, *(arrival.steady_ns for arrival in self.arrivals), self.ended_ns]
        return max(b - a for a, b in pairwise(times)) * 1e-9

    def recovery(self, names: Subset) -> float | None:
        """Return the seconds until a set had all sensors that are not silent; None = never."""
        expected = tuple(name for name in names if name not in self.phase.silent)
        for arrival in self.arrivals:
            if arrival.latent.subset(names) == expected:
                return max(0, arrival.steady_ns - self.started_ns) * 1e-9
        return None


Show = Callable[[Phase, Sequence[PhaseRecord]], None]


def drive(
    observer: Observer, processes: Processes, names: Subset, seconds: float, show: Show
) -> list[PhaseRecord]:
    """
    Wait until everything runs, then go through all phases.

    Raises
    ------
    ProcessDiedError
        If the robot or the node ends.
    TimeoutError
        If no complete set comes, or the robot does not answer.

    """
    starting = Phase('starting')
    _wait(observer, processes, _START_TIMEOUT, lambda: show(starting, ()), until=lambda: (
        observer.robot_is_ready()
        and any(len(arrival.latent.subset(names)) == len(names) for arrival in observer.arrivals)
    ), failure='robot and node gave no complete set')
    records: list[PhaseRecord] = []
    silent: tuple[str, ...] = ()
    for phase in PHASES:
        answer = observer.request({f'{n}.enabled': n not in phase.silent for n in names})
        _wait(observer, processes, _ANSWER_TIMEOUT, lambda: None, until=answer.done,
              failure='the robot did not answer')
        revived = bool(set(silent) - set(phase.silent))
        silent = phase.silent
        record = PhaseRecord(phase, time.monotonic_ns(), revived)
        records.append(record)
        before = len(observer.arrivals)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with signals_delayed():
                observer.spin_once(0.05)
            record.arrivals = observer.arrivals[before:]
            record.ended_ns = time.monotonic_ns()
            processes.check()
            show(phase, records)
    return records


def _wait(
    observer: Observer,
    processes: Processes,
    seconds: float,
    show: Callable[[], None],
    *,
    until: Callable[[], bool],
    failure: str,
) -> None:
    """Serve the observer until a condition holds; raise TimeoutError if it takes too long."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise TimeoutError(f'{failure} within {seconds:.0f} s')
        with signals_delayed():
            observer.spin_once(0.05)
        processes.check()
        show()

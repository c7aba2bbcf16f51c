# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The drive of the demo: phases in which sensors die and come back, and what was seen in each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
import time

from m2vae_ros.demo.processes import Processes
from m2vae_ros.node.observer import Arrival, Observer
from m2vae_ros.vae.subsets import Subset

_FIRST_LATENT = 90.0  # s that robot and node may take until the first complete set
_ANSWER = 5.0  # s that the robot may take to answer


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
class Passage:
    """
    What happened in a phase; times on the steady clock, nanoseconds.

    Parameters
    ----------
    phase
        Which.
    started_ns
        When the robot had confirmed what is silent.
    revived
        Whether a sensor came back at its start.
    arrivals
        The latents that came from then on.
    ended_ns
        Until when they were listened to.

    """

    phase: Phase
    started_ns: int
    revived: bool
    arrivals: list[Arrival] = field(default_factory=list)
    ended_ns: int = 0

    def longest_gap(self) -> float:
        """Return the longest time without a latent, seconds, from the phase's start to its end."""
        times = [self.started_ns, *(arrival.steady_ns for arrival in self.arrivals), self.ended_ns]
        return max(b - a for a, b in pairwise(times)) * 1e-9

    def recovery(self, names: Subset) -> float | None:
        """Return how long it took until a set had all sensors that speak, seconds."""
        speaking = tuple(name for name in names if name not in self.phase.silent)
        for arrival in self.arrivals:
            if arrival.latent.subset(names) == speaking:
                return max(0, arrival.steady_ns - self.started_ns) * 1e-9
        return None


Show = Callable[[Phase, Sequence[Passage]], None]


def drive(
    observer: Observer, processes: Processes, names: Subset, seconds: float, show: Show
) -> list[Passage]:
    """
    Wait until everything runs, then pass through all phases.

    Raises
    ------
    ProcessDiedError
        If robot or node ends.
    TimeoutError
        If no complete set comes, or the robot does not answer.

    """
    waiting = Phase('starting')
    _spin(observer, processes, _FIRST_LATENT, lambda: show(waiting, ()), until=lambda: (
        observer.robot_is_ready()
        and any(len(arrival.latent.subset(names)) == len(names) for arrival in observer.arrivals)
    ), what='robot and node gave no complete set')
    passages: list[Passage] = []
    silent: tuple[str, ...] = ()
    for phase in PHASES:
        answer = observer.request({f'{n}.enabled': n not in phase.silent for n in names})
        _spin(observer, processes, _ANSWER, lambda: None, until=answer.done,
              what='the robot did not answer')
        revived = bool(set(silent) - set(phase.silent))
        silent = phase.silent
        passage = Passage(phase, time.monotonic_ns(), revived)
        passages.append(passage)
        before = len(observer.arrivals)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            observer.spin_once(0.05)
            passage.arrivals = observer.arrivals[before:]
            passage.ended_ns = time.monotonic_ns()
            processes.check()
            show(phase, passages)
    return passages


def _spin(
    observer: Observer,
    processes: Processes,
    seconds: float,
    show: Callable[[], None],
    *,
    until: Callable[[], bool],
    what: str,
) -> None:
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise TimeoutError(f'{what} within {seconds:.0f} s')
        observer.spin_once(0.05)
        processes.check()
        show()

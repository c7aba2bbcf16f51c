# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The processes of a training: one, several on a host, or those that torchrun started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import os

from m2vae_ros.training.options import TrainingOptions


@dataclass(frozen=True)
class World:
    """
    The processes that train together, and this one's place among them.

    Parameters
    ----------
    devices
        Processes on each host.
    nodes
        Number of hosts.
    rank
        Number of this process among all, 0 is the first.

    """

    devices: int = 1
    nodes: int = 1
    rank: int = 0

    @classmethod
    def of(
        cls, options: TrainingOptions, environment: Mapping[str, str] = os.environ
    ) -> World:
        """
        Return the processes that the options ask for, or that torchrun has started.

        Raises
        ------
        ValueError
            If they contradict each other, or several hosts are asked for without torchrun.

        """
        rank = int(environment.get('RANK', environment.get('LOCAL_RANK', 0)))
        if 'TORCHELASTIC_RUN_ID' not in environment:
            if options.nodes > 1:
                raise ValueError(
                    f'--nodes {options.nodes}: start the command on every host with torchrun '
                    f'(docs/distributed_training.md)'
                )
            return cls(options.devices or 1, 1, rank)
        on_host, in_all = int(environment['LOCAL_WORLD_SIZE']), int(environment['WORLD_SIZE'])
        started = {'devices': on_host, 'nodes': in_all // on_host}
        for name, count in started.items():
            requested = getattr(options, name)
            if requested not in (0, count):
                raise ValueError(
                    f'--{name} {requested}: torchrun started {count}; leave it out, or let '
                    f'torchrun start as many'
                )
        return cls(**started, rank=rank)

    @property
    def size(self) -> int:
        """Return the number of processes on all hosts."""
        return self.devices * self.nodes

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes files and prints."""
        return self.rank == 0

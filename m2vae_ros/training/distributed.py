# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The processes that train together: one, several of a host, or those that torchrun starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import os

from m2vae_ros.training.options import TrainingOptions


@dataclass(frozen=True)
class World:
    """
    The processes of a training.

    Parameters
    ----------
    devices
        Processes on each host.
    nodes
        Hosts.
    rank
        Of this process, in all of them.

    """

    devices: int = 1
    nodes: int = 1
    rank: int = 0

    @classmethod
    def of(
        cls, options: TrainingOptions, environment: Mapping[str, str] = os.environ
    ) -> World:
        """
        Return what the options ask for, or what torchrun has started.

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
        local, all_of_them = int(environment['LOCAL_WORLD_SIZE']), int(environment['WORLD_SIZE'])
        started = {'devices': local, 'nodes': all_of_them // local}
        for name, count in started.items():
            asked = getattr(options, name)
            if asked not in (0, count):
                raise ValueError(
                    f'--{name} {asked}: torchrun started {count}; leave it out, or let '
                    f'torchrun start as many'
                )
        return cls(**started, rank=rank)

    @property
    def size(self) -> int:
        """How many processes there are."""
        return self.devices * self.nodes

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

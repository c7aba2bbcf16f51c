# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The order of training samples: determined by a seed, resumed at any step."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class ShuffledBatches(Sampler[list[int]]):
    """
    The batches of a whole training: epoch after epoch, each in its own random order.

    Samples at the end of an epoch that do not fill a batch of every process are left out, so all
    processes take the same number of steps.

    Parameters
    ----------
    samples
        Number of training samples.
    batch_size
        Samples of one step in one process.
    steps
        Steps of the whole training.
    seed
        Seed of the random orders.
    first_step
        The step to start at; the batches before it are skipped.
    rank, world_size
        This process, 0.., and the number of processes; each gets its own part of every step's
        samples.

    Raises
    ------
    ValueError
        If the samples do not fill one batch of every process.

    """

    def __init__(
        self, samples: int, batch_size: int, steps: int, seed: int, *, first_step: int = 0,
        rank: int = 0, world_size: int = 1,
    ) -> None:
        super().__init__()
        if samples < batch_size * world_size:
            raise ValueError(
                f'{samples} samples: fewer than one batch of {batch_size} for each of '
                f'{world_size} processes'
            )
        self._samples, self._batch_size = samples, batch_size
        self._steps, self._first_step = steps, first_step
        self._seed, self._rank, self._world_size = seed, rank, world_size

    def __len__(self) -> int:
        """Return the steps of the whole training, skipped ones included."""
        return self._steps

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the batches from the first step on, as lists of sample indices."""
        generator = torch.Generator().manual_seed(self._seed)
        steps_per_epoch = self._samples // (self._batch_size * self._world_size)
        for step in range(self._steps):
            step_in_epoch = step % steps_per_epoch
            if step_in_epoch == 0:
                order = torch.randperm(self._samples, generator=generator)
            if step >= self._first_step:
                start = (step_in_epoch * self._world_size + self._rank) * self._batch_size
                yield order[start:start + self._batch_size].tolist()

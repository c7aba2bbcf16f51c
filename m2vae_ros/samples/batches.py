# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The order in which samples are learned from: given by a seed, taken up again at any step."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class ShuffledBatches(Sampler[list[int]]):
    """
    The batches of a whole training: one epoch after the other, each in an order of its own.

    The rest of an epoch that fills no batch (of every process) is left out, so every process
    takes equally many steps whatever the number of samples.

    Parameters
    ----------
    samples
        How many there are.
    batch_size
        Samples of one step in one process.
    steps
        Of the training.
    seed
        Of the orders.
    first_step
        The first batch to give; those before it are passed over.
    rank, world_size
        Which of how many processes this is; each gets its own part of every step's samples.

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
        """Return the steps of the whole training, those that are passed over among them."""
        return self._steps

    def __iter__(self) -> Iterator[list[int]]:
        """Give the batches from the first step on."""
        generator = torch.Generator().manual_seed(self._seed)
        in_epoch = self._samples // (self._batch_size * self._world_size)
        for step in range(self._steps):
            place = step % in_epoch
            if place == 0:
                order = torch.randperm(self._samples, generator=generator)
            if step >= self._first_step:
                start = (place * self._world_size + self._rank) * self._batch_size
                yield order[start:start + self._batch_size].tolist()

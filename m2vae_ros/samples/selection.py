# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Chosen samples of a data set, and how many samples have which sensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.samples.dataset import Batch, SampleDataset
from m2vae_ros.vae.subsets import Subset


class Selection(SampleDataset):
    """
    Chosen samples of another data set.

    Parameters
    ----------
    dataset
        The data set to choose from.
    rows
        Indices of the chosen samples in it.

    """

    def __init__(self, dataset: SampleDataset, rows: Sequence[int] | NDArray[np.int64]) -> None:
        self.sensors = dataset.sensors
        self._dataset = dataset
        self._rows = np.asarray(rows, np.int64)

    @classmethod
    def complete(cls, dataset: SampleDataset) -> Selection:
        """Return the samples that have all sensors."""
        return cls(dataset, np.flatnonzero(dataset.availability().all(1)))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, indices: Sequence[int]) -> Batch:
        """Return the samples of some indices."""
        return self._dataset[self._rows[np.asarray(indices, np.int64)].tolist()]

    def availability(self) -> NDArray[np.bool_]:
        """Return which sensors each sample has, ``(samples, sensors)``."""
        return self._dataset.availability()[self._rows]


def subset_counts(dataset: SampleDataset) -> dict[Subset, int]:
    """Return subset -> number of samples that have exactly its sensors, most frequent first."""
    if not len(dataset):
        return {}
    patterns, counts = np.unique(dataset.availability(), axis=0, return_counts=True)
    names = [spec.name for spec in dataset.sensors]
    found = {
        tuple(name for name, has in zip(names, pattern, strict=True) if has): int(count)
        for pattern, count in zip(patterns, counts, strict=True)
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]))

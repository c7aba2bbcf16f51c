# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Samples of recordings, read from their caches a batch at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
import sys

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from m2vae_ros.samples.augmentation import AugmentationOptions, with_augmentation
from m2vae_ros.samples.cache import CachedBag, CacheOptions, open_cache
from m2vae_ros.samples.dataset import Batch, in_unit, SampleDataset
from m2vae_ros.samples.decoding import RETURNED, stored_type, VALID, VALUES
from m2vae_ros.samples.fused_table import MISSING
from m2vae_ros.samples.sources import Splits
from m2vae_ros.samples.splits import Split, split, SplitOptions
from m2vae_ros.specs import SensorSpec
from m2vae_ros.vae.likelihoods import SensorBatch


class RecordedSamples(SampleDataset):
    """
    Fused sets of one recording or several; a sample may lack sensors.

    Parameters
    ----------
    bags
        Decoded, all with the same sensors.
    rows
        Of each bag: which of its sets.

    """

    def __init__(self, bags: Sequence[CachedBag], rows: Sequence[NDArray[np.int64]]) -> None:
        self.sensors = bags[0].sensors
        self.bags = tuple(bags)
        self._rows = tuple(rows)
        self._ends = np.cumsum([len(each) for each in rows])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, indices: Sequence[int]) -> Batch:
        """Return the samples of some indices."""
        asked = np.asarray(indices, np.int64)
        of_bag = np.searchsorted(self._ends, asked, side='right')
        members = np.empty((len(asked), len(self.sensors)), np.int64)
        for bag in np.unique(of_bag):
            here = of_bag == bag
            before = self._ends[bag] - len(self._rows[bag])
            members[here] = self.bags[bag].sets.rows[self._rows[bag][asked[here] - before]]
        sensors = {
            spec.name: self._measurements(spec, of_bag, members[:, column])
            for column, spec in enumerate(self.sensors)
        }
        available = torch.from_numpy(members != MISSING)
        return Batch(sensors, None if bool(available.all()) else available)

    def availability(self) -> NDArray[np.bool_]:
        """Return which sensors each sample has, ``(samples, sensors)``."""
        found: NDArray[np.bool_] = np.concatenate([
            bag.sets.rows[rows] for bag, rows in zip(self.bags, self._rows, strict=True)
        ]) != MISSING
        return found

    def _measurements(
        self, spec: SensorSpec, of_bag: NDArray[np.int64], members: NDArray[np.int64]
    ) -> SensorBatch:
        """Return one sensor's measurements; what is missing says nothing."""
        parts: dict[str, Tensor] = {}
        stored = (VALUES, VALID) if spec.kind == 'image' else (VALUES, VALID, RETURNED)
        for part in stored:
            dtype, shape = stored_type(spec, part)
            stacked = np.zeros((len(members), *shape), dtype)
            for bag in np.unique(of_bag):
                here = (of_bag == bag) & (members != MISSING)
                if here.any():
                    stacked[here] = self.bags[bag].take(spec, part, members[here])
            parts[part] = torch.from_numpy(stacked)
        valid = parts[VALID]
        return SensorBatch(in_unit(parts[VALUES]), valid, parts.get(RETURNED, valid))


def from_bags(
    paths: Sequence[Path],
    sensors: Sequence[SensorSpec],
    *,
    cache: CacheOptions | None = None,
    splits: SplitOptions | None = None,
    topics: Mapping[str, str] | None = None,
    synchronizer: Mapping[str, float] | None = None,
    augmentation: AugmentationOptions | None = None,
    seed: int = 0,
) -> Splits:
    """
    Decode recordings, unless that has been done, and split each of them by time.

    Says on the error output what was found in them.

    Parameters
    ----------
    paths
        Of the bags.
    sensors
        The model's.
    cache, splits
        How to read and to split them.
    topics
        Sensor -> its topic in all the bags, where it is not the sensor's own.
    synchronizer
        Options of `Synchronizer`.
    augmentation, seed
        How the samples to learn from are varied; None = not at all.

    Raises
    ------
    ValueError
        If a bag is wrong or too short, or a sensor says nothing in the part to learn from.

    """
    bags = [
        open_cache(path, sensors, cache, topics=topics, synchronizer=synchronizer)
        for path in paths
    ]
    for bag in bags:
        print('\n'.join(bag.report()), file=sys.stderr)
    chosen = [_split(bag, splits or SplitOptions()) for bag in bags]
    training, validation, test = (
        RecordedSamples(bags, [rows[part] for rows in chosen]) for part in range(3)
    )
    heard = np.any(training.availability(), axis=0)
    for spec, is_heard in zip(sensors, heard, strict=True):
        if not is_heard:
            names = ', '.join(
                f'{bag.bag} (topic {bag.description["topics"][spec.name]})' for bag in bags
            )
            raise ValueError(
                f'{names}: sensor {spec.name} says nothing in the part to learn from: record it '
                f'for longer, or take it out of the sensors'
            )
    names = ', '.join(bag.bag.name for bag in bags)
    return Splits(with_augmentation(training, augmentation, seed), validation, test, {
        'training': f'{len(training)} fused sets of {names}',
        'validation': f'{len(validation)} fused sets of other times of {names}',
        'test': f'{len(test)} fused sets of other times of {names}',
        'bags': [
            {
                'name': bag.bag.name, 'key': bag.folder.name, 'sets': bag.sets.subsets(),
                **bag.description,
            }
            for bag in bags
        ],
    })


def _split(bag: CachedBag, options: SplitOptions) -> Split:
    try:
        return split(bag.sets.stamps, options)
    except ValueError as error:
        raise ValueError(f'{bag.bag}: {error}') from error

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Samples of recordings, read from their caches a batch at a time, and their splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
import sys

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.resolution import find_topics, FoundTopics
from m2vae_ros.samples.augmentation import AugmentationOptions, with_augmentation
from m2vae_ros.samples.cache import CachedBag, CacheOptions, open_cache
from m2vae_ros.samples.dataset import Batch, SampleDataset, to_model_scale
from m2vae_ros.samples.decoding import RETURNED, stored_type, VALID, VALUES
from m2vae_ros.samples.fused_table import MISSING
from m2vae_ros.samples.sources import SplitSamples
from m2vae_ros.samples.splits import split_by_time, SplitOptions, SplitRows
from m2vae_ros.specs import SensorSpec
from m2vae_ros.vae.likelihoods import SensorBatch


class RecordedSamples(SampleDataset):
    """
    Fused sets of one recording or several; a sample may lack sensors.

    Parameters
    ----------
    bags
        Decoded bags, all with the same sensors.
    rows
        For each bag, the row numbers of its sets to take.

    """

    def __init__(self, bags: Sequence[CachedBag], rows: Sequence[NDArray[np.int64]]) -> None:
        self.sensors = bags[0].sensors
        self.bags = tuple(bags)
        self._rows = tuple(rows)
        self._ends = np.cumsum([len(each) for each in rows])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, indices: Sequence[int]) -> Batch:
        """Return the samples at these indices."""
        wanted = np.asarray(indices, np.int64)
        bag_of = np.searchsorted(self._ends, wanted, side='right')
        members = np.empty((len(wanted), len(self.sensors)), np.int64)
        for bag in np.unique(bag_of):
            here = bag_of == bag
            before = self._ends[bag] - len(self._rows[bag])
            members[here] = self.bags[bag].sets.rows[self._rows[bag][wanted[here] - before]]
        sensors = {
            spec.name: self._measurements(spec, bag_of, members[:, column])
            for column, spec in enumerate(self.sensors)
        }
        available = torch.from_numpy(members != MISSING)
        return Batch(sensors, None if bool(available.all()) else available)

    def availability(self) -> NDArray[np.bool_]:
        """Return which sensors each sample has, bool ``(samples, sensors)``."""
        found: NDArray[np.bool_] = np.concatenate([
            bag.sets.rows[rows] for bag, rows in zip(self.bags, self._rows, strict=True)
        ]) != MISSING
        return found

    def _measurements(
        self, spec: SensorSpec, bag_of: NDArray[np.int64], members: NDArray[np.int64]
    ) -> SensorBatch:
        """
        Return one sensor's measurements; no cell is valid where a sample lacks the sensor.

        Parameters
        ----------
        spec
            The sensor.
        bag_of
            Number of each sample's bag, ``(batch,)``.
        members
            Row of each sample's measurement in its bag, or `MISSING`, ``(batch,)``.

        """
        parts: dict[str, Tensor] = {}
        stored = (VALUES, VALID) if spec.kind == 'image' else (VALUES, VALID, RETURNED)
        for part in stored:
            dtype, shape = stored_type(spec, part)
            stacked = np.zeros((len(members), *shape), dtype)
            for bag in np.unique(bag_of):
                here = (bag_of == bag) & (members != MISSING)
                if here.any():
                    stacked[here] = self.bags[bag].take(spec, part, members[here])
            parts[part] = torch.from_numpy(stacked)
        valid = parts[VALID]
        return SensorBatch(to_model_scale(parts[VALUES]), valid, parts.get(RETURNED, valid))


def samples_from_bags(
    paths: Sequence[Path],
    sensors: Sequence[SensorSpec],
    *,
    cache: CacheOptions | None = None,
    splits: SplitOptions | None = None,
    topics: Mapping[str, str] | None = None,
    synchronizer: Mapping[str, float] | None = None,
    offsets: Mapping[str, float] | None = None,
    augmentation: AugmentationOptions | None = None,
    seed: int = 0,
) -> SplitSamples:
    """
    Decode recordings, unless they are in the cache, and split each of them by time.

    Of several recordings some may lack sensors. Prints to the standard error which, before
    anything is decoded, and what the recordings hold.

    Parameters
    ----------
    paths
        Paths of the bags.
    sensors
        The model's sensors.
    cache, splits
        How to read and how to split them.
    topics
        Sensor -> its topic in all the bags, where it is not the sensor's own.
    synchronizer
        Options of `Synchronizer`.
    offsets
        Sensor -> seconds that its stamps are ahead.
    augmentation, seed
        How the training samples are varied, and the seed of that; None = not varied.

    Raises
    ------
    ValueError
        If a bag is wrong or too short, or a sensor is missing in all training samples.

    """
    opened = partial(open_cache, options=cache, synchronizer=synchronizer, offsets=offsets)
    if len(paths) == 1:
        bags = [opened(paths[0], sensors, topics=topics)]
    else:
        bags = [
            _with_all_sensors(opened(
                path, [spec for spec in sensors if spec.name in found.topics], topics=found.topics,
                offsets={n: by for n, by in (offsets or {}).items() if n not in found.absent},
            ), sensors, found)
            for path, found in zip(paths, _find_topics(paths, sensors, topics), strict=True)
        ]
    for bag in bags:
        print('\n'.join(bag.report()), file=sys.stderr)
    chosen = [_split(bag, splits or SplitOptions()) for bag in bags]
    training, validation, test = (
        RecordedSamples(bags, [rows[part] for rows in chosen]) for part in range(3)
    )
    present = np.any(training.availability(), axis=0)
    for spec, is_present in zip(sensors, present, strict=True):
        if not is_present:
            names = ', '.join(
                f'{bag.path} (topic {bag.description["topics"].get(spec.name, "absent")})'
                for bag in bags
            )
            raise ValueError(
                f'{names}: sensor {spec.name} is in none of the training samples: record it '
                f'for longer, or take it out of the sensors'
            )
    names = ', '.join(bag.path.name for bag in bags)
    return SplitSamples(with_augmentation(training, augmentation, seed), validation, test, {
        'training': f'{len(training)} fused sets of {names}',
        'validation': f'{len(validation)} fused sets of other times of {names}',
        'test': f'{len(test)} fused sets of other times of {names}',
        'bags': [
            {
                'name': bag.path.name, 'key': bag.folder.name, 'sets': bag.sets.subset_counts(),
                **bag.description,
            }
            for bag in bags
        ],
    })


def _find_topics(
    paths: Sequence[Path], sensors: Sequence[SensorSpec], chosen: Mapping[str, str] | None
) -> list[FoundTopics]:
    """Return for each bag which sensors it has, and say which it lacks; each must be in some."""
    found = []
    for path in paths:
        with Bag(path) as bag:
            found.append(find_topics(bag, sensors, chosen, require_chosen=False))
    for path, each in zip(paths, found, strict=True):
        for remark in each.remarks():
            print(f'{path}: {remark}', file=sys.stderr)
    for spec in sensors:
        if not any(spec.name in each.topics for each in found):
            whys = '; '.join(
                f'{path}: {each.absent[spec.name]}'
                for path, each in zip(paths, found, strict=True)
            )
            raise ValueError(
                f'sensor {spec.name} is in none of the bags: {whys}. Take it out of the sensors, '
                f'or add a bag that has it'
            )
    return found


def _with_all_sensors(
    bag: CachedBag, sensors: Sequence[SensorSpec], found: FoundTopics
) -> CachedBag:
    """Return a bag of some of the sensors as one of all, in which the others are missing."""
    return replace(
        bag, sensors=tuple(sensors), sets=bag.sets.widened([spec.name for spec in sensors]),
        description={**bag.description, 'absent': dict(found.absent)},
    )


def _split(bag: CachedBag, options: SplitOptions) -> SplitRows:
    try:
        return split_by_time(bag.sets.stamps, options)
    except ValueError as error:
        raise ValueError(f'{bag.path}: {error}') from error

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Where samples come from: the simulated robot, or recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import pi
from pathlib import Path
import sys
from typing import Any

import numpy as np
from tqdm import tqdm

from m2vae_ros.learning.augmentation import AugmentationOptions, AugmentedSamples
from m2vae_ros.learning.cache import CachedBag, CacheOptions, open_cache
from m2vae_ros.learning.dataset import SampleDataset
from m2vae_ros.learning.evaluation import View
from m2vae_ros.learning.recorded import RecordedSamples
from m2vae_ros.learning.splits import Split, split, SplitOptions
from m2vae_ros.simulation.generator import generate, world_seeds
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.simulation.sensing import HALF_VIEW
from m2vae_ros.specs import SensorSpec


@dataclass(frozen=True, eq=False)
class Splits:
    """
    Samples to learn from, to choose by and to report on.

    Parameters
    ----------
    training, validation, test
        The samples.
    description
        What they are, in JSON types, for the model's header: ``training``, ``validation``,
        ``test`` in words.
    views
        Sensor -> a part of it to report beside the whole.

    """

    training: SampleDataset
    validation: SampleDataset
    test: SampleDataset
    description: Mapping[str, Any]
    views: Mapping[str, View] = field(default_factory=dict)


@dataclass(frozen=True)
class SimulationOptions:
    """
    Of the samples of the simulated robot.

    Parameters
    ----------
    worlds
        Simulated worlds to drive in.
    samples_per_world
        Samples taken in each world.
    test_worlds
        Held-out worlds to report the errors on.
    validation_worlds
        Held-out worlds to fit the temperatures of the posteriors on.
    processes
        Processes that generate samples, or decode those of bags.

    """

    worlds: int = 4000
    samples_per_world: int = 16
    test_worlds: int = 100
    validation_worlds: int = 24
    processes: int = 2

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ValueError(f'--{name.replace("_", "-")} {value}: must be 1 or more')


def simulated(
    options: SimulationOptions, *, augmentation: AugmentationOptions | None = None, seed: int = 0
) -> Splits:
    """
    Generate the simulated robot's samples; shows progress bars.

    Parameters
    ----------
    options
        How many.
    augmentation, seed
        How the samples to learn from are varied; None = not at all.

    """
    each = f'{options.samples_per_world} samples in each'
    return Splits(
        training=_augmented(_generated('train', options.worlds, options), augmentation, seed),
        validation=_generated('validation', options.validation_worlds, options),
        test=_generated('test', options.test_worlds, options),
        description={
            'training': f'simulated: {options.worlds} training worlds, {each}',
            'validation': f'simulated: {options.validation_worlds} validation worlds, {each}',
            'test': f'simulated: {options.test_worlds} held-out worlds, {each}',
        },
        views={'lidar': _front()},
    )


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
    return Splits(_augmented(training, augmentation, seed), validation, test, {
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


def _augmented(
    samples: SampleDataset, options: AugmentationOptions | None, seed: int
) -> SampleDataset:
    if options is None or not options.vary:
        return samples
    return AugmentedSamples(samples, options, seed=seed)


def _generated(part: str, worlds: int, options: SimulationOptions) -> SampleDataset:
    with tqdm(total=worlds, desc=f'{part} worlds', file=sys.stderr) as bar:
        def advance(done: int, _: int) -> None:
            bar.update(done - bar.n)

        samples = generate(
            world_seeds(part, worlds),
            options.samples_per_world,
            processes=options.processes,
            progress=advance,
        )
    return SampleDataset(SENSORS, samples.sensors)


def _front() -> View:
    """Return the bearings of the lidar that lie in the camera's view."""
    (bearings,) = next(spec.shape for spec in SENSORS if spec.name == 'lidar')
    angles = -pi + (np.arange(bearings) + 0.5) * 2 * pi / bearings
    return View('front', np.abs(angles) <= HALF_VIEW)

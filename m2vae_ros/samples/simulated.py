# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Samples of the simulated robot."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
import sys

import numpy as np
from tqdm import tqdm

from m2vae_ros.parent import MOST_PROCESSES
from m2vae_ros.samples.augmentation import AugmentationOptions, with_augmentation
from m2vae_ros.samples.dataset import SampleDataset
from m2vae_ros.samples.sources import SplitSamples, View
from m2vae_ros.simulation.generator import generate, world_seeds
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.simulation.sensing import HALF_VIEW


@dataclass(frozen=True)
class SimulationOptions:
    """
    How many samples of the simulated robot to generate.

    Parameters
    ----------
    worlds
        Simulated worlds to train in.
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
        if self.processes > MOST_PROCESSES:
            raise ValueError(f'--processes {self.processes}: must be at most {MOST_PROCESSES}')


def samples_from_simulation(
    options: SimulationOptions, *, augmentation: AugmentationOptions | None = None, seed: int = 0
) -> SplitSamples:
    """
    Generate the simulated robot's samples; shows progress bars.

    Parameters
    ----------
    options
        How many samples.
    augmentation, seed
        How the training samples are varied, and the seed of that; None = not varied.

    """
    each = f'{options.samples_per_world} samples in each'
    training = _generated('train', options.worlds, options)
    return SplitSamples(
        training=with_augmentation(training, augmentation, seed),
        validation=_generated('validation', options.validation_worlds, options),
        test=_generated('test', options.test_worlds, options),
        description={
            'training': f'simulated: {options.worlds} training worlds, {each}',
            'validation': f'simulated: {options.validation_worlds} validation worlds, {each}',
            'test': f'simulated: {options.test_worlds} held-out worlds, {each}',
        },
        views={'lidar': _front_view()},
    )


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


def _front_view() -> View:
    """Return the bearings of the lidar that lie in the camera's field of view."""
    (bearings,) = next(spec.shape for spec in SENSORS if spec.name == 'lidar')
    angles = -pi + (np.arange(bearings) + 0.5) * 2 * pi / bearings
    return View('front', np.abs(angles) <= HALF_VIEW)

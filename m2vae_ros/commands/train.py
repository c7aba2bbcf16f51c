# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""`m2vae train`: train a model on recordings, or on the simulated robot."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import nullcontext, redirect_stderr
from dataclasses import asdict, replace
from io import StringIO
from math import ceil
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic

from m2vae_ros import installation
from m2vae_ros.bags.sensors_file import read_sensors
from m2vae_ros.commands.option_flags import (
    add_offset_option,
    add_options,
    changed_options,
    options_of,
    sensor_offsets,
    sensor_topics,
)
from m2vae_ros.evaluation.calibration import CalibrationOptions
from m2vae_ros.fusion.options import SynchronizerOptions
from m2vae_ros.samples.augmentation import AugmentationOptions
from m2vae_ros.samples.cache import CacheOptions
from m2vae_ros.samples.recorded import samples_from_bags
from m2vae_ros.samples.simulated import samples_from_simulation, SimulationOptions
from m2vae_ros.samples.sources import SplitSamples
from m2vae_ros.samples.splits import SplitOptions
from m2vae_ros.training import dry_run
from m2vae_ros.training.closing import train_and_save
from m2vae_ros.training.distributed import World
from m2vae_ros.training.options import TrainingOptions
from m2vae_ros.training.run_folder import RunFolder
from m2vae_ros.training.training import fit_batch_size
from m2vae_ros.vae.model import Architecture
from m2vae_ros.vae.subsets import Subset

_LARGEST_LAYER = 2**14  # with as many inputs it has a gigabyte of weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; the defaults are those of the dataclasses."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        '--simulated', action='store_true', help='train on samples of the simulated robot',
    )
    source.add_argument(
        '--bag', type=Path, action='append', metavar='BAG',
        help='train on this recording: the folder of a ROS 2 bag, an .mcap, .db3 or .bag file; '
             'may be given several times',
    )
    parser.add_argument(
        '--sensors', type=Path, metavar='FILE',
        help='with --bag: file of the sensors of the model, as m2vae sensors proposes it',
    )
    parser.add_argument(
        '--topic', action='append', default=[], metavar='SENSOR=TOPIC',
        help="with --bag: a sensor's topic in the bags, where it is not its own; of several bags, "
        "those that lack it have the sensor's own; may be repeated",
    )
    parser.add_argument(
        '--out', type=Path, required=True,
        help='the model file to write, .safetensors; logs and checkpoints go to a folder beside '
             'it, .run',
    )
    parser.add_argument(
        '--resume', action='store_true',
        help='resume from the checkpoint of this model file, if there is one; the result is that '
             'of a training which was not interrupted',
    )
    parser.add_argument(
        '--dry-run', action='store_true',
        help='print what would be trained and how long it would take; writes nothing but the '
             'cache of the bags',
    )
    for group in (
        TrainingOptions, Architecture, AugmentationOptions, CalibrationOptions, SplitOptions,
    ):
        add_options(parser, group)
    add_options(parser, SimulationOptions)
    add_options(parser, CacheOptions, exclude=('processes',))
    add_offset_option(parser)
    add_options(parser, SynchronizerOptions)


def run(arguments: argparse.Namespace) -> int:
    """Train, report on held-out samples, write the model; return the exit code."""
    options = options_of(TrainingOptions, arguments)
    architecture = options_of(Architecture, arguments)
    calibration = options_of(CalibrationOptions, arguments)
    world = World.of(options)
    _check(arguments)
    if arguments.dry_run:
        if world.is_first:
            print(_describe(arguments, options, architecture))
        return 0
    started = monotonic()
    with RunFolder.of(arguments.out).lock() if world.is_first else nullcontext():
        with nullcontext() if world.is_first else redirect_stderr(StringIO()):
            splits = _load_samples(arguments)
            options = fit_batch_size(splits.training, options, world)
        report = train_and_save(
            arguments.out, splits, options, architecture, calibration, resume=arguments.resume,
            started=started,
        )
    if world.is_first:
        print(report)
    return 0


def _load_samples(
    arguments: argparse.Namespace, simulation: SimulationOptions | None = None
) -> SplitSamples:
    """Return the samples of the bags, or of the simulation; None = as its flags say."""
    augmentation = options_of(AugmentationOptions, arguments)
    if arguments.simulated:
        splits = samples_from_simulation(
            simulation or options_of(SimulationOptions, arguments),
            augmentation=augmentation, seed=arguments.seed,
        )
        settings = {}
    else:
        split = options_of(SplitOptions, arguments)
        splits = samples_from_bags(
            arguments.bag, read_sensors(arguments.sensors),
            cache=options_of(CacheOptions, arguments), splits=split,
            topics=sensor_topics(arguments.topic),
            synchronizer=asdict(options_of(SynchronizerOptions, arguments)),
            offsets=sensor_offsets(arguments.offset),
            augmentation=augmentation, seed=arguments.seed,
        )
        settings = {'split': asdict(split)}
    if augmentation.is_active:
        settings['augmentation'] = asdict(augmentation)
    return replace(splits, description={**splits.description, **settings})


def _describe(
    arguments: argparse.Namespace, options: TrainingOptions, architecture: Architecture
) -> str:
    """Return what would be trained as text; generates only as many worlds as one batch needs."""
    counted: Mapping[str, Mapping[Subset, int]] | None = None
    if arguments.simulated:
        simulation = options_of(SimulationOptions, arguments)
        per_world = simulation.samples_per_world
        few = min(simulation.worlds, ceil(options.batch_size / per_world))
        splits = _load_samples(
            arguments, replace(simulation, worlds=few, validation_worlds=1, test_worlds=1)
        )
        names = tuple(spec.name for spec in splits.training.sensors)
        counted = {
            'training': {names: simulation.worlds * per_world},
            'validation': {names: simulation.validation_worlds * per_world},
            'test': {names: simulation.test_worlds * per_world},
        }
    else:
        splits = _load_samples(arguments)
    return dry_run.describe(
        {'training': splits.training, 'validation': splits.validation, 'test': splits.test},
        fit_batch_size(splits.training, options), architecture, counted=counted,
    )


def _check(arguments: argparse.Namespace) -> None:
    """Check the arguments now that would otherwise fail after hours of training."""
    for name in ('latent_size', 'feature_size', 'hidden_size'):
        if getattr(arguments, name) > _LARGEST_LAYER:
            raise ValueError(
                f'--{name.replace("_", "-")} {getattr(arguments, name)}: must be at most '
                f'{_LARGEST_LAYER}'
            )
    options_of(SimulationOptions, arguments)
    options_of(CacheOptions, arguments)
    options_of(SplitOptions, arguments)
    options_of(AugmentationOptions, arguments)
    sensor_topics(arguments.topic)
    sensor_offsets(arguments.offset)
    if arguments.bag and arguments.sensors is None:
        bag = arguments.bag[0]
        proposing = installation.command(f'sensors --bag {bag} --out FILE')
        raise ValueError(f'--bag {bag}: needs --sensors FILE; {proposing} proposes one')
    for flag, given in (
        ('--sensors', arguments.sensors), ('--topic', arguments.topic),
        ('--offset', arguments.offset), *changed_options(SynchronizerOptions, arguments).items(),
    ):
        if arguments.simulated and given is not None and given != []:
            raise ValueError(f'{flag}: belongs to --bag, not to --simulated')
    if arguments.out.suffix != '.safetensors' or arguments.out.is_dir():
        raise ValueError(f'--out {arguments.out}: must be a file that ends in .safetensors')
    if arguments.dry_run:
        return
    try:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=arguments.out.parent):
            pass
    except OSError as error:
        raise ValueError(
            f'--out {arguments.out}: its folder cannot be written: {error.strerror}'
        ) from error

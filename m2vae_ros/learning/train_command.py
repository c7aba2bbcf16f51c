# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""`m2vae train`: a model from the simulated robot."""

from __future__ import annotations

import argparse
from dataclasses import asdict, fields, replace
from inspect import cleandoc
from math import pi
from pathlib import Path
import sys
from tempfile import TemporaryFile
from time import monotonic

import numpy as np
from tqdm import tqdm

from m2vae_ros import __version__
from m2vae_ros.learning import calibration
from m2vae_ros.learning.calibration import CalibrationOptions
from m2vae_ros.learning.dataset import SampleDataset
from m2vae_ros.learning.evaluation import reconstruction_errors, table, View
from m2vae_ros.learning.training import train, TrainingOptions
from m2vae_ros.simulation.generator import generate, world_seeds
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.simulation.sensing import HALF_VIEW
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.header import ModelHeader
from m2vae_ros.vae.model import Architecture, M2VAE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; the defaults are those of the dataclasses."""
    parser.add_argument(
        '--simulated', action='store_true', required=True,
        help='learn from the simulated robot (the source of samples)',
    )
    parser.add_argument('--out', type=Path, required=True, help='the model file to write')
    parser.add_argument('--worlds', type=int, default=4000, help='simulated worlds to drive in')
    parser.add_argument(
        '--samples-per-world', type=int, default=16, help='samples taken in each world'
    )
    parser.add_argument(
        '--test-worlds', type=int, default=100, help='held-out worlds to report the errors on'
    )
    parser.add_argument(
        '--validation-worlds', type=int, default=24,
        help='held-out worlds to fit the temperatures of the posteriors on',
    )
    parser.add_argument(
        '--processes', type=int, default=2, help='processes that generate samples'
    )
    for group in (TrainingOptions, Architecture, CalibrationOptions):
        told = _descriptions(group)
        for option in fields(group):
            parser.add_argument(
                f'--{option.name.replace("_", "-")}',
                type=float if option.default is None else type(option.default),
                default=option.default,
                help=told[option.name].replace('%', '%%') + ' Default: %(default)s.',
            )


def run(arguments: argparse.Namespace) -> int:
    """Generate, train, report on held-out worlds, write the model; return the exit code."""
    options = TrainingOptions(
        **{option.name: getattr(arguments, option.name) for option in fields(TrainingOptions)}
    )
    architecture = Architecture(
        **{option.name: getattr(arguments, option.name) for option in fields(Architecture)}
    )
    references = CalibrationOptions(
        **{option.name: getattr(arguments, option.name) for option in fields(CalibrationOptions)}
    )
    _check(arguments)
    started = monotonic()
    training_data = _samples('train', arguments.worlds, arguments)
    model = train(training_data, options, architecture)
    seconds = monotonic() - started
    header = checkpoint.describe(
        model,
        objective=options.describe_objective(),
        provenance={
            'data': f'simulated: {arguments.worlds} training worlds, '
                    f'{arguments.samples_per_world} samples in each',
            'package_version': __version__,
            'options': asdict(options),
            'seconds': round(seconds),
        },
    )
    checkpoint.save(arguments.out, model, header)  # whatever happens while it is measured
    header, report = measured(model, header, references, arguments)
    checkpoint.save(arguments.out, model, header)
    size = arguments.out.stat().st_size / 1e6
    print(f'{report}\n{arguments.out}: {size:.1f} MB, {seconds / 60:.0f} min')
    return 0


def measured(
    model: M2VAE, header: ModelHeader, references: CalibrationOptions,
    arguments: argparse.Namespace,
) -> tuple[ModelHeader, str]:
    """Return the header with evaluation and calibration on held-out worlds, and their tables."""
    test_data = _samples('test', arguments.test_worlds, arguments)
    errors = reconstruction_errors(model, test_data, views={'lidar': _front()})
    validation_data = _samples('validation', arguments.validation_worlds, arguments)
    fitted = calibration.fit(calibration.hold_out(model, validation_data, references))
    covered = calibration.judge(calibration.hold_out(model, test_data, references), fitted)
    header = replace(
        header,
        evaluation={
            'data': f'simulated: {arguments.test_worlds} held-out worlds, '
                    f'{arguments.samples_per_world} samples in each',
            'reconstruction': [error.to_dict() for error in errors],
            'calibration': covered,
        },
        calibration={
            'data': f'simulated: {arguments.validation_worlds} validation worlds', **fitted
        },
    )
    return header, (
        "Error over the mean predictor's, held-out worlds "
        f'(columns: reconstructed, rows: from):\n{table(errors)}\n'
        'Share of references within the regions of their posteriors, held-out worlds:\n'
        f'{calibration.table(covered)}'
    )


def _descriptions(group: type) -> dict[str, str]:
    """Return what the docstring of a dataclass says of each parameter."""
    found: dict[str, str] = {}
    name = ''
    for line in cleandoc(group.__doc__ or '').splitlines():
        if line.startswith(' '):
            found[name] = f'{found.get(name, "")} {line.strip()}'.strip()
        else:
            name = line
    return found


def _check(arguments: argparse.Namespace) -> None:
    """Refuse now what would otherwise fail after hours of training."""
    for name in ('worlds', 'samples_per_world', 'test_worlds', 'validation_worlds', 'processes'):
        if getattr(arguments, name) < 1:
            raise ValueError(
                f'--{name.replace("_", "-")} {getattr(arguments, name)}: must be 1 or more'
            )
    if arguments.out.suffix != '.safetensors' or arguments.out.is_dir():
        raise ValueError(f'--out {arguments.out}: must be a file that ends in .safetensors')
    try:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=arguments.out.parent):
            pass
    except OSError as error:
        raise ValueError(
            f'--out {arguments.out}: its folder cannot be written: {error.strerror}'
        ) from error


def _samples(split: str, worlds: int, arguments: argparse.Namespace) -> SampleDataset:
    with tqdm(total=worlds, desc=f'{split} worlds', file=sys.stderr) as bar:
        def advance(done: int, _: int) -> None:
            bar.update(done - bar.n)

        samples = generate(
            world_seeds(split, worlds),
            arguments.samples_per_world,
            processes=arguments.processes,
            progress=advance,
        )
    return SampleDataset(SENSORS, samples.sensors)


def _front() -> View:
    """Return the bearings of the lidar that lie in the camera's view."""
    (bearings,) = next(spec.shape for spec in SENSORS if spec.name == 'lidar')
    angles = -pi + (np.arange(bearings) + 0.5) * 2 * pi / bearings
    return View('front', np.abs(angles) <= HALF_VIEW)

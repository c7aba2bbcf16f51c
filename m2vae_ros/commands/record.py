# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""`m2vae record`: record a drive of the simulated robot to a bag, with faults on request."""

from __future__ import annotations

import argparse
from pathlib import Path
import signal
import sys
from time import monotonic
from typing import Any

from tqdm import tqdm

from m2vae_ros.samples.recording import CAMERAS, DriveOptions, record, topics
from m2vae_ros.simulation.fault_schedule import KINDS, parse
from m2vae_ros.simulation.robot import SENSORS

_DEFAULTS = DriveOptions()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; the defaults are those of the dataclass."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _fault_help()
    parser.add_argument('--out', type=Path, required=True, help='the folder of the bag to write')
    parser.add_argument(
        '--seconds', type=float, default=_DEFAULTS.seconds,
        help='length of the drive (default %(default)g)',
    )
    parser.add_argument(
        '--seed', type=int, default=_DEFAULTS.seed,
        help='seed of world, path and noise (default %(default)s: a world that no model is '
             'trained on)',
    )
    parser.add_argument(
        '--camera', choices=CAMERAS, default=_DEFAULTS.camera,
        help='raw: Image on camera/image_raw, 27 MB per second; jpeg: CompressedImage on '
             'camera/image_raw/compressed (default %(default)s)',
    )
    parser.add_argument(
        '--stamp-jitter', type=float, default=_DEFAULTS.stamp_jitter, metavar='SECONDS',
        help='how far stamps are behind the time of measurement, standard deviation '
             '(default %(default)s)',
    )
    parser.add_argument(
        '--fault', nargs='+', action='extend', default=[],
        metavar='SENSOR:KIND[=VALUE][@FROM-TO]', help='faults of sensors, see below',
    )
    parser.add_argument(
        '--storage', choices=('mcap', 'sqlite3'), default='mcap',
        help='storage format of the bag (default %(default)s)',
    )
    parser.add_argument(
        '--compression', choices=('zstd',), help='compress the messages (default: no compression)'
    )


def run(arguments: argparse.Namespace) -> int:
    """Record a drive; return the exit code."""
    options = DriveOptions(
        arguments.seconds, arguments.seed, arguments.camera, arguments.stamp_jitter
    )
    faults = [parse(text, SENSORS) for text in arguments.fault]
    for fault, text in zip(faults, arguments.fault, strict=True):
        if fault.begin >= options.seconds:
            raise ValueError(
                f'--fault {text}: begins after the drive of {options.seconds:g} s is over'
            )
    signal.signal(signal.SIGTERM, _interrupt)
    started = monotonic()
    with tqdm(
        total=options.seconds, desc='driving', file=sys.stderr,
        bar_format='{desc}: {percentage:3.0f}%|{bar}| {n:.0f} of {total:.0f} s '
                   '[{elapsed}<{remaining}]',
    ) as bar:
        def advance(seconds: float) -> None:
            bar.update(seconds - bar.n)

        counts = record(
            arguments.out, options, faults, storage=arguments.storage,
            compression=arguments.compression, progress=advance,
        )
        advance(options.seconds)
    elapsed = monotonic() - started
    for topic, kind in topics(options).items():
        print(f'{counts[topic]:7} x {topic} ({kind})')
    size = sum(path.stat().st_size for path in arguments.out.rglob('*') if path.is_file())
    print(
        f'{arguments.out}: {options.seconds:g} s of driving, {size / 1e6:.1f} MB, in '
        f'{elapsed:.1f} s ({options.seconds / elapsed:.1f} times real time)'
    )
    return 0


def _fault_help() -> str:
    """Return the help text about faults."""
    kinds = [
        f'  {f"{name}={kind.value}" if kind.value else name:18}{kind.meaning}'
        + ('' if len(kind.sensor_kinds) == 3 else f' ({", ".join(_sensors_with(kind))} only)')
        for name, kind in KINDS.items()
    ]
    return '\n'.join([
        'faults: SENSOR:KIND[=VALUE][@FROM-TO]',
        f'  SENSOR is one of {", ".join(spec.name for spec in SENSORS)}; FROM and TO are seconds '
        'of the drive.',
        '  Without TO a fault lasts until the end, without @ during the whole drive. KIND is one '
        'of:',
        *kinds,
        'examples: --fault camera:silent@10-20 lidar:lost=0.3@5- depth:offset=0.25',
    ])


def _sensors_with(kind: Any) -> list[str]:
    return [spec.name for spec in SENSORS if spec.kind in kind.sensor_kinds]


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
From a bag to a report: the time and memory of each command.

A simulated drive is recorded (camera as JPEG), a sensors file proposed, the bag decoded, a model
trained on it twice (the second time from the cache), and evaluated, all by the `m2vae` command.
Then the same is done with a short and a long bag of raw images and one training step, to see
whether the memory grows.

    python benchmarks/bag_to_report.py
    python benchmarks/bag_to_report.py --minutes 1 --steps 20 --raw-minutes 0.5 1
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
import shutil
from statistics import median
import sys
import tempfile
import time
from typing import Any

from process_tree import Measured, run, seconds_until
import results

M2VAE = (sys.executable, '-m', 'm2vae_ros.cli')
DECODE = """
from pathlib import Path
import sys
from m2vae_ros.samples.cache import CacheOptions, open_cache
from m2vae_ros.bags.sensors_file import read_sensors
if __name__ == '__main__':
    bag, sensors = map(Path, sys.argv[1:])
    cached = open_cache(bag, read_sensors(sensors), CacheOptions())
    print(len(cached.sets), 'fused sets')
"""
RECORDS = Path(__file__).resolve().parent / 'results'
GIBIBYTE = 2**30
RELEASE_LARGE_BLOCKS = {'MALLOC_MMAP_THRESHOLD_': str(2**20)}  # environment of glibc's malloc
Stages = Mapping[str, Measured]  # command -> its time and memory


def main() -> None:
    """Measure and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--minutes', type=float, default=10, help='length of the drive')
    parser.add_argument('--steps', type=int, default=3000, help='training steps')
    parser.add_argument(
        '--raw-minutes', type=float, nargs=2, default=(2, 8),
        help='lengths of the two bags of raw images, 1.6 GB for each minute',
    )
    parser.add_argument('--folder', type=Path, help='where the bags go; default: temporary')
    parser.add_argument('--out', type=Path, default=RECORDS / 'bag_to_report.json')
    arguments = parser.parse_args()
    started = time.monotonic()
    if arguments.folder is not None:
        arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        stages = run_all_commands(Path(folder), arguments.minutes, arguments.steps)
        starts = [time_to_first_step(Path(folder)) for _ in range(5)]
        raw = [run_on_raw_images(Path(folder), minutes) for minutes in arguments.raw_minutes]
    written = '' if (arguments.minutes, arguments.steps) == (10, 3000) else (
        f' --minutes {arguments.minutes:g} --steps {arguments.steps}'
    )
    results.write(
        arguments.out, 'bag_to_report', f'python benchmarks/bag_to_report.py{written}', started,
        tables(stages, arguments, raw), bars(stages, starts, arguments, raw),
    )
    print(arguments.out.read_text())


def run_all_commands(folder: Path, minutes: float, steps: int) -> dict[str, Measured]:
    """Run every command once, as a user would; return command -> its time and memory."""
    bag, sensors, report = folder / 'drive', folder / 'sensors.yaml', folder / 'report'
    model = folder / 'model.safetensors'
    stages = {
        'record': command('record', '--out', bag, '--seconds', 60 * minutes, '--camera', 'jpeg'),
        'sensors': command('sensors', '--bag', bag, '--out', sensors),
        'decode': decode(folder, bag, sensors),
        'train': command(
            'train', '--bag', bag, '--sensors', sensors, '--steps', steps, '--out', model
        ),
        'evaluate': command('evaluate', '--model', model, '--bag', bag, '--report', report),
    }
    for name in ('report.html', 'metrics.json'):
        if not (report / name).is_file():
            raise SystemExit(f'{report / name} was not written')
    return stages


def time_to_first_step(folder: Path) -> float:
    """Train again on the drive, with its cache, and return the seconds to the first step."""
    model = folder / 'again.safetensors'
    run_folder = model.with_suffix('.run')
    try:
        return seconds_until(
            m2vae(
                'train', '--bag', folder / 'drive', '--sensors', folder / 'sensors.yaml',
                '--steps', 1, '--out', model,
            ),
            lambda: any(path.stat().st_size > 0 for path in run_folder.rglob('metrics.csv')),
        )
    finally:
        shutil.rmtree(run_folder)


def m2vae(*words: object) -> list[str]:
    """Return the words of an `m2vae` command line."""
    return [*M2VAE, *map(str, words)]


def command(*words: object) -> Measured:
    """Run an `m2vae` command and measure it."""
    return run(m2vae(*words))


def decode(folder: Path, bag: Path, sensors: Path) -> Measured:
    """Decode a bag into its cache and measure it."""
    script = folder / 'decode.py'
    script.write_text(DECODE)
    return run([sys.executable, str(script), str(bag), str(sensors)])


def run_on_raw_images(folder: Path, minutes: float) -> dict[str, Measured]:
    """
    Record a bag of raw images, decode it, train one step, evaluate on it, and remove it.

    The allocator is told to release large blocks as soon as they are free. By default it keeps
    some, and the peak of the same command differs by 10 % from run to run.
    """
    bag, sensors, report = folder / 'raw', folder / 'raw.yaml', folder / 'raw_report'
    model, cache = folder / 'raw.safetensors', folder / 'raw.m2vae_cache'
    command('record', '--out', bag, '--seconds', 60 * minutes, '--camera', 'raw')
    command('sensors', '--bag', bag, '--out', sensors)
    stages = {
        'decode': decode(folder, bag, sensors),
        'train, 1 step': run(
            m2vae('train', '--bag', bag, '--sensors', sensors, '--steps', 1, '--out', model),
            RELEASE_LARGE_BLOCKS,
        ),
        'evaluate': run(
            m2vae('evaluate', '--model', model, '--bag', bag, '--report', report),
            RELEASE_LARGE_BLOCKS,
        ),
    }
    for path in (bag, cache, report, model.with_suffix('.run')):
        shutil.rmtree(path)
    for path in (sensors, model):
        path.unlink()
    return stages


def peak(stages: Stages) -> int:
    """Return the largest peak memory of all commands, bytes."""
    return max(measured.peak_bytes for measured in stages.values())


def gibibytes(size: int) -> str:
    """Return a size as text."""
    return f'{size / GIBIBYTE:.2f} GiB'


def tables(
    stages: Stages, arguments: argparse.Namespace, raw: Sequence[Stages]
) -> list[dict[str, Any]]:
    """Return the table of each command's time and memory."""
    columns = ['Command', 'Seconds', 'Times real time', 'Peak memory', 'Resident, summed up']
    drive = 60 * arguments.minutes
    rows = [table_row(name, drive, measured) for name, measured in stages.items()]
    rows += [
        table_row(f'{minutes:g} min of raw images: {name}', 60 * minutes, measured)
        for minutes, of_raw in zip(arguments.raw_minutes, raw, strict=True)
        for name, measured in of_raw.items()
    ]
    return [results.table(
        f'A simulated drive of {arguments.minutes:g} min, camera as JPEG, {arguments.steps} '
        f'training steps', columns, rows,
        'Memory is that of a command and all its processes: what they share counts once, or, in '
        'the last column, for each of them. From the first row of raw images on, training and '
        'evaluation run with '
        + ' '.join(f'{name}={value}' for name, value in RELEASE_LARGE_BLOCKS.items())
        + ': slower, with a peak that is the same in every run.',
    )]


def table_row(name: str, seconds: float, measured: Measured) -> list[str]:
    """Return the row of a command, run on a drive of some seconds."""
    return [
        name, f'{measured.seconds:.1f}', f'{seconds / measured.seconds:.1f}',
        gibibytes(measured.peak_bytes), gibibytes(measured.peak_resident_bytes),
    ]


def bars(
    stages: Stages, starts: Sequence[float], arguments: argparse.Namespace, raw: Sequence[Stages]
) -> list[dict[str, Any]]:
    """Return the bars: what is required, and what was measured."""
    drive = 60 * arguments.minutes
    total = sum(measured.seconds for name, measured in stages.items() if name != 'record')
    rate = drive / stages['decode'].seconds
    highest = max(map(peak, [stages, *raw]))
    growth = peak(raw[1]) / peak(raw[0]) - 1
    start = median(starts)
    short, long = arguments.raw_minutes
    return [
        results.bar(
            f'from a bag of {arguments.minutes:g} min to its report in under 60 min',
            f'{total / 60:.1f} min', total < 3600,
        ),
        results.bar('decode at least 10 times real time', f'{rate:.1f} times', rate >= 10),
        results.bar('peak memory under 2 GiB', gibibytes(highest), highest < 2 * GIBIBYTE),
        results.bar(
            f'the same on the whole road for {short:g} and {long:g} min of raw images, to 5 %',
            f'{growth:+.1%}', abs(growth) <= 0.05,
        ),
        results.bar(
            'the first step of a second run is done in under 5 s, median of 5 runs',
            f'{start:.1f} s ({min(starts):.1f} to {max(starts):.1f})', start < 5,
        ),
    ]


if __name__ == '__main__':
    main()

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""`m2vae sensors`: propose a sensors file for a bag."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from m2vae_ros import installation
from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.sensors_file import propose


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        '--bag', type=Path, required=True,
        help='the folder of a ROS 2 bag, a .mcap or .db3 file, or the .bag file of a ROS 1 bag',
    )
    parser.add_argument(
        '--out', type=Path,
        help='the sensors file to write; must not exist (default: print it)',
    )


def run(arguments: argparse.Namespace) -> int:
    """Propose a sensors file; return the exit code."""
    if arguments.out is not None and arguments.out.exists():
        raise ValueError(f'--out {arguments.out}: exists already: give another path, or remove it')
    with Bag(arguments.bag) as bag:
        text = propose(bag)
    if arguments.out is None:
        print(text, end='')
    else:
        _write(arguments.out, text)
        train = installation.command(f'train --bag {arguments.bag} --sensors {arguments.out}')
        print(f'wrote {arguments.out}: check and edit it, then {train} --out MODEL.safetensors')
    return 0


def _write(path: Path, text: str) -> None:
    """Write a file atomically."""
    aside = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        aside.write_text(text, encoding='utf-8')
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise ValueError(f'--out {path}: cannot be written: {error.strerror}') from error

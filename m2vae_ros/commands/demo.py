# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""`m2vae demo`: simulated robot and fusion node as processes; sensors die and come back."""

from __future__ import annotations

import argparse
from pathlib import Path
import signal
from typing import Any

from rich.console import Console

from m2vae_ros.demo.demonstration import demonstrate
from m2vae_ros.demo.processes import ENDING_SIGNALS
from m2vae_ros.node.share import shared_file
from m2vae_ros.simulation.generator import world_seeds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('--out', type=Path, required=True, help='folder for picture and summary')
    parser.add_argument(
        '--model', type=Path, help='model file (default: the one that the package installs)',
    )
    parser.add_argument(
        '--seconds', type=float, default=8.0, help='length of a phase (default %(default)s)'
    )
    parser.add_argument(
        '--seed', type=int, default=world_seeds('test', 1)[0],
        help="seed of the robot's world (default %(default)s: one that no model is trained on)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; return the exit code."""
    if arguments.seconds < 1:
        raise ValueError(f'--seconds {arguments.seconds}: a phase needs 1 s or more')
    path = arguments.model or shared_file('config', 'models', 'default.safetensors')
    for ending in ENDING_SIGNALS[1:]:
        if signal.getsignal(ending) != signal.SIG_IGN:  # as after nohup
            signal.signal(ending, _interrupt)
    console = Console()
    summary = demonstrate(
        path, arguments.out, seconds=arguments.seconds, seed=arguments.seed, console=console
    )
    _print_summary(console, summary)
    console.print(f'wrote {arguments.out}/demo.png and summary.json', soft_wrap=True)
    return 0


def _print_summary(console: Console, summary: dict[str, Any]) -> None:
    for phase in summary['phases']:
        seconds = phase['recovery_s']
        recovery = '' if seconds is None else f', complete sets again after {seconds:.2f} s'
        console.print(
            f'{phase["title"]:12} {phase["latents"]:4} latents, '
            f'longest gap {phase["longest_gap_s"]:.2f} s{recovery}',
            soft_wrap=True,
        )
    for row in summary['reconstruction']:
        console.print(
            f'{row["sensor"]:7} from {" + ".join(row["from"]):24} error {row["error"]:.4f}, '
            f'{row["ratio"]:.2f} of the mean predictor\'s',
            soft_wrap=True,
        )


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt

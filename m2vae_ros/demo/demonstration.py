# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The demonstration: two processes, a drive in which sensors die, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
import json
import os
from pathlib import Path
import sys
import tempfile
from typing import Any

import numpy as np
from rich.console import Console
from rich.live import Live

from m2vae_ros.demo.drive import drive, Passage, Phase
from m2vae_ros.demo.picture import draw
from m2vae_ros.demo.processes import Processes
from m2vae_ros.demo.screen import screen
from m2vae_ros.demo.truth import contrast, errors, Sight, sight, Truth
from m2vae_ros.evaluation.relative_errors import RelativeError
from m2vae_ros.node.observer import Observer, observing
from m2vae_ros.node.share import large_messages_environment
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.model import M2VAE
from m2vae_ros.vae.subsets import Subset

_SIGHTS = 40  # of each phase that are measured against the truth


def demonstrate(
    path: Path, out: Path, *, seconds: float, seed: int, console: Console
) -> dict[str, Any]:
    """
    Run robot and fusion node through the phases, measure, and write picture and summary.

    Parameters
    ----------
    path
        The model file, of the simulated robot's sensors.
    out
        Folder for ``demo.png``, ``summary.json`` and the logs.
    seconds
        Length of a phase.
    seed
        Of the robot's world.
    console
        Shows the live table.

    Returns
    -------
    dict
        The summary.

    Raises
    ------
    ValueError
        If the model is of other sensors, or no latent came.

    """
    model = checkpoint.load(path).model
    strange = [spec.name for spec in model.sensors if spec not in SENSORS]
    if strange:
        raise ValueError(f"{path}: sensors {strange} are none of the simulated robot's")
    out.mkdir(parents=True, exist_ok=True)
    observer, passages = _live(path, model, out, seconds, seed, console)
    console.print('\nMeasuring against the truth ...')
    sights = _sights(observer, passages, model, seed)
    measured = errors(model, [one for of_phase in sights.values() for one in of_phase])
    summary = _summary(passages, model.names, measured)
    _write(out / 'summary.json', (json.dumps(summary, indent=2) + '\n').encode())
    rows = [(title, max(s, key=contrast)) for title, s in sights.items() if s]
    if rows:
        draw(out / 'demo.png', model.sensors, rows)
    return summary


def _live(
    path: Path, model: M2VAE, out: Path, seconds: float, seed: int, console: Console
) -> tuple[Observer, list[Passage]]:
    """Start the processes, drive through the phases, end the processes."""
    environment = {
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'ROS_DOMAIN_ID': os.environ.get('ROS_DOMAIN_ID', str(101 + os.getpid() % 100)),
        'AMENT_PREFIX_PATH': os.environ.get('AMENT_PREFIX_PATH', sys.prefix),
    }
    os.environ.update(environment)
    with Processes(out) as processes:
        processes.start(
            'robot', 'm2vae_ros.node.robot_node',
            ['--ros-args', '-p', f'seed:={seed}'], large_messages_environment(),
        )
        processes.start(
            'fusion', 'm2vae_ros.node.fusion_node',
            ['--ros-args', '-p', f'model:={path}', '-p', 'reconstruct:=all'], {},
        )
        with (
            observing(model.sensors) as observer,
            Live(console=console, auto_refresh=False, transient=False) as live,
        ):
            def show(phase: Phase, passages: Sequence[Passage]) -> None:
                live.update(screen(phase, passages, observer.arrivals, model.names))
                if console.is_terminal:
                    live.refresh()

            passages = drive(observer, processes, model.names, seconds, show)
    return observer, passages


def _sights(
    observer: Observer, passages: Sequence[Passage], model: M2VAE, seed: int
) -> dict[str, list[Sight]]:
    """Return, for each phase, moments of its settled part beside the truth."""
    truth = Truth(seed, observer.poses, model.sensors)
    sights: dict[str, list[Sight]] = {}
    for passage in passages:
        expected = tuple(name for name in model.names if name not in passage.phase.silent)
        latents = [
            arrival.latent for arrival in passage.arrivals
            if arrival.latent.subset(model.names) == expected
            and len(observer.reconstructions.get(arrival.latent.stamp_ns, {})) == len(model.names)
            and truth.covers(arrival.latent.stamp_ns)
        ]
        chosen = np.unique(np.linspace(0, len(latents) - 1, _SIGHTS).astype(int))
        sights[passage.phase.title] = [
            sight(
                truth, latents[i].stamp_ns, expected, latents[i],
                observer.reconstructions[latents[i].stamp_ns], model.sensors,
            )
            for i in (chosen if latents else ())
        ]
    return sights


def _summary(
    passages: Sequence[Passage], names: Subset, measured: Sequence[RelativeError]
) -> dict[str, Any]:
    arrivals = [arrival for passage in passages for arrival in passage.arrivals]
    if not arrivals:
        raise ValueError('not one latent came in any phase: see the logs of robot and fusion')
    latency = np.array([arrival.latency_ns for arrival in arrivals]) * 1e-6
    times = [arrival.steady_ns for arrival in arrivals] + [passages[-1].ended_ns]
    counts = Counter('+'.join(arrival.latent.subset(names)) for arrival in arrivals)
    return {
        'fused_sets': dict(counts),
        'longest_gap_s': max((b - a for a, b in pairwise(times)), default=0) * 1e-9,
        'latency_ms': {
            'p50': float(np.percentile(latency, 50)), 'p99': float(np.percentile(latency, 99)),
        },
        'phases': [
            {
                'title': passage.phase.title,
                'latents': len(passage.arrivals),
                'longest_gap_s': passage.longest_gap(),
                'recovery_s': passage.recovery(names) if passage.revived else None,
            }
            for passage in passages
        ],
        'reconstruction': [error.to_dict() for error in measured],
    }


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)

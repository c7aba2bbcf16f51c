# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The demonstration: robot and node as processes, a drive in which sensors die, and a summary."""

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

from m2vae_ros.demo.drive import drive, Phase, PhaseRecord
from m2vae_ros.demo.picture import draw
from m2vae_ros.demo.processes import Processes
from m2vae_ros.demo.screen import phase_table
from m2vae_ros.demo.truth import (
    contrast,
    GroundTruth,
    reconstruction_errors,
    Snapshot,
    take_snapshot,
)
from m2vae_ros.evaluation.relative_errors import RelativeError
from m2vae_ros.node.observer import Observer, observing
from m2vae_ros.node.share import large_messages_environment
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.model import M2VAE
from m2vae_ros.vae.subsets import Subset

_SNAPSHOTS_PER_PHASE = 40  # compared with the ground truth


def demonstrate(
    path: Path, out: Path, *, seconds: float, seed: int, console: Console
) -> dict[str, Any]:
    """
    Run robot and fusion node through the phases, measure, and write picture and summary.

    Parameters
    ----------
    path
        The model file; its sensors must be the simulated robot's.
    out
        Folder for ``demo.png``, ``summary.json`` and the logs.
    seconds
        Length of a phase.
    seed
        Seed of the robot's world.
    console
        Shows the live table.

    Returns
    -------
    dict
        The content of ``summary.json``.

    Raises
    ------
    ValueError
        If the model has other sensors, no latent arrived, or a process ended.
    TimeoutError
        If no complete set arrives, or the robot does not answer.

    """
    model = checkpoint.load(path).model
    foreign = [spec.name for spec in model.sensors if spec not in SENSORS]
    if foreign:
        raise ValueError(f"{path}: sensors {foreign} are not the simulated robot's")
    out.mkdir(parents=True, exist_ok=True)
    observer, records = _run(path, model, out, seconds, seed, console)
    console.print('\nComparing with the ground truth ...')
    snapshots = _snapshots(observer, records, model, seed)
    errors = reconstruction_errors(
        model, [snapshot for of_phase in snapshots.values() for snapshot in of_phase]
    )
    summary = _summary(records, model.names, errors)
    _write(out / 'summary.json', (json.dumps(summary, indent=2) + '\n').encode())
    rows = [
        (title, max(of_phase, key=contrast)) for title, of_phase in snapshots.items() if of_phase
    ]
    if rows:
        draw(out / 'demo.png', model.sensors, rows)
    return summary


def _run(
    path: Path, model: M2VAE, out: Path, seconds: float, seed: int, console: Console
) -> tuple[Observer, list[PhaseRecord]]:
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
            def show(phase: Phase, records: Sequence[PhaseRecord]) -> None:
                live.update(phase_table(phase, records, observer.arrivals, model.names))
                if console.is_terminal:
                    live.refresh()

            records = drive(observer, processes, model.names, seconds, show)
    return observer, records


def _snapshots(
    observer: Observer, records: Sequence[PhaseRecord], model: M2VAE, seed: int
) -> dict[str, list[Snapshot]]:
    """
    Return snapshots of each phase, by its title, evenly spread.

    They are taken where exactly the sensors that are not silent were fused.
    """
    truth = GroundTruth(seed, observer.poses, model.sensors)
    snapshots: dict[str, list[Snapshot]] = {}
    for record in records:
        expected = tuple(name for name in model.names if name not in record.phase.silent)
        latents = [
            arrival.latent for arrival in record.arrivals
            if arrival.latent.subset(model.names) == expected
            and len(observer.reconstructions.get(arrival.latent.stamp_ns, {})) == len(model.names)
            and truth.covers(arrival.latent.stamp_ns)
        ]
        chosen = np.unique(np.linspace(0, len(latents) - 1, _SNAPSHOTS_PER_PHASE).astype(int))
        snapshots[record.phase.title] = [
            take_snapshot(
                truth, expected, latents[i], observer.reconstructions[latents[i].stamp_ns],
                model.sensors,
            )
            for i in (chosen if latents else ())
        ]
    return snapshots


def _summary(
    records: Sequence[PhaseRecord], names: Subset, errors: Sequence[RelativeError]
) -> dict[str, Any]:
    arrivals = [arrival for record in records for arrival in record.arrivals]
    if not arrivals:
        raise ValueError('no latent arrived in any phase: see robot.log and fusion.log')
    latency = np.array([arrival.latency_ns for arrival in arrivals]) * 1e-6
    times = [arrival.steady_ns for arrival in arrivals] + [records[-1].ended_ns]
    counts = Counter('+'.join(arrival.latent.subset(names)) for arrival in arrivals)
    return {
        'fused_sets': dict(counts),
        'longest_gap_s': max((b - a for a, b in pairwise(times)), default=0) * 1e-9,
        'latency_ms': {
            'p50': float(np.percentile(latency, 50)), 'p99': float(np.percentile(latency, 99)),
        },
        'phases': [
            {
                'title': record.phase.title,
                'latents': len(record.arrivals),
                'longest_gap_s': record.longest_gap(),
                'recovery_s': record.recovery(names) if record.revived else None,
            }
            for record in records
        ],
        'reconstruction': [error.to_dict() for error in errors],
    }


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The demo's picture: for each phase a row of ground truth, reconstructions and the latent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
import numpy as np

from m2vae_ros.demo.truth import Snapshot
from m2vae_ros.specs import Measurement, SensorSpec

_TRUTH, _RECONSTRUCTED, _SILENT = '#222222', '#1f77b4', '#c0392b'


def draw(
    path: Path, sensors: Sequence[SensorSpec], phases: Sequence[tuple[str, Snapshot]]
) -> None:
    """Write a PNG with a row for each phase, given as (title, snapshot)."""
    columns = 2 * len(sensors) + 1
    figure = Figure(figsize=(2.5 * columns, 2.15 * len(phases) + 0.9), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        len(phases), columns, squeeze=False,
        width_ratios=[*([1.0] * (columns - 1)), 1.15],
    )
    for row, (title, snapshot) in zip(axes, phases, strict=True):
        row[0].set_ylabel(f'{title}\n', fontsize=11, fontweight='bold')
        for index, spec in enumerate(sensors):
            is_silent = spec.name not in snapshot.subset
            left, right = row[2 * index], row[2 * index + 1]
            truth = snapshot.truth[spec.name]
            _draw_measurement(left, spec, truth, None)
            _title(left, f'{spec.name}: truth' + (' (silent)' if is_silent else ''), is_silent)
            if spec.name in snapshot.reconstructions:
                _draw_measurement(right, spec, snapshot.reconstructions[spec.name], truth)
                _title(right, f'from {" + ".join(snapshot.subset)}', is_silent)
            else:
                right.axis('off')
        _draw_latent(row[-1], snapshot)
    figure.suptitle(
        'What the robot sees, and what M2VAE makes of the sensors that are live', fontsize=13
    )
    figure.savefig(path, dpi=90)


def _title(axes: Any, text: str, is_silent: bool) -> None:
    axes.set_title(text, fontsize=9, color=_SILENT if is_silent else _TRUTH)


def _draw_measurement(
    axes: Any, spec: SensorSpec, measurement: Measurement, truth: Measurement | None
) -> None:
    """Draw a measurement; a reconstructed scan is drawn over the true one, which is grey."""
    axes.set_xticks([])
    axes.set_yticks([])
    if spec.kind == 'image':
        axes.imshow(np.clip(measurement.values.transpose(1, 2, 0), 0, 1), interpolation='nearest')
    elif spec.kind == 'point_cloud':
        ranges = np.where(measurement.returned, measurement.values, np.nan)
        axes.imshow(
            ranges, cmap='viridis', vmin=0, vmax=6, aspect='auto', interpolation='nearest'
        )
    else:
        if truth is not None:
            _draw_scan(axes, spec, truth, '#bbbbbb', 5)
        _draw_scan(axes, spec, measurement, _TRUTH if truth is None else _RECONSTRUCTED, 3)
        axes.plot(0, 0, marker='^', color=_SILENT, markersize=5)
        axes.set_aspect('equal', adjustable='datalim')


def _draw_scan(
    axes: Any, spec: SensorSpec, measurement: Measurement, colour: str, size: float
) -> None:
    """Draw a scan from above; forward is up, left is left."""
    low, high = spec.number('angle_min'), spec.number('angle_max')
    bearings = low + (np.arange(spec.shape[0]) + 0.5) * (high - low) / spec.shape[0]
    ranges = np.where(measurement.returned, measurement.values, np.nan)
    axes.scatter(-ranges * np.sin(bearings), ranges * np.cos(bearings), s=size, color=colour)


def _draw_latent(axes: Any, snapshot: Snapshot) -> None:
    """Draw the posterior's mean with a band of one standard deviation."""
    index = np.arange(len(snapshot.mean))
    deviation = np.exp(0.5 * snapshot.log_variance)
    axes.fill_between(
        index, snapshot.mean - deviation, snapshot.mean + deviation,
        color=_RECONSTRUCTED, alpha=0.3, lw=0,
    )
    axes.plot(index, snapshot.mean, color=_RECONSTRUCTED, lw=0.8)
    axes.set_ylim(-4, 4)
    axes.set_title('latent, mean and deviation', fontsize=9)
    axes.tick_params(labelsize=7)

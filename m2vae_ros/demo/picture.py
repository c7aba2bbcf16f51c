# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The demo in one picture: a row for each phase, truth beside reconstruction, and the latent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
import numpy as np

from m2vae_ros.demo.truth import Sight
from m2vae_ros.specs import Measurement, SensorSpec

_TRUTH, _SHOWN, _LOST = '#222222', '#1f77b4', '#c0392b'


def draw(path: Path, sensors: Sequence[SensorSpec], phases: Sequence[tuple[str, Sight]]) -> None:
    """Write the picture of one sight for each phase, as PNG."""
    columns = 2 * len(sensors) + 1
    figure = Figure(figsize=(2.5 * columns, 2.15 * len(phases) + 0.9), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        len(phases), columns, squeeze=False,
        width_ratios=[*([1.0] * (columns - 1)), 1.15],
    )
    for row, (title, sight) in zip(axes, phases, strict=True):
        row[0].set_ylabel(f'{title}\n', fontsize=11, fontweight='bold')
        for index, spec in enumerate(sensors):
            dead = spec.name not in sight.subset
            truth, shown = row[2 * index], row[2 * index + 1]
            _show(truth, spec, sight.truth[spec.name], None)
            _title(truth, f'{spec.name}: truth' + (' (silent)' if dead else ''), dead)
            if spec.name in sight.reconstruction:
                _show(shown, spec, sight.reconstruction[spec.name], sight.truth[spec.name])
                _title(shown, f'from {" + ".join(sight.subset)}', dead)
            else:
                shown.axis('off')
        _latent(row[-1], sight)
    figure.suptitle(
        'What the robot sees, and what M2VAE makes of the sensors that are live', fontsize=13
    )
    figure.savefig(path, dpi=90)


def _title(axes: Any, text: str, dead: bool) -> None:
    axes.set_title(text, fontsize=9, color=_LOST if dead else _TRUTH)


def _show(axes: Any, spec: SensorSpec, seen: Measurement, truth: Measurement | None) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    if spec.kind == 'image':
        axes.imshow(np.clip(seen.values.transpose(1, 2, 0), 0, 1), interpolation='nearest')
    elif spec.kind == 'point_cloud':
        ranges = np.where(seen.returned, seen.values, np.nan)
        axes.imshow(
            ranges, cmap='viridis', vmin=0, vmax=6, aspect='auto', interpolation='nearest'
        )
    else:
        if truth is not None:
            _scan(axes, spec, truth, '#bbbbbb', 5)
        _scan(axes, spec, seen, _TRUTH if truth is None else _SHOWN, 3)
        axes.plot(0, 0, marker='^', color=_LOST, markersize=5)
        axes.set_aspect('equal', adjustable='datalim')


def _scan(axes: Any, spec: SensorSpec, seen: Measurement, colour: str, size: float) -> None:
    """Draw a scan from above, forward up and left left."""
    low, high = float(spec.geometry['angle_min']), float(spec.geometry['angle_max'])
    bearings = low + (np.arange(spec.shape[0]) + 0.5) * (high - low) / spec.shape[0]
    ranges = np.where(seen.returned, seen.values, np.nan)
    axes.scatter(-ranges * np.sin(bearings), ranges * np.cos(bearings), s=size, color=colour)


def _latent(axes: Any, sight: Sight) -> None:
    """Draw the posterior's mean with a band of one standard deviation."""
    index = np.arange(len(sight.mean))
    deviation = np.exp(0.5 * sight.log_variance)
    axes.fill_between(
        index, sight.mean - deviation, sight.mean + deviation, color=_SHOWN, alpha=0.3, lw=0
    )
    axes.plot(index, sight.mean, color=_SHOWN, lw=0.8)
    axes.set_ylim(-4, 4)
    axes.set_title('latent, mean and deviation', fontsize=9)
    axes.tick_params(labelsize=7)

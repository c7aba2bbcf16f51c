# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The findings of an evaluation as one HTML page, without network or scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import json
import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
import numpy as np

from m2vae_ros.evaluation.findings import Findings, Moment, SensorError
from m2vae_ros.evaluation.report import charts
from m2vae_ros.evaluation.report.pictures import gradient, picture
from m2vae_ros.specs import SensorSpec
from m2vae_ros.vae.subsets import Subset

_TEMPLATE = Path(__file__).with_name('page.html.j2')
_MODEL = 'model'
_TILE_REM, _WIDE_TILE_REM = 9, 14  # smallest width of a picture, on a page wide enough


@dataclass(frozen=True)
class Tile:
    """
    A picture of one sensor.

    Parameters
    ----------
    sensor
        Name of the sensor.
    url
        The picture as a ``data:`` URL; empty if there is none.
    text
        Its alternative text.
    given
        Whether it is a measurement, or reconstructed from a subset with this sensor.

    """

    sensor: str
    url: str
    text: str
    given: bool


def write(path: Path, findings: Findings) -> None:
    """
    Write the page, atomically.

    Parameters
    ----------
    path
        Path of the HTML file; its folder exists.
    findings
        What to show.

    """
    part = path.with_suffix('.part')
    part.write_text(render(findings), encoding='utf-8')
    os.replace(part, path)


def render(findings: Findings) -> str:
    """Return the page as HTML."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    names = [spec.name for spec in findings.sensors]
    timeline = findings.timeline
    drawn = {
        'trajectory': charts.trajectory(timeline) if len(timeline.seconds) > 1 else '',
        'presence': charts.presence(timeline, names) if len(timeline.seconds) else '',
        'gain': charts.gain(timeline, names) if charts.has_numbers(timeline.gain) else '',
        'calibration': (
            charts.calibration(findings.subsets)
            if any(found.coverage for found in findings.subsets) else ''
        ),
    }
    scales = {spec.name: _display_range(spec, findings.moments) for spec in findings.sensors}
    page: str = environment.from_string(_TEMPLATE.read_text(encoding='utf-8')).render(
        findings=findings,
        names=names,
        predicted=[
            name for name in names if any(name in found.predictive for found in findings.subsets)
        ],
        charts={name: Markup(svg) for name, svg in drawn.items()},
        moments=[_moment_tiles(moment, findings.sensors, scales) for moment in findings.moments],
        tile_rem=_WIDE_TILE_REM if any(map(_is_panorama, findings.sensors)) else _TILE_REM,
        gradient=gradient(),
        ranged=[(spec.name, scales[spec.name]) for spec in findings.sensors
                if spec.kind == 'point_cloud'],
        scans=[spec.name for spec in findings.sensors if spec.kind == 'laser_scan'],
        summaries=[summary for spec in findings.sensors if (summary := _summary(findings, spec))],
        errors=[(spec.name, _error_rows(findings, spec)) for spec in findings.sensors],
        subset_name=' + '.join,
        provenance=json.dumps(findings.provenance, indent=2, default=str),
        objective=json.dumps(findings.objective, indent=2, default=str),
    )
    return page


def _moment_tiles(
    moment: Moment, sensors: Sequence[SensorSpec], scales: dict[str, float]
) -> dict[str, Any]:
    """Return the tiles of a moment: what the sensors saw, and a row for each subset."""
    truth = [
        Tile(spec.name, picture(spec, moment.truth[spec.name], farthest=scales[spec.name]),
             f'{spec.name}: what it saw', given=True)
        if spec.name in moment.truth else Tile(spec.name, '', f'{spec.name}: nothing', given=False)
        for spec in sensors
    ]
    rows = []
    for subset, reconstructed in moment.reconstructions.items():
        origin = ' + '.join(subset)
        rows.append((subset, [
            Tile(spec.name, picture(
                spec, reconstructed[spec.name], farthest=scales[spec.name],
                truth=moment.truth.get(spec.name),
            ), f'{spec.name}, reconstructed from {origin}', given=spec.name in subset)
            for spec in sensors if spec.name in reconstructed
        ]))
    return {'truth': truth, 'rows': rows, 'seconds': moment.seconds}


def _is_panorama(spec: SensorSpec) -> bool:
    return spec.kind == 'image' and spec.shape[2] > 2 * spec.shape[1]


def _display_range(spec: SensorSpec, moments: Sequence[Moment]) -> float:
    """Return a range in metres within which nearly all returns of the moments lie."""
    seen = [
        moment.truth[spec.name].values[moment.truth[spec.name].returned]
        for moment in moments if spec.kind != 'image' and spec.name in moment.truth
    ]
    ranges = np.concatenate([np.zeros(0, np.float32), *seen])
    if not len(ranges):
        return spec.number('range_max') if 'range_max' in spec.geometry else 1.0
    return max(0.5, round(float(np.percentile(ranges, 97)), 1))


def _errors_of(findings: Findings, spec: SensorSpec, predictor: str) -> list[SensorError]:
    return [
        error for error in findings.errors
        if error.sensor == spec.name and error.predictor == predictor
    ]


def _summary(findings: Findings, spec: SensorSpec) -> dict[str, Any] | None:
    """Return a sensor's best error when it is missing, and predictors'; None without any."""
    others = [
        error for error in _errors_of(findings, spec, _MODEL) if spec.name not in error.source
    ]
    if not others:
        return None
    best = min(others, key=lambda error: error.error)
    predictors = {}
    for predictor in ('mean', 'one_second_old'):
        errors = _errors_of(findings, spec, predictor)
        of_same_sets = (error for error in errors if error.source == best.source)
        predictors[predictor] = next(of_same_sets, next(iter(errors), None))
    return {'sensor': spec.name, 'best': best, **predictors}


def _error_rows(findings: Findings, spec: SensorSpec) -> list[tuple[str, bool, SensorError]]:
    """Return the rows of a sensor's table: title, whether the sensor was missing, the error."""
    rows = [
        (f'from {" + ".join(error.source)}', spec.name not in error.source, error)
        for error in _errors_of(findings, spec, _MODEL)
    ]
    titles = {
        'mean': 'mean of the training data', 'last': 'its measurement just before',
        'one_second_old': 'its measurement a second before',
    }
    for predictor, title in titles.items():
        by_source: dict[Subset, SensorError] = {
            error.source: error for error in _errors_of(findings, spec, predictor)
        }
        if by_source:
            rows.append((title, False, max(by_source.values(), key=lambda error: error.samples)))
    return rows

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""`m2vae evaluate`: a bag through a model, to a report of numbers, a page and the latents."""

from __future__ import annotations

import argparse
from pathlib import Path
import shlex
import sys

from m2vae_ros.commands.option_flags import (
    add_offset_option,
    add_options,
    options_of,
    sensor_offsets,
    sensor_topics,
)
from m2vae_ros.evaluation.evaluate import evaluate
from m2vae_ros.evaluation.findings import Findings, SensorError
from m2vae_ros.evaluation.options import EvaluationOptions
from m2vae_ros.evaluation.report.folder import LATENTS, METRICS, PAGE
from m2vae_ros.fusion.options import SynchronizerOptions

_REPORT_SUFFIX = '_report'
_SEEN_IN_TRAINING = (
    'The model was trained on a bag of this name: what follows is mostly what it has memorised. '
    'Evaluate it on another drive.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; the defaults are those of the dataclasses."""
    parser.add_argument('--model', type=Path, required=True, help='the model file')
    parser.add_argument(
        '--bag', type=Path, required=True,
        help='the folder of a ROS 2 bag, a .mcap or .db3 file, or the .bag file of a ROS 1 bag',
    )
    parser.add_argument(
        '--report', type=Path,
        help=f'folder for {PAGE}, {METRICS} and the bag {LATENTS}; an earlier report is replaced '
        f'(default: ./BAG{_REPORT_SUFFIX})',
    )
    parser.add_argument(
        '--topic', action='append', default=[], metavar='SENSOR=TOPIC',
        help="a sensor's topic in this bag, where it is not the model's own; may be repeated",
    )
    parser.add_argument(
        '--without', action='append', default=[], metavar='SENSOR',
        help='a sensor to do without, as the node does with SENSOR.enabled false; may be repeated',
    )
    add_offset_option(parser)
    for group in (EvaluationOptions, SynchronizerOptions):
        add_options(parser, group)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate; return the exit code."""
    bag = arguments.bag.resolve()
    name = bag.stem if bag.is_file() else bag.name
    report = arguments.report or Path(f'{name}{_REPORT_SUFFIX}')
    findings = evaluate(
        arguments.model, arguments.bag, report,
        command=shlex.join(['m2vae', *sys.argv[1:]]), topics=sensor_topics(arguments.topic),
        disabled=arguments.without,
        options=options_of(EvaluationOptions, arguments),
        synchronizer=options_of(SynchronizerOptions, arguments),
        offsets=sensor_offsets(arguments.offset),
    )
    print(_format_findings(findings))
    print(f'wrote {report / PAGE}, {METRICS} and the bag {LATENTS}')
    return 0


def _format_findings(findings: Findings) -> str:
    """Return as text how many sets were fused, and each sensor's errors from all others."""
    lines = [f'{sum(findings.fused_sets.values())} sets in {findings.seconds:.1f} s: ' + ', '.join(
        f'{subset} {count}' for subset, count in findings.fused_sets.items()
    )]
    if findings.seen_in_training:
        lines.append(_SEEN_IN_TRAINING)
    names = findings.present
    for name in names:
        others = [other for other in names if other != name] or [name]
        rows = [
            error for error in findings.errors
            if error.sensor == name and list(error.source) == others
        ]
        if rows:
            errors = ', '.join(map(_format_error, rows))
            lines.append(f'{name} from {" + ".join(others)}: {errors}')
    return '\n'.join(lines)


def _format_error(error: SensorError) -> str:
    unit = ' m' if error.unit == 'm' else f' {error.unit}'
    return f'{error.predictor} {error.error:.3g}{unit}'

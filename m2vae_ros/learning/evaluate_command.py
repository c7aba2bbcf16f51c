# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""`m2vae evaluate`: what a model can do on a bag, as numbers, as a page and as its latents."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
import shlex
import sys

import cv2
import numpy as np
import torch

from m2vae_ros import __version__
from m2vae_ros.fusion.latent_message import latent_to_message, LATENT_TYPE
from m2vae_ros.fusion.options import SynchronizerOptions
from m2vae_ros.fusion.pipeline import Pipeline
from m2vae_ros.learning import report
from m2vae_ros.learning.bag_passage import pass_through, Passage
from m2vae_ros.learning.bag_writer import BagWriter, rosbags_classes
from m2vae_ros.learning.bags import Bag, resolve_topics
from m2vae_ros.learning.evaluation_options import EvaluationOptions
from m2vae_ros.learning.findings import Findings, SensorError
from m2vae_ros.learning.metrics_course import course, mean_gain, moments
from m2vae_ros.learning.metrics_errors import sensor_errors
from m2vae_ros.learning.metrics_file import to_json
from m2vae_ros.learning.metrics_subsets import subset_findings
from m2vae_ros.learning.option_flags import add_options, options_of
from m2vae_ros.learning.report_folder import LATENTS, METRICS, PAGE, report_folder
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.header import ModelHeader

_LATENT_TOPIC = '/fusion/latent'
SEEN = ('The model was trained on a bag of this name: what follows is largely what it remembers. '
        'Evaluate it on another drive.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; the defaults are those of the dataclasses."""
    parser.add_argument('--model', type=Path, required=True, help='the model file')
    parser.add_argument(
        '--bag', type=Path, required=True,
        help='the folder of a ROS 2 bag, a .mcap or .db3 file, or the .bag file of a ROS 1 bag',
    )
    parser.add_argument(
        '--report', type=Path, required=True,
        help=f'folder for {PAGE}, {METRICS} and the bag {LATENTS}; an earlier report is replaced',
    )
    parser.add_argument(
        '--topic', action='append', default=[], metavar='SENSOR=TOPIC',
        help="a sensor's topic in this bag, where it is not the model's own; may be repeated",
    )
    for group in (EvaluationOptions, SynchronizerOptions):
        add_options(parser, group)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate; return the exit code."""
    options = options_of(EvaluationOptions, arguments)
    synchronizer = vars(options_of(SynchronizerOptions, arguments))
    loaded = checkpoint.load(arguments.model)
    with Bag(arguments.bag) as bag:
        topics = resolve_topics(bag, loaded.model.sensors, _pairs(arguments.topic))
        with report_folder(arguments.report) as folder:
            pipeline = Pipeline(loaded.model, device=options.device, **synchronizer)
            passage = _passage(pipeline, bag, topics, folder, options)
            findings = _findings(pipeline, loaded.header, passage, arguments, options)
            (folder / METRICS).write_text(to_json(findings))
            report.write(folder / PAGE, findings)
    print(_in_words(findings))
    print(f'{arguments.report / PAGE}, {METRICS} and the bag {LATENTS} are written')
    return 0


def _passage(
    pipeline: Pipeline, bag: Bag, topics: dict[str, str], folder: Path,
    options: EvaluationOptions,
) -> Passage:
    """Send the bag through the pipeline and write the latents."""
    classes = rosbags_classes()
    with BagWriter(folder / LATENTS) as latents, _threads(options.threads):
        latents.add_topic(_LATENT_TOPIC, LATENT_TYPE)
        return pass_through(
            pipeline, bag, topics,
            lambda latent: latents.write(
                _LATENT_TOPIC, latent.stamp_ns, latent_to_message(latent, classes)
            ),
            samples=options.samples, clock=options.clock,
        )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Infer and decode on as many threads as a node does: others give other last bits."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def _findings(
    pipeline: Pipeline, header: ModelHeader, passage: Passage, arguments: argparse.Namespace,
    options: EvaluationOptions,
) -> Findings:
    engine = pipeline.engine
    names = engine.model.names
    over_time = course(engine, passage)
    shown = moments(engine, passage, options.moments)
    model = engine.model.cpu()
    gaps = np.diff(passage.stamps) * 1e-9
    return Findings(
        model=str(arguments.model), bag=str(arguments.bag),
        command=shlex.join(['m2vae', *sys.argv[1:]]), package_version=__version__,
        sensors=model.sensors, provenance=header.provenance, objective=header.objective,
        fused_sets=_counted(passage.fused), untrained_sets={
            '+'.join(subset): count for subset, count in passage.untrained.items()
        },
        traffic=passage.traffic,
        seconds=float(passage.stamps[-1] - passage.stamps[0]) * 1e-9,
        longest_gap_s=float(gaps.max(initial=0.0)),
        subsets=subset_findings(model, header, passage.kept, options),
        errors=sensor_errors(model, passage.kept),
        information_gain=mean_gain(over_time, names),
        course=over_time, moments=shown,
        seen_in_training=arguments.bag.name in _trained_on(header),
    )


def _trained_on(header: ModelHeader) -> list[str]:
    """Return the names of the bags that the model was trained on."""
    bags = header.provenance.get('bags')
    known = bags if isinstance(bags, list) else []
    return [str(bag['name']) for bag in known if isinstance(bag, dict) and 'name' in bag]


def _counted(fused: list[tuple[str, ...]]) -> dict[str, int]:
    return dict(Counter('+'.join(subset) for subset in fused))


def _in_words(findings: Findings) -> str:
    """Return what was fused, and the errors of every sensor from all others."""
    lines = [f'{sum(findings.fused_sets.values())} sets in {findings.seconds:.1f} s: ' + ', '.join(
        f'{subset} {count}' for subset, count in findings.fused_sets.items()
    )]
    if findings.seen_in_training:
        lines.append(SEEN)
    names = [spec.name for spec in findings.sensors]
    for name in names:
        others = [one for one in names if one != name] or [name]
        rows = [
            error for error in findings.errors
            if error.sensor == name and list(error.source) == others
        ]
        if rows:
            lines.append(f'{name} from {" + ".join(others)}: ' + ', '.join(map(_error, rows)))
    return '\n'.join(lines)


def _error(error: SensorError) -> str:
    unit = ' m' if error.unit == 'm' else f' {error.unit}'
    return f'{error.predictor} {error.error:.3g}{unit}'


def _pairs(texts: list[str]) -> dict[str, str]:
    for text in texts:
        if not all(text.partition('=')):
            raise ValueError(f'--topic {text}: must be SENSOR=TOPIC')
    return dict(text.split('=', 1) for text in texts)

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""An evaluation: a bag through the pipeline as live, the findings, and the report's folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from m2vae_ros import __version__
from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.resolution import find_topics, FoundTopics
from m2vae_ros.bags.writer import BagWriter, rosbags_classes
from m2vae_ros.evaluation.findings import Findings
from m2vae_ros.evaluation.metrics_file import to_json
from m2vae_ros.evaluation.options import EvaluationOptions
from m2vae_ros.evaluation.passage import pass_through, Passage
from m2vae_ros.evaluation.report import page
from m2vae_ros.evaluation.report.folder import LATENTS, METRICS, PAGE, report_folder
from m2vae_ros.evaluation.sensor_errors import sensor_errors
from m2vae_ros.evaluation.subset_findings import subset_findings
from m2vae_ros.evaluation.timeline import choose_moments, make_timeline, mean_gains
from m2vae_ros.fusion.engine import usable_threads
from m2vae_ros.fusion.latent_message import latent_to_message, LATENT_TYPE
from m2vae_ros.fusion.options import SynchronizerOptions
from m2vae_ros.fusion.pipeline import Pipeline
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.header import ModelHeader

_LATENT_TOPIC = '/fusion/latent'


def evaluate(
    model: Path, bag: Path, report: Path, *, command: str, topics: Mapping[str, str] | None = None,
    disabled: Collection[str] = (), options: EvaluationOptions | None = None,
    synchronizer: SynchronizerOptions | None = None, offsets: Mapping[str, float] | None = None,
    say: Callable[[str], None] = print,
) -> Findings:
    """
    Send a bag through a model and write the report; shows progress bars.

    As a node does, it goes on without the sensors that are not there.

    Parameters
    ----------
    model, bag
        Paths of the model file and of the recording.
    report
        Folder for the page, the metrics and the latents; an earlier report is replaced.
    command
        The command line, to be shown on the page.
    topics
        Sensor -> its topic in this bag, where it is not the model's own.
    disabled
        Sensors of the model to do without.
    options
        How much to measure.
    synchronizer
        Which measurements belong together.
    offsets
        Sensor -> seconds that its stamps are ahead.
    say
        Called at the beginning with each line about a sensor that is absent, or whose topic was
        found by its type.

    Raises
    ------
    ValueError
        If the model, the bag or the folder is wrong, or nothing could be fused.

    """
    options = options or EvaluationOptions()
    loaded = checkpoint.load(model)
    with Bag(bag) as recording:
        _check_disabled(disabled, loaded.model.names)
        found = find_topics(
            recording, loaded.model.sensors, topics, disabled=disabled, by_type=True
        )
        for line in found.remarks():
            say(line)
        with report_folder(report) as folder:
            pipeline = Pipeline(
                loaded.model, device=options.device, offsets=offsets,
                **vars(synchronizer or SynchronizerOptions()),
            )
            passage = _fuse_all(pipeline, recording, found.topics, folder, options)
            found = replace(found, absent={**found.absent, **passage.unusable})
            for name, why in passage.unusable.items():
                say(f'without {name}: {why}')
            findings = _measure(
                pipeline, loaded.header, passage, found, options, model=model, bag=bag,
                command=command,
            )
            (folder / METRICS).write_text(to_json(findings))
            page.write(folder / PAGE, findings)
    return findings


def _fuse_all(
    pipeline: Pipeline, bag: Bag, topics: Mapping[str, str], folder: Path,
    options: EvaluationOptions,
) -> Passage:
    """Send the bag through the pipeline and write the bag of latents."""
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
    """Infer and decode on as many threads as a node does: another number changes last bits."""
    count = usable_threads(count)
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def _measure(
    pipeline: Pipeline, header: ModelHeader, passage: Passage, found: FoundTopics,
    options: EvaluationOptions, *, model: Path, bag: Path, command: str,
) -> Findings:
    """Return the findings; the engine's model is on the CPU afterwards."""
    engine = pipeline.engine
    names = engine.model.names
    timeline = make_timeline(engine, passage)
    moments = choose_moments(engine, passage, options.moments)
    network = engine.model.cpu()
    gaps = np.diff(passage.stamps) * 1e-9
    return Findings(
        model=str(model), bag=str(bag),
        command=command, package_version=__version__,
        sensors=network.sensors, provenance=header.provenance, objective=header.objective,
        fused_sets=dict(Counter('+'.join(subset) for subset in passage.fused)),
        untrained_sets={
            '+'.join(subset): count for subset, count in passage.untrained.items()
        },
        traffic=passage.traffic,
        absent=dict(found.absent), remarks=found.remarks(),
        seconds=float(passage.stamps[-1] - passage.stamps[0]) * 1e-9,
        longest_gap_s=float(gaps.max(initial=0.0)),
        subsets=subset_findings(network, header, passage.kept, options),
        errors=sensor_errors(network, passage.kept),
        information_gain=mean_gains(timeline, names),
        timeline=timeline, moments=moments,
        seen_in_training=bag.name in _training_bags(header),
    )


def _check_disabled(disabled: Collection[str], names: Collection[str]) -> None:
    unknown = sorted(set(disabled) - set(names))
    if unknown:
        raise ValueError(
            f'--without {unknown[0]}: no such sensor; the sensors are {", ".join(names)}'
        )


def _training_bags(header: ModelHeader) -> list[str]:
    """Return the names of the bags that the model was trained on."""
    bags = header.provenance.get('bags')
    known = bags if isinstance(bags, list) else []
    return [str(bag['name']) for bag in known if isinstance(bag, dict) and 'name' in bag]

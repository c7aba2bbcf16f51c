# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What is known of every trained subset: bound, likelihoods, calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod, sqrt
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from m2vae_ros.evaluation import calibration
from m2vae_ros.evaluation.calibration import CalibrationOptions
from m2vae_ros.evaluation.findings import Estimated, SubsetFindings
from m2vae_ros.evaluation.options import EvaluationOptions
from m2vae_ros.evaluation.passage import KeptSet
from m2vae_ros.evaluation.sensor_errors import batches
from m2vae_ros.samples.dataset import SampleDataset
from m2vae_ros.vae.estimators import Estimate, log_likelihood, predictive, summarise
from m2vae_ros.vae.header import ModelHeader
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.model import M2VAE
from m2vae_ros.vae.objectives import bound, normalised_beta
from m2vae_ros.vae.subsets import Subset
from m2vae_ros.vae.terms import reconstructions

_BATCH = 8  # samples at a time, each with a chunk of draws
_KNOBS = ('alpha', 'gamma', 'joint_prior_weight')


@dataclass(frozen=True, eq=False)
class _Coverage:
    shares: Mapping[float, float]
    error: float | None


def subset_findings(
    model: M2VAE, header: ModelHeader, kept: Sequence[KeptSet], options: EvaluationOptions
) -> list[SubsetFindings]:
    """
    Return what is known of each trained subset whose sensors were heard together.

    Parameters
    ----------
    model
        On the CPU, in evaluation mode.
    header
        Of the model: its objective and its temperatures.
    kept
        Samples.
    options
        How many samples and draws.

    """
    few = evenly(kept, options.likelihood_samples)
    covered = _coverage(model, header, kept, options)
    found = []
    for subset in tqdm(model.trained_subsets, desc='likelihoods', file=sys.stderr):
        if not any(set(subset) <= set(one.measurements) for one in kept):
            continue
        generator = torch.Generator().manual_seed(options.seed)
        missing = [name for name in model.names if name not in subset]
        coverage = covered.get(subset, _Coverage({}, None))
        found.append(SubsetFindings(
            subset,
            _bound(model, header.objective, subset, kept, generator),
            _heard(model, few, subset, options, generator),
            {
                name: estimated for name in missing
                if (estimated := _predicted(model, few, subset, name, options, generator))
            },
            header.temperatures.get(subset, 1.0), coverage.shares, coverage.error,
        ))
    return found


def evenly(kept: Sequence[KeptSet], count: int) -> list[KeptSet]:
    """Return some of the samples, spread over all; first those that have most sensors."""
    most = max((len(one.measurements) for one in kept), default=0)
    complete = [one for one in kept if len(one.measurements) == most]
    chosen = complete if len(complete) >= count else list(kept)
    rows = np.unique(np.linspace(0, len(chosen) - 1, count).round().astype(int))
    return [chosen[row] for row in rows] if chosen else []


def _mean(
    kept: Sequence[KeptSet],
    sensors: Subset,
    estimate: Callable[[Mapping[str, SensorBatch]], Estimate],
) -> Estimated | None:
    """Return the mean of an estimate over the samples that have some sensors."""
    estimates = [estimate(batch) for _, batch in batches(kept, sensors, _BATCH)]
    if sum(len(each.value) for each in estimates) < 2:
        return None
    summary = summarise(estimates)
    return Estimated(
        summary.mean, summary.standard_error, summary.samples, summary.effective_sample_size
    )


def _heard(
    model: M2VAE, kept: Sequence[KeptSet], subset: Subset, options: EvaluationOptions,
    generator: torch.Generator,
) -> Estimated | None:
    return _mean(kept, subset, lambda batch: log_likelihood(
        model, batch, subset, samples=options.draws, generator=generator,
    ))


def _predicted(
    model: M2VAE, kept: Sequence[KeptSet], subset: Subset, target: str,
    options: EvaluationOptions, generator: torch.Generator,
) -> Estimated | None:
    needed = tuple(name for name in model.names if name in subset or name == target)
    return _mean(kept, needed, lambda batch: predictive(
        model, batch, (target,), subset, samples=options.draws, generator=generator,
    ))


@torch.no_grad()
def _bound(
    model: M2VAE, objective: Mapping[str, Any], subset: Subset, kept: Sequence[KeptSet],
    generator: torch.Generator,
) -> Estimated | None:
    """Return the mean bound of samples that are left only some sensors; None where it has none."""
    name = objective.get('name')
    if name is None:
        return None
    needed = reconstructions(name, subset)
    if not set(needed) <= set(model.trained_subsets):
        return None
    knobs = {knob: objective[knob] for knob in _KNOBS if knob in objective}
    values = []
    for _, batch in batches(kept, subset):
        posteriors, scores = model(batch, generator, reconstruct=needed)
        values.append(bound(
            name, posteriors, scores, names=subset, beta=_beta(model, objective, subset), **knobs
        ))
    return _estimated(torch.cat(values).double())


def _beta(
    model: M2VAE, objective: Mapping[str, Any], subset: Subset
) -> float | dict[Subset, float]:
    if objective.get('beta_norm') is None:
        return float(objective.get('beta', 1.0))
    sizes = {spec.name: prod(spec.shape) for spec in model.sensors if spec.name in subset}
    return normalised_beta(objective['beta_norm'], sizes, model.latent_size)


def _estimated(values: Tensor) -> Estimated | None:
    if len(values) < 2:
        return None
    error = float(values.std()) / sqrt(len(values))
    return Estimated(float(values.mean()), error, len(values))


def _coverage(
    model: M2VAE, header: ModelHeader, kept: Sequence[KeptSet], options: EvaluationOptions
) -> dict[Subset, _Coverage]:
    """Return how calibrated posteriors cover references; empty without complete samples."""
    complete = [one for one in kept if len(one.measurements) == len(model.names)]
    if not complete:
        return {}
    arrays = {
        name: [
            np.stack([getattr(one.measurements[name], part) for one in complete])
            for part in ('values', 'valid', 'returned')
        ]
        for name in model.names
    }
    held_out = calibration.hold_out(
        model, SampleDataset(model.sensors, arrays),
        CalibrationOptions(calibration_samples=options.calibration_samples), seed=options.seed,
    )
    temperatures = {'+'.join(s): header.temperatures.get(s, 1.0) for s in model.trained_subsets}
    report = calibration.judge(held_out, {'temperature': temperatures})
    return {
        tuple(row['subset']): _Coverage(
            {float(level): share for level, share in row['coverage'].items()},
            row['expected_calibration_error'],
        )
        for row in report['subsets']
    }

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Bound, likelihoods and calibration of every trained subset, for an evaluation."""

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

from m2vae_ros.evaluation.calibration import (
    CalibrationOptions,
    draw_references,
    measure_coverage,
)
from m2vae_ros.evaluation.findings import Estimated, SubsetFindings
from m2vae_ros.evaluation.kept_sets import batches_with, KeptSet, spread_evenly
from m2vae_ros.evaluation.options import EvaluationOptions
from m2vae_ros.samples.dataset import SampleDataset
from m2vae_ros.vae.estimators import log_likelihood, predictive, summarise
from m2vae_ros.vae.header import ModelHeader
from m2vae_ros.vae.importance import Estimate
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.model import M2VAE
from m2vae_ros.vae.objectives import bound, normalised_beta
from m2vae_ros.vae.subsets import Subset
from m2vae_ros.vae.terms import reconstructions

_BATCH_SIZE = 8  # samples at a time, each with a chunk of draws
_KNOBS = ('alpha', 'gamma', 'joint_prior_weight')


@dataclass(frozen=True, eq=False)
class _Coverage:
    """Nominal probability -> observed share, and the expected calibration error."""

    shares: Mapping[float, float]
    error: float | None


def subset_findings(
    model: M2VAE, header: ModelHeader, kept: Sequence[KeptSet], options: EvaluationOptions
) -> list[SubsetFindings]:
    """
    Return the findings of each trained subset whose sensors are together in some set.

    Parameters
    ----------
    model
        On the CPU, in evaluation mode.
    header
        The model's header: its objective and its temperatures are used.
    kept
        Sets to measure on.
    options
        How many sets and draws.

    """
    few = spread_evenly(kept, options.likelihood_samples)
    coverages = _coverages(model, header, kept, options)
    found = []
    for subset in tqdm(model.trained_subsets, desc='likelihoods', file=sys.stderr):
        if not any(set(subset) <= set(each.measurements) for each in kept):
            continue
        generator = torch.Generator().manual_seed(options.seed)
        missing = [name for name in model.names if name not in subset]
        coverage = coverages.get(subset, _Coverage({}, None))
        found.append(SubsetFindings(
            subset,
            _mean_bound(model, header.objective, subset, kept, generator),
            _mean_log_likelihood(model, few, subset, options, generator),
            {
                name: estimated for name in missing
                if (estimated := _mean_predictive(model, few, subset, name, options, generator))
            },
            header.temperatures.get(subset, 1.0), coverage.shares, coverage.error,
        ))
    return found


def _mean_estimate(
    kept: Sequence[KeptSet],
    sensors: Subset,
    estimate: Callable[[Mapping[str, SensorBatch]], Estimate],
) -> Estimated | None:
    """Return the mean of an estimate over the sets that have these sensors; None if below two."""
    estimates = [estimate(batch) for _, batch in batches_with(kept, sensors, _BATCH_SIZE)]
    if sum(len(each.value) for each in estimates) < 2:
        return None
    summary = summarise(estimates)
    return Estimated(
        summary.mean, summary.standard_error, summary.samples, summary.effective_sample_size
    )


def _mean_log_likelihood(
    model: M2VAE, kept: Sequence[KeptSet], subset: Subset, options: EvaluationOptions,
    generator: torch.Generator,
) -> Estimated | None:
    return _mean_estimate(kept, subset, lambda batch: log_likelihood(
        model, batch, subset, samples=options.draws, generator=generator,
    ))


def _mean_predictive(
    model: M2VAE, kept: Sequence[KeptSet], subset: Subset, target: str,
    options: EvaluationOptions, generator: torch.Generator,
) -> Estimated | None:
    needed = tuple(name for name in model.names if name in subset or name == target)
    return _mean_estimate(kept, needed, lambda batch: predictive(
        model, batch, (target,), subset, samples=options.draws, generator=generator,
    ))


@torch.no_grad()
def _mean_bound(
    model: M2VAE, objective: Mapping[str, Any], subset: Subset, kept: Sequence[KeptSet],
    generator: torch.Generator,
) -> Estimated | None:
    """
    Return the mean of the objective's bound as if the subset were all the model's sensors.

    None where the header names no objective, or the model lacks an encoder that the bound needs.
    """
    name = objective.get('name')
    if name is None:
        return None
    needed = reconstructions(name, subset)
    if not set(needed) <= set(model.trained_subsets):
        return None
    knobs = {knob: objective[knob] for knob in _KNOBS if knob in objective}
    values = []
    for _, batch in batches_with(kept, subset):
        posteriors, log_likelihoods = model(batch, generator, reconstruct=needed)
        values.append(bound(
            name, posteriors, log_likelihoods, names=subset,
            beta=_beta(model, objective, subset), **knobs,
        ))
    return _mean_and_error(torch.cat(values).double())


def _beta(
    model: M2VAE, objective: Mapping[str, Any], subset: Subset
) -> float | dict[Subset, float]:
    """Return the objective's beta; with beta_norm, that of each subset."""
    if objective.get('beta_norm') is None:
        return float(objective.get('beta', 1.0))
    sizes = {spec.name: prod(spec.shape) for spec in model.sensors if spec.name in subset}
    return normalised_beta(objective['beta_norm'], sizes, model.latent_size)


def _mean_and_error(values: Tensor) -> Estimated | None:
    if len(values) < 2:
        return None
    error = float(values.std()) / sqrt(len(values))
    return Estimated(float(values.mean()), error, len(values))


def _coverages(
    model: M2VAE, header: ModelHeader, kept: Sequence[KeptSet], options: EvaluationOptions
) -> dict[Subset, _Coverage]:
    """Return subset -> coverage of its calibrated posteriors; empty without complete sets."""
    complete = [each for each in kept if len(each.measurements) == len(model.names)]
    if not complete:
        return {}
    arrays = {
        name: [
            np.stack([getattr(each.measurements[name], part) for each in complete])
            for part in ('values', 'valid', 'returned')
        ]
        for name in model.names
    }
    references = draw_references(
        model, SampleDataset(model.sensors, arrays),
        CalibrationOptions(calibration_samples=options.calibration_samples), seed=options.seed,
    )
    temperatures = {'+'.join(s): header.temperatures.get(s, 1.0) for s in model.trained_subsets}
    report = measure_coverage(references, {'temperature': temperatures})
    return {
        tuple(row['subset']): _Coverage(
            {float(level): share for level, share in row['coverage'].items()},
            row['expected_calibration_error'],
        )
        for row in report['subsets']
    }

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
A model's temperatures, and how well its posteriors cover reference latents; for its header.

A reference is a draw of the exact p(z|x_M) by importance resampling, see `vae.calibration`.
Temperatures are fitted on validation samples, coverage is reported on test samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import sys
from typing import Any

import torch
from tqdm import tqdm

from m2vae_ros.samples.dataset import SampleDataset
from m2vae_ros.vae.calibration import coverage, draw_reference, fit_temperature, REGIONS
from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.model import M2VAE
from m2vae_ros.vae.subsets import Subset

_BATCH_SIZE = 4  # samples; with a chunk of draws each, what a CPU decodes fastest
_MIN_EFFECTIVE_DRAWS = 10  # with fewer, a reference is hardly more than a draw of q_M


@dataclass(frozen=True)
class CalibrationOptions:
    """
    How references are drawn.

    Parameters
    ----------
    calibration_samples
        Held-out samples that get a reference, evenly spaced: as many to fit the temperatures,
        and as many to measure the coverage.
    importance_draws
        Draws of the joint posterior from which each reference is resampled.

    """

    calibration_samples: int = 24
    importance_draws: int = 1000

    def __post_init__(self) -> None:
        for name, least in (('calibration_samples', 1), ('importance_draws', 2)):
            if getattr(self, name) < least:
                raise ValueError(f'{name}: {getattr(self, name)} must be {least} or more')


@dataclass(frozen=True, eq=False)
class References:
    """
    Reference latents of held-out samples, and every subset's posterior of the same samples.

    Parameters
    ----------
    posteriors
        Trained subset -> q(z|x_S), ``(samples, latent)``, before any temperature.
    latents
        Draws of p(z|x_M), ``(samples, latent)``.
    effective_sample_size
        Median over the samples, in draws.
    draws
        Importance draws from which each reference was resampled.

    """

    posteriors: Mapping[Subset, DiagonalGaussian]
    latents: torch.Tensor
    effective_sample_size: float
    draws: int

    def describe(self) -> dict[str, Any]:
        """Return how many references there are and how far to trust them, in JSON types."""
        return {
            'samples': len(self.latents),
            'importance_draws': self.draws,
            'effective_sample_size': round(self.effective_sample_size, 2),
        }


def draw_references(
    model: M2VAE, dataset: SampleDataset, options: CalibrationOptions, *, seed: int = 0
) -> References:
    """
    Draw a reference for each of some held-out samples; shows a progress bar.

    Parameters
    ----------
    model
        On the CPU, in evaluation mode.
    dataset
        Samples that the model was not trained on; all of them have all sensors.
    options
        How many samples and draws.
    seed
        Seed of the draws.

    """
    count = min(options.calibration_samples, len(dataset))
    rows = [index * len(dataset) // count for index in range(count)]
    generator = torch.Generator().manual_seed(seed)
    latents, sizes = [], []
    by_subset: dict[Subset, list[DiagonalGaussian]] = {s: [] for s in model.trained_subsets}
    with tqdm(total=count, desc='calibration', file=sys.stderr) as bar:
        for start in range(0, count, _BATCH_SIZE):
            batch = dataset[rows[start:start + _BATCH_SIZE]].sensors
            reference = draw_reference(
                model, batch, samples=options.importance_draws, generator=generator
            )
            latents.append(reference.latents)
            sizes.append(reference.log_likelihood.effective_sample_size)
            with torch.no_grad():
                for subset, posteriors in by_subset.items():
                    posteriors.append(model.encode(batch, subset))
            bar.update(len(reference.latents))
    return References(
        {subset: _concatenated(posteriors) for subset, posteriors in by_subset.items()},
        torch.cat(latents), float(torch.cat(sizes).median()), options.importance_draws,
    )


def _concatenated(posteriors: Sequence[DiagonalGaussian]) -> DiagonalGaussian:
    return DiagonalGaussian(
        torch.cat([q.mean for q in posteriors]), torch.cat([q.log_variance for q in posteriors])
    )


def fit_temperatures(validation: References) -> dict[str, Any]:
    """Return a header's ``calibration``: each subset's temperature, and what it was fitted on."""
    return {
        'temperature': {
            '+'.join(subset): fit_temperature(posterior, validation.latents)
            for subset, posterior in validation.posteriors.items()
        },
        **validation.describe(),
    }


def measure_coverage(test: References, calibration: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return how posteriors cover references, with the temperatures and without them.

    Parameters
    ----------
    test
        References on samples that the temperatures were not fitted on.
    calibration
        As `fit_temperatures` returns it.

    Returns
    -------
    dict
        JSON types. ``subsets`` has a row for each subset: ``coverage`` maps the nominal
        probability of a region to the observed share of references in it,
        ``coverage_per_dimension`` to the lowest and the highest share of all dimensions.

    """
    rows = []
    for subset, posterior in test.posteriors.items():
        temperature = calibration['temperature']['+'.join(subset)]
        rows.append({
            'subset': list(subset),
            'temperature': temperature,
            **_coverage_row(posterior.tempered(temperature), test.latents),
            'uncalibrated': _coverage_row(posterior, test.latents),
        })
    return {**test.describe(), 'subsets': rows}


def _coverage_row(posterior: DiagonalGaussian, latents: torch.Tensor) -> dict[str, Any]:
    regions = coverage(posterior, latents, REGIONS)
    return {
        'coverage': {
            str(level): float(share)
            for level, share in zip(REGIONS, regions.observed, strict=True)
        },
        'coverage_per_dimension': {
            str(level): [float(shares.min()), float(shares.max())]
            for level, shares in zip(REGIONS, regions.per_dimension.T, strict=True)
        },
        'expected_calibration_error': coverage(posterior, latents).expected_calibration_error,
    }


def format_coverage(report: Mapping[str, Any]) -> str:
    """Return the result of `measure_coverage` as text: a row for each subset, and a remark."""
    names = ['+'.join(row['subset']) for row in report['subsets']]
    width = max(map(len, names))
    levels = ''.join(f'{level:>8.0%}' for level in REGIONS)
    lines = [f'{"":{width}}{"temperature":>13}{levels}   calibration error (before)']
    for name, row in zip(names, report['subsets'], strict=True):
        shares = ''.join(f'{row["coverage"][str(level)]:8.2f}' for level in REGIONS)
        error, before = (
            each['expected_calibration_error'] for each in (row, row['uncalibrated'])
        )
        lines.append(
            f'{name:{width}}{row["temperature"]:13.3f}{shares}   {error:.3f} ({before:.3f})'
        )
    size, draws = report['effective_sample_size'], report['importance_draws']
    lines.append(f'effective sample size of the references: {size} of {draws} draws')
    if size < _MIN_EFFECTIVE_DRAWS:
        lines.append(
            'so a reference is hardly more than a draw of the joint posterior: the temperatures '
            'make the other posteriors agree with it, and say little about its own'
        )
    return '\n'.join(lines)

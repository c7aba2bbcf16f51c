# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
What an evaluation found, for ``metrics.json`` and for the page.

Numbers come with how many samples they stand on; what could not be measured is None or absent,
never a number that means nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.specs import Measurement, SensorSpec
from m2vae_ros.vae.subsets import Subset


@dataclass(frozen=True)
class Estimated:
    """
    A mean over samples, in nats.

    Parameters
    ----------
    mean, standard_error
        Over the samples.
    samples
        How many.
    effective_sample_size
        Median over the samples, of importance-sampled ones; else None.

    """

    mean: float
    standard_error: float
    samples: int
    effective_sample_size: float | None = None


@dataclass(frozen=True)
class SensorError:
    """
    How far one sensor's reconstruction from a subset lies from what it saw.

    Parameters
    ----------
    sensor
        What was reconstructed.
    source
        The subset; the sensor may be in it.
    predictor
        ``model``; ``mean`` (the mean of the training data); ``last`` (the measurement of that
        sensor before this one); ``one_second_old`` (its newest that was a second old).
    unit
        Of `error`: ``grey levels`` (0..255) or ``m``.
    error
        Mean absolute error: over pixels, or over the cells where both saw a surface.
    psnr
        Of images, dB; else None.
    return_accuracy
        Share of valid cells where it was right whether there is a return; None for images.
    samples
        How many it is the mean of.

    """

    sensor: str
    source: Subset
    predictor: str
    unit: str
    error: float
    psnr: float | None
    return_accuracy: float | None
    samples: int


@dataclass(frozen=True)
class SubsetFindings:
    """
    What is known of one trained subset.

    Parameters
    ----------
    subset
        Which.
    bound
        The objective's bound of samples that have these sensors and no others.
    log_likelihood
        Importance-sampled log p(x_S).
    predictive
        Missing sensor -> predictive log p(x_m|x_S).
    temperature
        Of the model's calibration.
    coverage
        Nominal probability -> observed share of reference draws within the region; empty where
        there were no complete samples.
    expected_calibration_error
        None where `coverage` is empty.

    """

    subset: Subset
    bound: Estimated | None
    log_likelihood: Estimated | None
    predictive: Mapping[str, Estimated]
    temperature: float
    coverage: Mapping[float, float]
    expected_calibration_error: float | None


@dataclass(frozen=True, eq=False)
class Moment:
    """
    A moment: what the sensors saw, and what the model makes of each subset of them.

    Parameters
    ----------
    seconds
        Of the set's stamp, since the first set.
    truth
        Sensor -> what it saw.
    reconstructions
        Subset -> sensor -> the decoder's mean; all trained subsets of what was heard.

    """

    seconds: float
    truth: Mapping[str, Measurement]
    reconstructions: Mapping[Subset, Mapping[str, Measurement]]


@dataclass(frozen=True, eq=False)
class Course:
    """
    How things went over time, one entry for each fused set.

    Parameters
    ----------
    seconds
        Since the first set, ``(sets,)``.
    fused
        Which sensors were fused, bool ``(sets, sensors)``.
    plane
        The latents' means in the plane of their first two principal axes, ``(sets, 2)``.
    explained
        Share of the latents' variance along these two axes.
    gain_seconds, gain
        Sensor by sensor, the information it gave beyond the others, KL(q_S || q_{S without it})
        in nats, at some of the sets: ``(some,)`` and ``(some, sensors)``; NaN where the sensor was
        not fused or the smaller subset has no encoder.

    """

    seconds: NDArray[np.float64]
    fused: NDArray[np.bool_]
    plane: NDArray[np.float64]
    explained: tuple[float, float]
    gain_seconds: NDArray[np.float64]
    gain: NDArray[np.float64]


@dataclass(frozen=True)
class SensorTraffic:
    """What a bag held of a sensor, and what became of it."""

    sensor: str
    topic: str
    messages: int
    rate_hz: float | None
    invalid: Mapping[str, int]
    dropped: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Findings:
    """
    All of it.

    Parameters
    ----------
    model, bag
        File and folder, as they were given.
    command
        The command line.
    package_version
        Of this package.
    sensors
        The model's.
    provenance, objective
        Of the model's header.
    fused_sets
        Sensors joined by ``+`` -> how many sets of exactly these were fused.
    untrained_sets
        Sensors joined by ``+`` -> how many sets no trained subset covers.
    traffic
        Of each sensor.
    seconds
        From the first set to the last.
    longest_gap_s
        Between the stamps of two sets in a row.
    subsets
        Of each trained subset that could be measured, in lattice order.
    errors
        Of every sensor from every subset, and of the predictors beside them.
    information_gain
        Sensor -> mean over time, in nats.
    course
        Over time.
    moments
        A few moments, spread over the bag; the first shows most.
    seen_in_training
        Whether the model was trained on a bag of this name, so that much of it is remembered.

    """

    model: str
    bag: str
    command: str
    package_version: str
    sensors: tuple[SensorSpec, ...]
    provenance: Mapping[str, Any]
    objective: Mapping[str, Any]
    fused_sets: Mapping[str, int]
    untrained_sets: Mapping[str, int]
    traffic: Sequence[SensorTraffic]
    seconds: float
    longest_gap_s: float
    subsets: Sequence[SubsetFindings]
    errors: Sequence[SensorError]
    information_gain: Mapping[str, float]
    course: Course
    moments: Sequence[Moment]
    seen_in_training: bool = False

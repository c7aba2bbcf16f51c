# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
What an evaluation found, for ``metrics.json`` and for the page.

Every number comes with the number of its samples. What could not be measured is None or absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
        Mean over the samples and its standard error, nats.
    samples
        Number of samples.
    effective_sample_size
        Median over the samples, in draws; None where nothing was importance-sampled.

    """

    mean: float
    standard_error: float
    samples: int
    effective_sample_size: float | None = None


@dataclass(frozen=True)
class SensorError:
    """
    The error of one predictor for one sensor, in the sensor's own unit.

    Parameters
    ----------
    sensor
        The sensor that was predicted.
    source
        The subset that the model reconstructs it from; the sensor may be in it. The other
        predictors are measured on the sets that have this subset.
    predictor
        ``model``; ``mean`` (the mean of the training data); ``last`` (the sensor's measurement
        just before); ``one_second_old`` (its newest that was at least a second older).
    unit
        Unit of `error`: ``grey levels`` (0..255) or ``m``.
    error
        Mean absolute error: over valid pixels and colours, or over the cells where measurement
        and prediction both have a return.
    psnr
        Peak signal-to-noise ratio of images, dB; None for ranges.
    return_accuracy
        Share of valid cells where the prediction is right about whether there is a return; None
        for images.
    samples
        Number of sets it was measured on.

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
    Bound, likelihoods and calibration of one trained subset.

    Parameters
    ----------
    subset
        The sensors S.
    bound
        The objective's bound when S is all that was measured, nats per sample.
    log_likelihood
        Importance-sampled log p(x_S), nats per sample.
    predictive
        Missing sensor m -> predictive log p(x_m|x_S), nats per sample.
    temperature
        By which the model's calibration scales the variance of q_S.
    coverage
        Nominal probability of a region -> observed share of reference draws in it; empty where no
        set had all sensors.
    expected_calibration_error
        Mean difference of nominal and observed probability; None where `coverage` is empty.

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
    One fused set for the page: what the sensors saw, and its reconstructions.

    Parameters
    ----------
    seconds
        From the stamp of the first set to that of this one.
    truth
        Sensor -> its measurement.
    reconstructions
        Subset -> sensor -> the decoder's mean; for all trained subsets of the sensors in `truth`.

    """

    seconds: float
    truth: Mapping[str, Measurement]
    reconstructions: Mapping[Subset, Mapping[str, Measurement]]


@dataclass(frozen=True, eq=False)
class Timeline:
    """
    Fused sensors, latents and information gains over the time of a bag.

    Parameters
    ----------
    seconds
        Stamps of all fused sets, since the first one, ``(sets,)``.
    fused
        Which sensors were fused, bool ``(sets, sensors)``.
    plane
        The latents' means in the plane of their first two principal axes, ``(sets, 2)``.
    explained
        Share of the latents' variance along each of these two axes.
    gain_seconds
        Stamps of the kept sets, since the first fused set, ``(kept,)``.
    gain
        Information that each sensor gave beyond the others, KL(q_S || q_{S without it}) in nats,
        ``(kept, sensors)``; NaN where the sensor was not fused or the smaller subset has no
        encoder.

    """

    seconds: NDArray[np.float64]
    fused: NDArray[np.bool_]
    plane: NDArray[np.float64]
    explained: tuple[float, float]
    gain_seconds: NDArray[np.float64]
    gain: NDArray[np.float64]


@dataclass(frozen=True)
class SensorTraffic:
    """
    The messages of a sensor in a bag, and what became of them.

    Parameters
    ----------
    sensor, topic
        The sensor, and its topic in the bag.
    messages
        Number of its messages.
    rate_hz
        Their mean rate by the time of receipt; None for a single message.
    invalid
        Rule -> number of messages that broke it.
    dropped
        Reason -> number of measurements that the synchroniser dropped.

    """

    sensor: str
    topic: str
    messages: int
    rate_hz: float | None
    invalid: Mapping[str, int]
    dropped: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Findings:
    """
    Everything that an evaluation measured.

    Parameters
    ----------
    model, bag
        Paths of the model file and of the bag, as they were given.
    command
        The command line.
    package_version
        Version of this package.
    sensors
        The model's sensors.
    provenance, objective
        From the model's header.
    fused_sets
        Sensors joined by ``+`` -> number of sets in which exactly these were fused.
    untrained_sets
        Sensors joined by ``+`` -> number of sets of these that no trained subset covers.
    traffic
        One entry for each sensor that the bag has.
    seconds
        From the stamp of the first set to that of the last.
    longest_gap_s
        Between the stamps of two consecutive sets.
    subsets
        One entry for each trained subset that could be measured, in lattice order.
    errors
        Errors of every sensor from every subset, by every predictor.
    information_gain
        Sensor -> mean information gain over time, nats.
    timeline
        Fused sensors, latents and information gains over time.
    moments
        A few sets, spread over the bag; the first has most contrast.
    seen_in_training
        Whether the model was trained on a bag of this name.
    absent
        Sensor of the model that the bag lacks -> why.
    remarks
        Lines of text about these, and about topics that were found by their type.

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
    timeline: Timeline
    moments: Sequence[Moment]
    seen_in_training: bool = False
    absent: Mapping[str, str] = field(default_factory=dict)
    remarks: Sequence[str] = ()

    @property
    def present(self) -> tuple[str, ...]:
        """Names of the sensors that the bag has."""
        return tuple(spec.name for spec in self.sensors if spec.name not in self.absent)

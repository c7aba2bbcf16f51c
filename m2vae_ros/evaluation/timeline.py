# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What an evaluation shows over the time of a bag: latents, information gains, moments."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.evaluation.findings import Moment, Timeline
from m2vae_ros.evaluation.kept_sets import KeptSet
from m2vae_ros.evaluation.passage import Passage
from m2vae_ros.fusion.engine import Engine
from m2vae_ros.specs import Measurement
from m2vae_ros.vae.information import information_gain
from m2vae_ros.vae.subsets import Subset, without


def make_timeline(engine: Engine, passage: Passage) -> Timeline:
    """Return the fused sensors, latents and information gains over the time of a bag."""
    names = engine.model.names
    first_ns = passage.stamps[0]
    plane, explained = principal_plane(passage.means)
    fused = [[name in subset for name in names] for subset in passage.fused]
    gains = [information_gains(engine, kept) for kept in passage.kept]
    return Timeline(
        seconds=(passage.stamps - first_ns) * 1e-9,
        fused=np.array(fused, np.bool_).reshape(-1, len(names)),
        plane=plane,
        explained=explained,
        gain_seconds=np.array([(kept.stamp_ns - first_ns) * 1e-9 for kept in passage.kept]),
        gain=np.array([[g.get(name, np.nan) for name in names] for g in gains], np.float64),
    )


def information_gains(engine: Engine, kept: KeptSet) -> dict[str, float]:
    """
    Return sensor -> KL(q_S || q_{S without it}) of the calibrated posteriors, nats.

    Of a sensor that was fused alone it is the divergence from the prior. Sensors that were not
    fused, or whose smaller subset has no encoder, are left out.
    """
    subset = engine.subset_for(tuple(kept.measurements))
    if subset is None:
        return {}
    joint, _ = engine.fuse({name: kept.measurements[name] for name in subset})
    found = {}
    for name in subset:
        smaller = without(subset, name)
        if not smaller:
            found[name] = float(information_gain(joint))
        elif smaller in engine.model.trained_subsets:
            rest, _ = engine.fuse({other: kept.measurements[other] for other in smaller})
            found[name] = float(information_gain(joint, rest))
    return found


def mean_gains(timeline: Timeline, names: Subset) -> dict[str, float]:
    """Return sensor -> its mean information gain over time, nats; sensors without are left out."""
    return {
        name: float(np.nanmean(timeline.gain[:, column]))
        for column, name in enumerate(names) if not np.isnan(timeline.gain[:, column]).all()
    }


def principal_plane(
    means: NDArray[np.float32],
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """
    Project vectors on the plane of their first two principal axes.

    An axis has the sign that makes its largest entry positive, so that the picture is the same
    on every machine.

    Parameters
    ----------
    means
        ``(sets, latent)``.

    Returns
    -------
    plane, explained
        ``(sets, 2)``, and the share of the variance along each of the two axes.

    """
    centred = means.astype(np.float64) - means.mean(0, dtype=np.float64)
    variances, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    plane = np.zeros((len(means), 2))
    plane[:, :axes.shape[1]] = centred @ axes
    total = variances.sum()
    largest = [*variances[::-1][:2], 0.0][:2] if total > 0 else [0.0, 0.0]
    shares = [float(variance / total) if total > 0 else 0.0 for variance in largest]
    return plane, (shares[0], shares[1])


def choose_moments(engine: Engine, passage: Passage, count: int) -> list[Moment]:
    """
    Return moments for the page, with reconstructions from every subset of what was measured.

    Parameters
    ----------
    engine
        Makes the reconstructions.
    passage
        The moments are chosen among its kept sets with most sensors.
    count
        How many, at most.

    Returns
    -------
    list
        First the moment with most contrast, then evenly spaced ones in order of time.

    """
    most = max(len(kept.measurements) for kept in passage.kept)
    full = [kept for kept in passage.kept if len(kept.measurements) == most]
    best = max(full, key=lambda kept: contrast(kept.measurements))
    rows = np.unique(np.linspace(0, len(full) - 1, count).round().astype(int))
    others = [full[row] for row in rows if full[row] is not best]
    first_ns = passage.stamps[0]
    return [
        _moment(engine, kept, float(kept.stamp_ns - first_ns) * 1e-9)
        for kept in [best, *others][:count]
    ]


def contrast(measurements: Mapping[str, Measurement]) -> float:
    """Return how much there is to see: the sum of std / mean of what each sensor measured."""
    spreads = []
    for measurement in measurements.values():
        is_image = measurement.values.ndim > measurement.returned.ndim
        seen = (
            measurement.values[:, measurement.returned] if is_image
            else measurement.values[measurement.returned]
        )
        if seen.size:
            spreads.append(float(seen.std() / (abs(seen.mean()) + 1e-6)))
    return sum(spreads)


def _moment(engine: Engine, kept: KeptSet, seconds: float) -> Moment:
    measured = kept.measurements
    return Moment(seconds, measured, {
        subset: engine.fuse(
            {name: measured[name] for name in subset}, reconstruct=engine.model.names,
            stamp_ns=kept.stamp_ns,
        )[1]
        for subset in engine.model.trained_subsets if set(subset) <= set(measured)
    })

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""How things went over the time of a bag: the latents' plane, gains, moments to look at."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.evaluation.findings import Course, Moment
from m2vae_ros.evaluation.passage import KeptSet, Passage
from m2vae_ros.fusion.engine import Engine
from m2vae_ros.specs import Measurement
from m2vae_ros.vae.information import information_gain
from m2vae_ros.vae.subsets import Subset, without


def course(engine: Engine, passage: Passage) -> Course:
    """Return what the page draws over time."""
    names = engine.model.names
    first = passage.stamps[0]
    plane, explained = principal_plane(passage.means)
    fused = [[name in subset for name in names] for subset in passage.fused]
    gains = [gain(engine, one) for one in passage.kept]
    return Course(
        seconds=(passage.stamps - first) * 1e-9,
        fused=np.array(fused, np.bool_).reshape(-1, len(names)),
        plane=plane,
        explained=explained,
        gain_seconds=np.array([(one.stamp_ns - first) * 1e-9 for one in passage.kept]),
        gain=np.array([[g.get(name, np.nan) for name in names] for g in gains], np.float64),
    )


def gain(engine: Engine, one: KeptSet) -> dict[str, float]:
    """Return sensor -> KL(q_S || q_{S without it}) of calibrated posteriors, nats."""
    subset = engine.subset_for(tuple(one.measurements))
    if subset is None:
        return {}
    joint, _ = engine.fuse({name: one.measurements[name] for name in subset})
    found = {}
    for name in subset:
        smaller = without(subset, name)
        if not smaller:
            found[name] = float(information_gain(joint))
        elif smaller in engine.model.trained_subsets:
            rest, _ = engine.fuse({other: one.measurements[other] for other in smaller})
            found[name] = float(information_gain(joint, rest))
    return found


def mean_gain(found: Course, names: Subset) -> dict[str, float]:
    """Return sensor -> its mean gain over time, of the sensors that have one."""
    return {
        name: float(np.nanmean(found.gain[:, column]))
        for column, name in enumerate(names) if not np.isnan(found.gain[:, column]).all()
    }


def principal_plane(
    means: NDArray[np.float32],
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """
    Return vectors in the plane of their first two principal axes.

    The sign of an axis is that of its largest entry, so that the picture is the same everywhere.

    Parameters
    ----------
    means
        ``(sets, latent)``.

    Returns
    -------
    plane, explained
        ``(sets, 2)``, and the share of the variance along each of the two.

    """
    centred = means.astype(np.float64) - means.mean(0, dtype=np.float64)
    variances, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    plane = np.zeros((len(means), 2))
    plane[:, :axes.shape[1]] = centred @ axes
    total = variances.sum()
    largest = [*variances[::-1][:2], 0.0][:2] if total > 0 else [0.0, 0.0]
    shares = [float(one / total) if total > 0 else 0.0 for one in largest]
    return plane, (shares[0], shares[1])


def moments(engine: Engine, passage: Passage, count: int) -> list[Moment]:
    """
    Return some moments, the one with most to see first, the others in the order of time.

    Parameters
    ----------
    engine
        Reconstructs.
    passage
        Of its samples those with most sensors are chosen.
    count
        How many.

    """
    most = max(len(one.measurements) for one in passage.kept)
    full = [one for one in passage.kept if len(one.measurements) == most]
    best = max(full, key=lambda one: contrast(one.measurements))
    rows = np.unique(np.linspace(0, len(full) - 1, count).round().astype(int))
    others = [full[row] for row in rows if full[row] is not best]
    first = passage.stamps[0]
    return [
        _moment(engine, one, float(one.stamp_ns - first) * 1e-9)
        for one in [best, *others][:count]
    ]


def contrast(measurements: Mapping[str, Measurement]) -> float:
    """Return how much there is to see: the spread of what returned, relative to its mean."""
    spreads = []
    for one in measurements.values():
        image = one.values.ndim > one.returned.ndim
        seen = one.values[:, one.returned] if image else one.values[one.returned]
        if seen.size:
            spreads.append(float(seen.std() / (abs(seen.mean()) + 1e-6)))
    return sum(spreads)


def _moment(engine: Engine, one: KeptSet, seconds: float) -> Moment:
    heard = one.measurements
    return Moment(seconds, heard, {
        subset: engine.fuse(
            {name: heard[name] for name in subset}, reconstruct=engine.model.names,
            stamp_ns=one.stamp_ns,
        )[1]
        for subset in engine.model.trained_subsets if set(subset) <= set(heard)
    })

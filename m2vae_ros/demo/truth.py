# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the robot's sensors would have seen, silenced or not, and how far off the model was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch

from m2vae_ros.evaluation.relative_errors import RelativeError, RelativeErrorSum
from m2vae_ros.sensors.kinds import decode
from m2vae_ros.simulation.native_messages import observe, PLAIN_CLASSES
from m2vae_ros.simulation.sensing import Noise, Sensing
from m2vae_ros.simulation.world import Pose, World
from m2vae_ros.specs import Measurement, SensorSpec
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.model import M2VAE
from m2vae_ros.vae.subsets import Subset

StampedPose = tuple[int, float, float, float]  # stamp in ns, x, y in m, heading in rad


@dataclass(frozen=True, eq=False)
class Sight:
    """At one stamp: the subset that was fused, its latent, the truth and its reconstruction."""

    stamp_ns: int
    subset: Subset
    mean: NDArray[np.float32]
    log_variance: NDArray[np.float32]
    truth: Mapping[str, Measurement]
    reconstruction: Mapping[str, Measurement]


class Truth:
    """
    The simulated sensors without noise, at any time of a drive.

    Parameters
    ----------
    seed
        Of the robot's world.
    poses
        Where the robot was, in order of time; at least one.
    sensors
        The model's sensors, among those of the robot.

    """

    def __init__(
        self, seed: int, poses: Sequence[StampedPose], sensors: Sequence[SensorSpec]
    ) -> None:
        silent = Noise(image=0, exposure=0, scan=0, depth=0, lost=0)
        self._sensing = Sensing(World(seed), np.random.default_rng(0), silent)
        self._sensors = sensors
        self._stamps = np.array([pose[0] for pose in poses], np.int64)
        self._poses = np.array([pose[1:] for pose in poses], np.float64)
        self._poses[:, 2] = np.unwrap(self._poses[:, 2])
        self._pose = Pose(0.0, 0.0, 0.0)

    def covers(self, stamp_ns: int) -> bool:
        """Return whether the drive was under way at a stamp."""
        return bool(self._stamps[0] <= stamp_ns <= self._stamps[-1])

    def at(self, stamp_ns: int) -> dict[str, Measurement]:
        """Return what each sensor sees at a stamp, as the model would be told."""
        elapsed = (self._stamps - self._stamps[0]).astype(np.float64)
        when = float(stamp_ns - int(self._stamps[0]))
        self._pose = Pose(*(float(np.interp(when, elapsed, axis)) for axis in self._poses.T))
        return {
            spec.name: decode(spec, observe(self, spec.name, stamp_ns, PLAIN_CLASSES))
            for spec in self._sensors
        }

    def image(self) -> NDArray[np.uint8]:
        """Return the camera's image at the pose that `at` chose; see `Robot.image`."""
        return self._sensing.image(self._pose)

    def ranges(self) -> NDArray[np.float32]:
        """Return the scan there; see `Robot.ranges`."""
        return self._sensing.ranges(self._pose)

    def cloud(self) -> NDArray[np.float32]:
        """Return the depth cloud there; see `Robot.cloud`."""
        return self._sensing.cloud(self._pose)


def sight(
    truth: Truth, stamp_ns: int, subset: Subset, latent: Any, messages: Mapping[str, Any],
    sensors: Sequence[SensorSpec],
) -> Sight:
    """Return what was so and what the model made of it, from the messages it published."""
    reconstruction = {
        spec.name: decode(spec, messages[spec.name]) for spec in sensors if spec.name in messages
    }
    return Sight(
        stamp_ns, subset, latent.mean, latent.log_variance, truth.at(stamp_ns), reconstruction
    )


def contrast(one: Sight) -> float:
    """Return how much there is to see: a wall alone has little, objects before it have much."""
    return sum(
        float(seen.values.std() / max(float(seen.values.mean()), 1e-6))
        for seen in one.truth.values()
    )


def errors(model: M2VAE, sights: Sequence[Sight]) -> list[RelativeError]:
    """Return the error of every sensor from every subset that was seen."""
    sums: dict[tuple[str, Subset], RelativeErrorSum] = {}
    for one in sights:
        for name, shown in one.reconstruction.items():
            truth = one.truth[name]
            batch = SensorBatch(*(
                torch.from_numpy(array).unsqueeze(0)
                for array in (truth.values, truth.valid, truth.returned)
            ))
            values = torch.from_numpy(shown.values).unsqueeze(0)
            total = sums.setdefault((name, one.subset), RelativeErrorSum())
            total.add(batch, values, model.normalisation(name).mean)
    return [total.result(sensor, subset) for (sensor, subset), total in sums.items()]

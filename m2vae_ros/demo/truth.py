# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The ground truth of the demo: what the sensors would see, and the errors of the model."""

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
class Snapshot:
    """
    A latent with the ground truth and the reconstructions of its stamp.

    Parameters
    ----------
    stamp_ns
        The stamp, nanoseconds.
    subset
        The sensors that were fused.
    mean, log_variance
        The latent's posterior, ``(latent,)``.
    truth, reconstructions
        Sensor -> what it would see, and what the model expects it to see.

    """

    stamp_ns: int
    subset: Subset
    mean: NDArray[np.float32]
    log_variance: NDArray[np.float32]
    truth: Mapping[str, Measurement]
    reconstructions: Mapping[str, Measurement]


class GroundTruth:
    """
    The simulated sensors without noise, at any time of a drive.

    Parameters
    ----------
    seed
        Seed of the robot's world.
    poses
        The robot's poses, in order of time; at least one.
    sensors
        The model's sensors, which the robot must have.

    """

    def __init__(
        self, seed: int, poses: Sequence[StampedPose], sensors: Sequence[SensorSpec]
    ) -> None:
        no_noise = Noise(image=0, exposure=0, scan=0, depth=0, lost=0)
        self._sensing = Sensing(World(seed), np.random.default_rng(0), no_noise)
        self._sensors = sensors
        self._stamps = np.array([pose[0] for pose in poses], np.int64)
        self._poses = np.array([pose[1:] for pose in poses], np.float64)
        self._poses[:, 2] = np.unwrap(self._poses[:, 2])
        self._pose = Pose(0.0, 0.0, 0.0)

    def covers(self, stamp_ns: int) -> bool:
        """Return whether the poses cover a stamp."""
        return bool(self._stamps[0] <= stamp_ns <= self._stamps[-1])

    def measurements(self, stamp_ns: int) -> dict[str, Measurement]:
        """Return what each sensor would see at a stamp, as the model's measurement."""
        times = (self._stamps - self._stamps[0]).astype(np.float64)
        elapsed = float(stamp_ns - int(self._stamps[0]))
        self._pose = Pose(*(float(np.interp(elapsed, times, axis)) for axis in self._poses.T))
        return {
            spec.name: decode(spec, observe(self, spec.name, stamp_ns, PLAIN_CLASSES))
            for spec in self._sensors
        }

    def image(self) -> NDArray[np.uint8]:
        """Return the camera's image at the pose of the last `measurements`; see `Robot.image`."""
        return self._sensing.image(self._pose)

    def ranges(self) -> NDArray[np.float32]:
        """Return the lidar's ranges there; see `Robot.ranges`."""
        return self._sensing.ranges(self._pose)

    def cloud(self) -> NDArray[np.float32]:
        """Return the depth camera's points there; see `Robot.cloud`."""
        return self._sensing.cloud(self._pose)


def take_snapshot(
    truth: GroundTruth, subset: Subset, latent: Any, messages: Mapping[str, Any],
    sensors: Sequence[SensorSpec],
) -> Snapshot:
    """
    Return the snapshot of a latent.

    Parameters
    ----------
    truth
        The ground truth of the drive.
    subset
        The sensors that were fused.
    latent
        The latent that the node published.
    messages
        Sensor -> the reconstruction that the node published with it.
    sensors
        The model's sensors.

    """
    reconstructions = {
        spec.name: decode(spec, messages[spec.name]) for spec in sensors if spec.name in messages
    }
    return Snapshot(
        latent.stamp_ns, subset, latent.mean, latent.log_variance,
        truth.measurements(latent.stamp_ns), reconstructions,
    )


def contrast(snapshot: Snapshot) -> float:
    """Return how much there is to see: little for a bare wall, much for objects before it."""
    return sum(
        float(measurement.values.std() / max(float(measurement.values.mean()), 1e-6))
        for measurement in snapshot.truth.values()
    )


def reconstruction_errors(
    model: M2VAE, snapshots: Sequence[Snapshot]
) -> list[RelativeError]:
    """Return the error of each sensor reconstructed from each subset in the snapshots."""
    sums: dict[tuple[str, Subset], RelativeErrorSum] = {}
    for snapshot in snapshots:
        for name, reconstruction in snapshot.reconstructions.items():
            truth = snapshot.truth[name]
            batch = SensorBatch(*(
                torch.from_numpy(array).unsqueeze(0)
                for array in (truth.values, truth.valid, truth.returned)
            ))
            values = torch.from_numpy(reconstruction.values).unsqueeze(0)
            total = sums.setdefault((name, snapshot.subset), RelativeErrorSum())
            total.add(batch, values, model.normalisation(name).mean)
    return [total.result(sensor, subset) for (sensor, subset), total in sums.items()]

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Inference with one model on one device, warmed up for every trained subset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import os
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from m2vae_ros.fusion.cuda_graphs import CapturedModel, full_precision
from m2vae_ros.specs import Measurement, SensorSpec
from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.header import check_temperatures
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.model import M2VAE
from m2vae_ros.vae.subsets import Subset

_WARM_UP_ROUNDS = 3  # the first calls of a shape choose kernels and allocate


class Inferred(NamedTuple):
    """
    What was inferred, still on the device: tensors with a batch axis of 1.

    A reconstruction is (values, probability of a return); the latter is None for an image.
    """

    posterior: DiagonalGaussian
    reconstructions: dict[str, tuple[Tensor, Tensor | None]]


class Engine:
    """
    Runs the encoder of exactly the given sensors, and the decoders that are asked for.

    Parameters
    ----------
    model
        The trained model; it is moved to the device.
    device
        ``auto`` (the GPU if this torch can use one, else the CPU), or a name that torch knows.
    temperatures
        Trained subset -> factor on the variances of its posterior, 1 where a subset is not named.
        None = those of the model's file.
    graphs
        Whether `warm` records CUDA graphs where the device is a GPU. A GPU that cannot record
        them goes on without, and `device_report` says why.

    Attributes
    ----------
    device
        Where the model runs.
    device_report
        Which device this is, and why, as a sentence.

    Raises
    ------
    ValueError
        If the device is unknown or not available, or a temperature is not positive or its subset
        not trained.

    """

    def __init__(
        self,
        model: M2VAE,
        *,
        device: str = 'auto',
        temperatures: Mapping[Subset, float] | None = None,
        graphs: bool = True,
    ) -> None:
        self.temperatures = dict(model.temperatures if temperatures is None else temperatures)
        check_temperatures(self.temperatures, model.trained_subsets)
        self.device, self.device_report = choose_device(device)
        self.model = model.to(self.device).eval().requires_grad_(False)
        self._graphs = graphs
        self._captured: CapturedModel | None = None

    def subset_for(self, sensors: Sequence[str]) -> Subset | None:
        """Return the largest trained subset of some sensors; of equals, the lattice's first."""
        return max(
            (s for s in self.model.trained_subsets if set(s) <= set(sensors)),
            key=len, default=None,
        )

    def warm(self) -> None:
        """Run every trained subset and every decoder, so that the first message is not slow."""
        if self.device.type == 'cuda' and self._graphs:
            try:
                self._captured = CapturedModel(self.model, self.temperatures, self.device)
            except RuntimeError as error:  # of the driver, of torch or for want of memory
                reason = str(error).partition('\n')[0]
                self.device_report += f'; kernels are launched one by one: {reason}'
        for subset in self.model.trained_subsets:
            blanks = {name: blank(self.model.sensor(name)) for name in subset}
            for _ in range(_WARM_UP_ROUNDS):
                self._run(blanks, subset, self.model.names)
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)

    def fuse(
        self,
        measurements: Mapping[str, Measurement],
        *,
        reconstruct: Sequence[str] = (),
        stamp_ns: int | None = None,
    ) -> tuple[DiagonalGaussian, dict[str, Measurement]]:
        """
        Return the posterior given some sensors, and what some sensors are expected to see.

        Parameters
        ----------
        measurements
            Sensor -> measurement, for exactly the sensors of a trained subset.
        reconstruct
            Sensors to reconstruct: the decoder's mean at the posterior's mean.
        stamp_ns
            Stamp of the reconstructions; None = the newest of the measurements.

        Returns
        -------
        posterior
            q(z|x_S), calibrated, on the CPU, tensors ``(1, latent)``.
        reconstructions
            Sensor -> Measurement, in the spec's frame.

        Raises
        ------
        ValueError
            If the sensors are no trained subset, or a sensor to reconstruct is unknown.

        """
        subset = tuple(name for name in self.model.names if name in measurements)
        targets = [self.model.sensor(name).name for name in reconstruct]
        if stamp_ns is None:
            stamp_ns = max((item.stamp_ns for item in measurements.values()), default=0)
        return self._to_host(self._run(measurements, subset, targets), stamp_ns)

    @torch.inference_mode()
    def infer(
        self, batch: Mapping[str, SensorBatch], subset: Subset, reconstruct: Sequence[str]
    ) -> Inferred:
        """Run what is asked for, and nothing else, on data that are on the device already."""
        with full_precision():
            posterior = self.model.encode(batch, subset)
            reconstructions = {
                name: self.model.decode(posterior.mean, name).mean() for name in reconstruct
            }
        return Inferred(posterior.tempered(self.temperatures.get(subset, 1.0)), reconstructions)

    def close(self) -> None:
        """Free the device: the model goes back to the CPU."""
        if self.device.type == 'cuda':
            self._captured = None  # its graphs hold addresses of the model's weights
            self.model.cpu()
            torch.cuda.empty_cache()

    def _run(
        self, measurements: Mapping[str, Measurement], subset: Subset, reconstruct: Sequence[str]
    ) -> Inferred:
        if self._captured is not None and subset in self.model.trained_subsets:
            return Inferred(*self._captured.run(measurements, subset, reconstruct))
        return self.infer(self._to_device(measurements), subset, reconstruct)

    def _to_device(self, measurements: Mapping[str, Measurement]) -> dict[str, SensorBatch]:
        """Move measurements to the device; no other function does."""
        return {
            name: SensorBatch(*(
                torch.from_numpy(array).unsqueeze(0).to(self.device, non_blocking=True)
                for array in (item.values, item.valid, item.returned)
            ))
            for name, item in measurements.items()
        }

    def _to_host(
        self, inferred: Inferred, stamp_ns: int
    ) -> tuple[DiagonalGaussian, dict[str, Measurement]]:
        """Move results to the CPU; no other function does."""
        posterior = DiagonalGaussian(
            inferred.posterior.mean.cpu(), inferred.posterior.log_variance.cpu()
        )
        reconstructions = {}
        for name, (values, returns) in inferred.reconstructions.items():
            spec = self.model.sensor(name)
            expected = values[0].cpu().numpy()
            valid = np.ones(spec.spatial_shape, np.bool_)
            returned = valid if returns is None else (returns[0] > 0.5).cpu().numpy()
            if returns is not None:
                expected = np.where(returned, expected, np.float32(0))
            reconstructions[name] = Measurement(expected, valid, returned, stamp_ns, spec.frame_id)
        return posterior, reconstructions


def choose_device(name: str) -> tuple[torch.device, str]:
    """
    Return the device to run on and a sentence that says why.

    Raises
    ------
    ValueError
        If a device was named that is unknown or not available.

    """
    reason = _why_no_cuda()
    if name == 'auto':
        if reason is None:
            return torch.device('cuda'), f'device auto: GPU {torch.cuda.get_device_name()}'
        return torch.device('cpu'), f'device auto: CPU, not the GPU: {reason}'
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or (device.type != 'cuda' and name != 'cpu'):
        raise ValueError(f'device {name!r}: must be auto, cpu, cuda or cuda:N')
    if device.type == 'cuda':
        if reason is not None:
            raise ValueError(f'device {name!r}: {reason}; use auto or cpu')
        if (device.index or 0) >= torch.cuda.device_count():
            raise ValueError(f'device {name!r}: there are {torch.cuda.device_count()} GPUs')
    return device, f'device {name}: as requested'


def usable_threads(wanted: int) -> int:
    """Return how many threads to compute with: more than there are CPUs only wait."""
    return min(wanted, len(os.sched_getaffinity(0)))


def _why_no_cuda() -> str | None:
    """Return why CUDA cannot run here, or None where it can."""
    if torch.version.cuda is None:
        return f'this torch ({torch.__version__}) is built without CUDA'
    if torch.cuda.is_available():
        return None
    return 'torch finds no CUDA GPU (is the driver installed and the GPU passed through?)'


def blank(spec: SensorSpec) -> Measurement:
    """Return a measurement without any valid cell."""
    nowhere = np.zeros(spec.spatial_shape, np.bool_)
    return Measurement(np.zeros(spec.shape, np.float32), nowhere, nowhere, 0, spec.frame_id)

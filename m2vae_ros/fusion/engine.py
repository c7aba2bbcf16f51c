# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Inference of one model on one device, with a warm path for every trained subset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from m2vae_ros.specs import Measurement, SensorSpec
from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.header import check_temperatures
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.model import M2VAE
from m2vae_ros.vae.subsets import Subset

_WARM_UP_ROUNDS = 3  # the first calls of a shape choose kernels and allocate


class Inferred(NamedTuple):
    """What ran on the device, still there: tensors with a batch axis of 1."""

    posterior: DiagonalGaussian
    reconstructions: dict[str, tuple[Tensor, Tensor | None]]


class Engine:
    """
    Runs the encoder of exactly the sensors given, and the decoders that are asked for.

    Parameters
    ----------
    model
        The trained model; it is moved to the device.
    device
        ``auto`` (the GPU if this torch can use one, else the CPU), or a name that torch knows.
    temperatures
        Trained subset -> factor on the variances of its posterior; a subset that is not named has
        1. None = the model's own, which came with its file.

    Raises
    ------
    ValueError
        If the device is unknown or not there, or a temperature is not positive or its subset not
        trained.

    """

    def __init__(
        self,
        model: M2VAE,
        *,
        device: str = 'auto',
        temperatures: Mapping[Subset, float] | None = None,
    ) -> None:
        self.temperatures = dict(model.temperatures if temperatures is None else temperatures)
        check_temperatures(self.temperatures, model.trained_subsets)
        self.device, self.device_report = choose_device(device)
        self.model = model.to(self.device).eval().requires_grad_(False)

    def subset_for(self, sensors: Sequence[str]) -> Subset | None:
        """Return the largest trained subset of some sensors, the first in lattice order."""
        return max(
            (s for s in self.model.trained_subsets if set(s) <= set(sensors)),
            key=len, default=None,
        )

    def warm(self) -> None:
        """Run every trained subset and every decoder, so that no first message waits."""
        for subset in self.model.trained_subsets:
            nothing = {name: blank(self.model.sensor(name)) for name in subset}
            for _ in range(_WARM_UP_ROUNDS):
                self.infer(self._to_device(nothing), subset, self.model.names)
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
        Return the posterior of the sensors given and what some sensors should see.

        Parameters
        ----------
        measurements
            Sensor -> measurement, exactly those of a trained subset.
        reconstruct
            Sensors whose decoder's mean at the posterior's mean is wanted.
        stamp_ns
            Stamp of the reconstructions; None = the newest of the measurements.

        Returns
        -------
        posterior, reconstructions
            On the CPU: calibrated, ``(1, latent)``; sensor -> Measurement in the spec's frame.

        Raises
        ------
        ValueError
            If the sensors are no trained subset, or a sensor to reconstruct is unknown.

        """
        subset = tuple(name for name in self.model.names if name in measurements)
        wanted = [self.model.sensor(name).name for name in reconstruct]
        if stamp_ns is None:
            stamp_ns = max((item.stamp_ns for item in measurements.values()), default=0)
        inferred = self.infer(self._to_device(measurements), subset, wanted)
        return self._to_host(inferred, stamp_ns)

    @torch.inference_mode()
    def infer(
        self, batch: Mapping[str, SensorBatch], subset: Subset, reconstruct: Sequence[str]
    ) -> Inferred:
        """Run on the device what was asked for, and nothing else; moves no data."""
        posterior = self.model.encode(batch, subset)
        reconstructions = {
            name: self.model.decode(posterior.mean, name).mean() for name in reconstruct
        }
        if subset in self.temperatures:
            posterior = posterior.tempered(self.temperatures[subset])
        return Inferred(posterior, reconstructions)

    def close(self) -> None:
        """Free the device: the model goes back to the CPU."""
        if self.device.type == 'cuda':
            self.model.cpu()
            torch.cuda.empty_cache()

    def _to_device(self, measurements: Mapping[str, Measurement]) -> dict[str, SensorBatch]:
        """Move measurements to the device; nothing else does."""
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
        """Move results to the CPU; nothing else does."""
        posterior = DiagonalGaussian(
            inferred.posterior.mean.cpu(), inferred.posterior.log_variance.cpu()
        )
        reconstructions = {}
        for name, (values, returns) in inferred.reconstructions.items():
            spec = self.model.sensor(name)
            shown = values[0].cpu().numpy()
            valid = np.ones(spec.spatial_shape, np.bool_)
            returned = valid if returns is None else (returns[0] > 0.5).cpu().numpy()
            if returns is not None:
                shown = np.where(returned, shown, np.float32(0))
            reconstructions[name] = Measurement(shown, valid, returned, stamp_ns, spec.frame_id)
        return posterior, reconstructions


def choose_device(name: str) -> tuple[torch.device, str]:
    """
    Return the device to run on and a sentence that says why.

    Raises
    ------
    ValueError
        If a device was named that is unknown or not there.

    """
    reason = _why_no_cuda()
    if name == 'auto':
        if reason is None:
            return torch.device('cuda'), f'device auto: GPU {torch.cuda.get_device_name()}'
        return torch.device('cpu'), f'device auto: CPU, not the GPU: {reason}'
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f'device {name!r}: no device of torch; use auto, cpu or cuda') from error
    if device.type == 'cuda':
        if reason is not None:
            raise ValueError(f'device {name!r}: {reason}; use auto or cpu')
        if (device.index or 0) >= torch.cuda.device_count():
            raise ValueError(f'device {name!r}: there are {torch.cuda.device_count()} GPUs')
    return device, f'device {name}: as named'


def _why_no_cuda() -> str | None:
    """Return why CUDA cannot run here, or None where it can."""
    if torch.version.cuda is None:
        return f'this torch ({torch.__version__}) is built without CUDA'
    if torch.cuda.is_available():
        return None
    return 'torch finds no CUDA GPU (is the driver installed and the GPU passed through?)'


def blank(spec: SensorSpec) -> Measurement:
    """Return a measurement that says nothing."""
    nothing = np.zeros(spec.spatial_shape, np.bool_)
    return Measurement(np.zeros(spec.shape, np.float32), nothing, nothing, 0, spec.frame_id)

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
A model on a CUDA GPU, one launch for each encoder and decoder.

A set at robot rate is a batch of one: its kernels take microseconds, so launching them one by one
takes longer than running them. Here the kernels of each encoder and each decoder are recorded
once, as a CUDA graph, on arrays that stay where they are. A set is written into one pinned buffer
and crosses to the GPU in one copy, a part of the graph, as is the copy of what was inferred. The
trunks of several sensors run side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from m2vae_ros.specs import Measurement, SensorSpec
from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.model import M2VAE
from m2vae_ros.vae.subsets import Subset

_ALIGNMENT = 16  # bytes: what vectorised loads need
_WARM_UP_ROUNDS = 3  # the first calls choose kernels and allocate; neither can be recorded


@contextmanager
def full_precision() -> Iterator[None]:
    """Keep float32 in the convolutions of a GPU; by default cuDNN may round them to TF32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


class Layout(NamedTuple):
    """
    Where the arrays of one sensor lie in a buffer of bytes.

    Parameters
    ----------
    start, stop
        The first byte of the sensor and the one after its last.
    values, valid, returned
        Slices of the buffer: float32 of the sensor's shape, and bool of its spatial shape.

    """

    start: int
    stop: int
    values: slice
    valid: slice
    returned: slice


def layouts(sensors: Sequence[SensorSpec]) -> dict[str, Layout]:
    """
    Return sensor -> where its arrays lie in one buffer, in the order of the sensors.

    Every array begins at a multiple of 16 bytes, and none overlaps another. The sensors of a
    subset, from the first to the last, are one piece of the buffer.
    """
    found = {}
    end = 0
    for spec in sensors:
        start = end
        arrays = []
        for bytes_ in (4 * prod(spec.shape), prod(spec.spatial_shape), prod(spec.spatial_shape)):
            arrays.append(slice(end, end + bytes_))
            end = -(-(end + bytes_) // _ALIGNMENT) * _ALIGNMENT
        found[spec.name] = Layout(start, end, *arrays)
    return found


def views(buffer: Tensor, layout: Layout, spec: SensorSpec) -> SensorBatch:
    """Return the arrays of one sensor as a batch of one that shares the buffer's memory."""
    return SensorBatch(
        buffer[layout.values].view(torch.float32).view(1, *spec.shape),
        buffer[layout.valid].view(torch.bool).view(1, *spec.spatial_shape),
        buffer[layout.returned].view(torch.bool).view(1, *spec.spatial_shape),
    )


class CapturedModel:
    """
    Runs recorded encoders and decoders of one model.

    It is for one thread at a time: all sets pass through the same arrays.

    Parameters
    ----------
    model
        The model, on the GPU, in evaluation mode; it stays there while this object is used.
    temperatures
        Trained subset -> factor on the variances of its posterior, 1 where it is not named.
    device
        The GPU.

    Raises
    ------
    RuntimeError
        If the GPU or torch cannot record an encoder or a decoder.

    """

    @torch.inference_mode()
    def __init__(
        self, model: M2VAE, temperatures: Mapping[Subset, float], device: torch.device
    ) -> None:
        self._model = model
        self._temperatures = temperatures
        self._layouts = layouts(model.sensors)
        size = max(layout.stop for layout in self._layouts.values())
        self._staging = torch.zeros(size, dtype=torch.uint8, pin_memory=True)
        self._inputs = torch.zeros(size, dtype=torch.uint8, device=device)
        self._staged = {
            spec.name: [array[0].numpy() for array in self._views(self._staging, spec)]
            for spec in model.sensors
        }
        self._mean = torch.zeros(1, model.latent_size, device=device)
        self._posterior = torch.zeros(2, 1, model.latent_size, pin_memory=True)
        self._expected = {spec.name: _pinned_outputs(spec) for spec in model.sensors}
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._beside = [
            torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            for _ in model.sensors[1:]
        ]
        self._pool = torch.cuda.graph_pool_handle()
        with full_precision():
            self._encoders = {
                subset: self._record(partial(self._encode, subset))
                for subset in model.trained_subsets
            }
            self._decoders = {
                name: self._record(partial(self._decode, name)) for name in model.names
            }

    @torch.inference_mode()
    def run(
        self, measurements: Mapping[str, Measurement], subset: Subset, reconstruct: Sequence[str]
    ) -> tuple[DiagonalGaussian, dict[str, tuple[Tensor, Tensor | None]]]:
        """
        Return the posterior and reconstructions of a set, in memory of their own on the CPU.

        Raises
        ------
        KeyError
            If the subset was not recorded, or a sensor is unknown.

        """
        for name in subset:
            item = measurements[name]
            arrays = (item.values, item.valid, item.returned)
            for staged, array in zip(self._staged[name], arrays, strict=True):
                np.copyto(staged, array)
        self.replay(subset, reconstruct)
        self.stream.synchronize()
        posterior = DiagonalGaussian(*self._posterior.clone().unbind())
        expected = {}
        for name in reconstruct:
            values, returns = self._expected[name]
            expected[name] = (values.clone(), None if returns is None else returns.clone())
        return posterior, expected

    def replay(self, subset: Subset, reconstruct: Sequence[str]) -> None:
        """Launch what was recorded on the arrays that are staged, without waiting for it."""
        with torch.cuda.stream(self.stream):
            self._encoders[subset].replay()
            for name in reconstruct:
                self._decoders[name].replay()

    def _views(self, buffer: Tensor, spec: SensorSpec) -> SensorBatch:
        return views(buffer, self._layouts[spec.name], spec)

    def _encode(self, subset: Subset) -> None:
        """Take what is staged to the GPU, and the posterior of the subset from it."""
        start = min(self._layouts[name].start for name in subset)
        stop = max(self._layouts[name].stop for name in subset)
        self._inputs[start:stop].copy_(self._staging[start:stop], non_blocking=True)
        features = {}
        for name, stream in zip(subset, (self.stream, *self._beside), strict=False):
            if stream is not self.stream:
                stream.wait_stream(self.stream)
            with torch.cuda.stream(stream):
                batch = self._views(self._inputs, self._model.sensor(name))
                features[name] = self._model.features(batch, name)
        for stream in self._beside[:len(subset) - 1]:
            self.stream.wait_stream(stream)
        posterior = self._model.posterior(features, subset)
        posterior = posterior.tempered(self._temperatures.get(subset, 1.0))
        self._mean.copy_(posterior.mean)
        self._posterior.copy_(
            torch.stack([posterior.mean, posterior.log_variance]), non_blocking=True
        )

    def _decode(self, name: str) -> None:
        """Take what a sensor is expected to see at the posterior's mean from the GPU."""
        expected = self._model.decode(self._mean, name).mean()
        for kept, computed in zip(self._expected[name], expected, strict=True):
            if kept is not None and computed is not None:
                kept.copy_(computed, non_blocking=True)

    def _record(self, work: Callable[[], None]) -> torch.cuda.CUDAGraph:
        with torch.cuda.stream(self.stream):
            for _ in range(_WARM_UP_ROUNDS):
                work()
        torch.cuda.synchronize(self.stream.device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self.stream, capture_error_mode='thread_local'
        ):
            work()
        return graph


def _pinned_outputs(spec: SensorSpec) -> tuple[Tensor, Tensor | None]:
    """Return where a sensor's expected values, and probabilities of a return, come to lie."""
    values = torch.zeros(1, *spec.shape, pin_memory=True)
    if spec.kind == 'image':
        return values, None
    return values, torch.zeros(1, *spec.spatial_shape, pin_memory=True)

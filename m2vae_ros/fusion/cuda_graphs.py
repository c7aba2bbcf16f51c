# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
A model on a CUDA GPU, one launch for each encoder and decoder.

A set at robot rate is a batch of one: its kernels take microseconds, so launching them one by one
takes longer than running them. Here the kernels of each encoder and each decoder are recorded
once, as a CUDA graph, on arrays that stay where they are. A set is written into one pinned buffer
and crosses to the GPU in one copy; what was inferred comes back in one copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from m2vae_ros.specs import Measurement, SensorSpec
from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.subsets import Subset

_ALIGNMENT = 16  # bytes: what vectorised loads need
_WARM_UP_ROUNDS = 3  # the first calls choose kernels and allocate; neither can be recorded

Encode = Callable[[Mapping[str, SensorBatch], Subset], DiagonalGaussian]
Decode = Callable[[Tensor, str], tuple[Tensor, Tensor | None]]


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


class Outputs:
    """
    The buffer of what is inferred: mean and log variance, then the sensors' reconstructions.

    Parameters
    ----------
    sensors
        The model's sensors, in its order.
    latent
        Size of the latent vector.
    device
        Where the buffer is.

    """

    def __init__(
        self, sensors: Sequence[SensorSpec], latent: int, device: torch.device
    ) -> None:
        ends = [2 * latent]
        for spec in sensors:
            returns = 0 if spec.kind == 'image' else prod(spec.spatial_shape)
            ends.append(ends[-1] + prod(spec.shape) + returns)
        pinned = device.type == 'cpu' and torch.cuda.is_available()
        self.buffer = torch.zeros(ends[-1], device=device, pin_memory=pinned)
        self.posterior = DiagonalGaussian(
            self.buffer[:latent].view(1, latent), self.buffer[latent:2 * latent].view(1, latent)
        )
        self._latent = latent
        self._end = {spec.name: end for spec, end in zip(sensors, ends[1:], strict=True)}
        self.expected: dict[str, tuple[Tensor, Tensor | None]] = {}
        for spec, start, stop in zip(sensors, ends, ends[1:], strict=False):
            piece = self.buffer[start:stop]
            values = piece[:prod(spec.shape)].view(1, *spec.shape)
            returned = piece[prod(spec.shape):]
            self.expected[spec.name] = (
                values, returned.view(1, *spec.spatial_shape) if returned.numel() else None
            )

    def end(self, reconstruct: Sequence[str]) -> int:
        """Return how many of the buffer's numbers hold the posterior and some reconstructions."""
        return max((self._end[name] for name in reconstruct), default=2 * self._latent)


class CapturedModel:
    """
    Runs recorded encoders and decoders of one model.

    It is for one thread at a time: all sets pass through the same arrays.

    Parameters
    ----------
    sensors
        The model's sensors, in its order.
    subsets
        The subsets whose encoders are recorded.
    latent
        Size of the latent vector.
    encode
        From a batch on the GPU and a subset to the calibrated posterior.
    decode
        From latents ``(1, latent)`` and a sensor to what its decoder expects.
    device
        The GPU.

    Raises
    ------
    RuntimeError
        If the GPU or torch cannot record an encoder or a decoder.

    """

    def __init__(
        self,
        sensors: Sequence[SensorSpec],
        subsets: Sequence[Subset],
        latent: int,
        encode: Encode,
        decode: Decode,
        device: torch.device,
    ) -> None:
        self._layouts = layouts(sensors)
        size = max(layout.stop for layout in self._layouts.values())
        self._staging = torch.zeros(size, dtype=torch.uint8, pin_memory=True)
        self._inputs = torch.zeros(size, dtype=torch.uint8, device=device)
        self._staged = {
            spec.name: [
                array[0].numpy()
                for array in views(self._staging, self._layouts[spec.name], spec)
            ]
            for spec in sensors
        }
        batch = {
            spec.name: views(self._inputs, self._layouts[spec.name], spec) for spec in sensors
        }
        self._outputs = Outputs(sensors, latent, device)
        self._host = Outputs(sensors, latent, torch.device('cpu'))
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()
        self._encoders = {
            subset: self._record(partial(self._encoded, encode, batch, subset))
            for subset in subsets
        }
        self._decoders = {
            spec.name: self._record(partial(self._decoded, decode, spec.name)) for spec in sensors
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
        encoder = self._encoders[subset]
        for name in subset:
            item = measurements[name]
            arrays = (item.values, item.valid, item.returned)
            for staged, array in zip(self._staged[name], arrays, strict=True):
                np.copyto(staged, array)
        end = self._outputs.end(reconstruct)
        with torch.cuda.stream(self.stream):
            encoder.replay()
            for name in reconstruct:
                self._decoders[name].replay()
            self._host.buffer[:end].copy_(self._outputs.buffer[:end], non_blocking=True)
        self.stream.synchronize()
        posterior = DiagonalGaussian(
            self._host.posterior.mean.clone(), self._host.posterior.log_variance.clone()
        )
        expected = {}
        for name in reconstruct:
            values, returns = self._host.expected[name]
            expected[name] = (values.clone(), None if returns is None else returns.clone())
        return posterior, expected

    def replay(self, subset: Subset, reconstruct: Sequence[str] = ()) -> None:
        """Launch the recorded kernels again on the arrays of the last set, without waiting."""
        with torch.cuda.stream(self.stream):
            self._encoders[subset].replay()
            for name in reconstruct:
                self._decoders[name].replay()

    def _encoded(
        self, encode: Encode, batch: Mapping[str, SensorBatch], subset: Subset
    ) -> None:
        """Copy the subset's arrays to the GPU, and its posterior into the outputs."""
        start = min(self._layouts[name].start for name in subset)
        stop = max(self._layouts[name].stop for name in subset)
        self._inputs[start:stop].copy_(self._staging[start:stop], non_blocking=True)
        posterior = encode(batch, subset)
        self._outputs.posterior.mean.copy_(posterior.mean)
        self._outputs.posterior.log_variance.copy_(posterior.log_variance)

    def _decoded(self, decode: Decode, name: str) -> None:
        """Put into the outputs what one sensor is expected to see at the posterior's mean."""
        expected = decode(self._outputs.posterior.mean, name)
        for kept, computed in zip(self._outputs.expected[name], expected, strict=True):
            if kept is not None and computed is not None:
                kept.copy_(computed)

    def _record(self, work: Callable[[], None]) -> torch.cuda.CUDAGraph:
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
        with torch.cuda.stream(self.stream):
            for _ in range(_WARM_UP_ROUNDS):
                work()
        self.stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self.stream, capture_error_mode='thread_local'
        ):
            work()
        return graph

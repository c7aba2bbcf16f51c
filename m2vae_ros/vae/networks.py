# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
One trunk and one decoder per kind of sensor.

A trunk turns a batch into features ``(batch, features)`` that the encoders of all subsets share;
a decoder turns latents ``(..., latent)`` into a likelihood. A sensor's normalisation is a pair of
buffers, so that a checkpoint needs no other file. Each strided layer halves a size, rounding up;
the decoder doubles and cuts, so any array shape fits.

Ranges enter and leave as nearness, the inverse of the range: along a straight wall it is a sine
of the bearing, so networks draw rooms with less effort than in metres.
"""

from __future__ import annotations

from itertools import pairwise
from math import e, inf, log, prod, tau
from typing import Literal

import torch
from torch import nn, Tensor
from torch.nn.functional import pad

from m2vae_ros.specs import SensorSpec
from m2vae_ros.vae.likelihoods import GaussianImage, Likelihood, MaskedRange, SensorBatch

_WIDTHS = {'image': (32, 64, 128, 128), 'laser_scan': (32, 64, 64), 'point_cloud': (32, 64, 96)}
# No likelihood sharpens below the resolution of the sensor itself.
_LEAST_NOISE = {'image': 1 / 255, 'laser_scan': 0.005, 'point_cloud': 0.005}  # grey level; metres
_FULL_CIRCLE = tau - 1e-3
_SOFTPLUS_TO_1 = log(e - 1)
_GROUPS = 8  # of channels that are normalised together
_SHORTEST = 1e-6  # m, of a range_max
_FARTHEST = 1.25  # no range is decoded beyond this many times range_max
_NEAREST = 0.05  # times the mean range (or, for the mean, range_max): nearness rises no more


class Normalisation(nn.Module):
    """
    A sensor's mean array and one scale, from training data.

    Parameters
    ----------
    spec
        The sensor; until `fit` is called, the middle of its range stands for both.

    Raises
    ------
    ValueError
        If a sensor of ranges has no range_max, or one that is no length.

    """

    mean: Tensor
    scale: Tensor

    def __init__(self, spec: SensorSpec) -> None:
        super().__init__()
        self._range_max = 0.0 if spec.kind == 'image' else float(spec.geometry['range_max'])
        if spec.kind != 'image' and not _SHORTEST <= self._range_max < inf:
            raise ValueError(
                f'sensor {spec.name}: range_max is {self._range_max:g} m, must be a length above 0'
            )
        middle = 0.5 if spec.kind == 'image' else self._range_max / 2
        self.register_buffer('mean', torch.full(spec.shape, middle))
        self.register_buffer('scale', torch.tensor(middle))

    def fit(self, mean: Tensor, scale: Tensor) -> None:
        """Take the mean array (the sensor's shape) and the scale (a scalar), in its unit."""
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def forward(self, values: Tensor) -> Tensor:
        """Return how many scales the values lie away from the mean."""
        return (values - self.mean) / self.scale

    def inverse(self, values: Tensor) -> Tensor:
        """Return normalised values in the sensor's unit."""
        return values * self.scale + self.mean

    def nearness(self, ranges: Tensor) -> Tensor:
        """Return the mean range over the ranges (metres), less 1."""
        mean = self._mean_range()
        return mean / torch.maximum(ranges, _NEAREST * mean) - 1

    def ranges(self, nearness: Tensor) -> Tensor:
        """Return metres for a decoder's real numbers; 0 stands for the mean range."""
        mean = self._mean_range()
        least = mean / (_FARTHEST * self._range_max)
        return mean / (least + nn.functional.softplus(nearness + _SOFTPLUS_TO_1))

    def _mean_range(self) -> Tensor:
        """Return the mean of every cell, away from 0 where a sensor is blocked."""
        return self.mean.clamp(min=_NEAREST * self._range_max)


class Trunk(nn.Module):
    """
    Features of one sensor, computed once for all subsets.

    Parameters
    ----------
    spec
        The sensor.
    features
        Size of the features.
    normalisation
        The sensor's, shared with its decoder.

    """

    def __init__(self, spec: SensorSpec, features: int, normalisation: Normalisation) -> None:
        super().__init__()
        self.normalisation = normalisation
        self.colours = len(spec.shape) - len(spec.spatial_shape)
        widths = (spec.shape[0] + 1 if self.colours else 4, *_WIDTHS[spec.kind])
        convolution = nn.Conv1d if len(spec.spatial_shape) == 1 else nn.Conv2d
        padding_mode: Literal['circular', 'zeros'] = (
            'circular' if _is_full_circle(spec) else 'zeros'
        )
        self.layers = nn.Sequential()
        for narrow, wide in pairwise(widths):
            self.layers.append(
                convolution(narrow, wide, 3, stride=2, padding=1, padding_mode=padding_mode)
            )
            self.layers.append(nn.GroupNorm(_GROUPS, wide))
            self.layers.append(nn.SiLU())
        self.layers.append(nn.Flatten())
        self.layers.append(nn.Linear(widths[-1] * prod(_sizes(spec)[-1]), features))
        self.layers.append(nn.SiLU())

    def forward(self, batch: SensorBatch) -> Tensor:
        """Return features ``(batch, features)``."""
        features: Tensor = self.layers(self.channels(batch))
        return features

    def channels(self, batch: SensorBatch) -> Tensor:
        """Return what the layers see; cells that returned nothing count as the mean."""
        values = self.normalisation(batch.values)
        if self.colours:
            seen = batch.valid.unsqueeze(1)
            channels = [torch.where(seen, values, 0), seen.to(values.dtype)]
        else:
            seen = batch.returned.unsqueeze(1)
            nearness = self.normalisation.nearness(batch.values)
            channels = [torch.where(seen, part.unsqueeze(1), 0) for part in (values, nearness)]
            channels += [mask.to(values.dtype) for mask in (seen, batch.valid.unsqueeze(1))]
        return torch.cat(channels, 1)


class Decoder(nn.Module):
    """
    The likelihood p(x_m|z) of one sensor.

    Parameters
    ----------
    spec
        The sensor.
    latent
        Size of the latent vector.
    features
        Size of the hidden layer.
    normalisation
        The sensor's, shared with its trunk.

    """

    def __init__(
        self, spec: SensorSpec, latent: int, features: int, normalisation: Normalisation
    ) -> None:
        super().__init__()
        self.spec = spec
        self.normalisation = normalisation
        self.circular = _is_full_circle(spec)
        self.sizes = _sizes(spec)[::-1]  # from the smallest to the sensor's own
        outputs = spec.shape[0] if spec.kind == 'image' else 2  # colours; range and return
        widths = _WIDTHS[spec.kind][::-1]
        self.smallest = (widths[0], *self.sizes[0])
        self.project = nn.Sequential(
            nn.Linear(latent, features),
            nn.SiLU(),
            nn.Linear(features, prod(self.smallest)),
            nn.SiLU(),
        )
        convolution = nn.ConvTranspose1d if len(spec.spatial_shape) == 1 else nn.ConvTranspose2d
        self.layers = nn.ModuleList(
            # Padding 3 cuts what the circular border adds in `_upsample`.
            convolution(wide, narrow, 4, stride=2, padding=3 if self.circular else 1)
            for wide, narrow in pairwise((*widths, outputs))
        )
        self.norms = nn.ModuleList(nn.GroupNorm(_GROUPS, narrow) for narrow in widths[1:])
        self.log_noise = nn.Parameter(torch.tensor(log(0.5)))  # relative to the normal scale

    def forward(self, latents: Tensor) -> Likelihood:
        """Return the likelihood with the leading shape of the latents ``(..., latent)``."""
        leading = latents.shape[:-1]
        hidden = self.project(latents.flatten(0, -2)).view(-1, *self.smallest)
        for layer, norm, size in zip(
            self.layers[:-1], self.norms, self.sizes[1:-1], strict=True
        ):
            hidden = nn.functional.silu(norm(self._upsample(layer, hidden, size)))
        output = self._upsample(self.layers[-1], hidden, self.sizes[-1]).float()
        output = output.reshape(*leading, *output.shape[1:])
        scale = self.normalisation.scale
        noise = _LEAST_NOISE[self.spec.kind] + scale * self.log_noise.exp()
        if self.spec.kind == 'image':
            return GaussianImage(self.normalisation.inverse(output), 2 * noise.log())
        nearness, return_logit = output.unbind(len(leading))
        location = self.normalisation.ranges(nearness)
        return MaskedRange(location, noise.log(), return_logit, len(self.spec.shape))

    def _upsample(self, layer: nn.Module, hidden: Tensor, size: tuple[int, ...]) -> Tensor:
        """Double every size and cut to the one wanted."""
        if self.circular:
            hidden = pad(hidden, (1, 1), mode='circular')
        doubled: Tensor = layer(hidden)
        for axis, cells in enumerate(size, start=2):
            doubled = doubled.narrow(axis, 0, cells)
        return doubled


def _sizes(spec: SensorSpec) -> list[tuple[int, ...]]:
    """Return the spatial sizes from the sensor's own to the smallest, one per layer and one."""
    sizes = [spec.spatial_shape]
    for _ in _WIDTHS[spec.kind]:
        sizes.append(tuple(-(-cells // 2) for cells in sizes[-1]))
    return sizes


def _is_full_circle(spec: SensorSpec) -> bool:
    """Return whether the first and last bearing of a scan are neighbours."""
    if spec.kind != 'laser_scan':
        return False
    return float(spec.geometry['angle_max']) - float(spec.geometry['angle_min']) >= _FULL_CIRCLE

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The networks of a sensor: a trunk for the encoders, and a decoder, by kind of sensor.

A trunk turns a batch into features ``(batch, features)`` that the encoders of all subsets share;
a decoder turns latents ``(..., latent)`` into a likelihood. A sensor's normalisation is stored
in two buffers, so a checkpoint is complete without another file. Each strided layer halves a size,
rounding up; the decoder doubles it and crops, so any array shape fits.

The networks work with nearness, the inverse of a range: along a straight wall it is a sine of
the bearing, so rooms are easier to draw in nearness than in metres.
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
# No likelihood becomes sharper than the resolution of the sensor.
_MIN_NOISE = {'image': 1 / 255, 'laser_scan': 0.005, 'point_cloud': 0.005}  # grey level; metres
_FULL_CIRCLE = tau - 1e-3
_SOFTPLUS_IS_1 = log(e - 1)  # softplus of this is 1
_NORM_GROUPS = 8
_MIN_RANGE_MAX = 1e-6  # m
_MAX_DECODED_RANGE = 1.25  # times range_max
_MIN_RANGE = 0.05  # times the cell's mean range: nearness is capped there
_MIN_MEAN_RANGE = 0.05  # times range_max


class Normalisation(nn.Module):
    """
    The mean array of a sensor and one scale for all its cells, from training data.

    Parameters
    ----------
    spec
        The sensor. Until `fit` is called, both are half of its full range.

    Raises
    ------
    ValueError
        If the range_max of a range sensor is not a positive, finite length.

    Examples
    --------
    >>> normalisation = Normalisation(SensorSpec('grey', 'image', 'grey', 'camera', (3, 2, 2)))
    >>> normalisation.fit(mean=torch.full((3, 2, 2), 0.25), scale=torch.tensor(0.5))
    >>> normalisation(torch.ones(3, 2, 2)).unique().tolist()
    [1.5]

    """

    mean: Tensor
    scale: Tensor

    def __init__(self, spec: SensorSpec) -> None:
        super().__init__()
        self._range_max = 0.0 if spec.kind == 'image' else spec.number('range_max')
        if spec.kind != 'image' and not _MIN_RANGE_MAX <= self._range_max < inf:
            raise ValueError(
                f'sensor {spec.name}: range_max is {self._range_max:g} m, must be positive and '
                f'finite'
            )
        middle = 0.5 if spec.kind == 'image' else self._range_max / 2
        self.register_buffer('mean', torch.full(spec.shape, middle))
        self.register_buffer('scale', torch.tensor(middle))

    def fit(self, mean: Tensor, scale: Tensor) -> None:
        """Set the mean array (the sensor's shape) and the scale (a scalar), in its unit."""
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def forward(self, values: Tensor) -> Tensor:
        """Return ``(values - mean) / scale``."""
        return (values - self.mean) / self.scale

    def inverse(self, values: Tensor) -> Tensor:
        """Return normalised values in the sensor's unit, as `forward` received them."""
        return values * self.scale + self.mean

    def nearness(self, ranges: Tensor) -> Tensor:
        """Return mean range / range - 1, for ranges in metres."""
        mean = self._mean_range()
        return mean / torch.maximum(ranges, _MIN_RANGE * mean) - 1

    def ranges(self, nearness: Tensor) -> Tensor:
        """Return metres for a decoder's output, any real numbers; 0 is about the mean range."""
        mean = self._mean_range()
        smallest = mean / (_MAX_DECODED_RANGE * self._range_max)
        return mean / (smallest + nn.functional.softplus(nearness + _SOFTPLUS_IS_1))

    def _mean_range(self) -> Tensor:
        """Return the mean of every cell, kept away from 0 where the sensor is blocked."""
        return self.mean.clamp(min=_MIN_MEAN_RANGE * self._range_max)


class Trunk(nn.Module):
    """
    The network from one sensor's measurements to features that all subsets share.

    Parameters
    ----------
    spec
        The sensor.
    features
        Size of the features.
    normalisation
        Of this sensor, shared with its decoder.

    Examples
    --------
    >>> camera = SensorSpec('camera', 'image', 'image_raw', 'camera', (3, 4, 4))
    >>> trunk = Trunk(camera, features=8, normalisation=Normalisation(camera))
    >>> all_valid = torch.ones(5, 4, 4, dtype=torch.bool)
    >>> trunk(SensorBatch(torch.rand(5, 3, 4, 4), all_valid, all_valid)).shape
    torch.Size([5, 8])

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
            self.layers.append(nn.GroupNorm(_NORM_GROUPS, wide))
            self.layers.append(nn.SiLU())
        self.layers.append(nn.Flatten())
        self.layers.append(nn.Linear(widths[-1] * prod(_layer_sizes(spec)[-1]), features))
        self.layers.append(nn.SiLU())

    def forward(self, batch: SensorBatch) -> Tensor:
        """Return features ``(batch, features)``."""
        features: Tensor = self.layers(self.channels(batch))
        return features

    def channels(self, batch: SensorBatch) -> Tensor:
        """Return values and masks as channels; where nothing returned, values are the mean, 0."""
        values = self.normalisation(batch.values)
        if self.colours:
            seen = batch.valid.unsqueeze(1)
            channels = [torch.where(seen, values, 0), seen.to(values.dtype)]
        else:
            seen = batch.returned.unsqueeze(1)
            nearness = self.normalisation.nearness(batch.values)
            channels = [torch.where(seen, cells.unsqueeze(1), 0) for cells in (values, nearness)]
            channels += [mask.to(values.dtype) for mask in (seen, batch.valid.unsqueeze(1))]
        return torch.cat(channels, 1)


class Decoder(nn.Module):
    """
    The network from latents to the likelihood p(x_m|z) of one sensor.

    Parameters
    ----------
    spec
        The sensor.
    latent
        Size of the latent vector.
    features
        Size of the hidden layer.
    normalisation
        Of this sensor, shared with its trunk.

    Examples
    --------
    >>> camera = SensorSpec('camera', 'image', 'image_raw', 'camera', (3, 4, 4))
    >>> decoder = Decoder(camera, latent=2, features=8, normalisation=Normalisation(camera))
    >>> image, _ = decoder(torch.zeros(5, 2)).mean()
    >>> image.shape
    torch.Size([5, 3, 4, 4])

    """

    def __init__(
        self, spec: SensorSpec, latent: int, features: int, normalisation: Normalisation
    ) -> None:
        super().__init__()
        self.spec = spec
        self.normalisation = normalisation
        self.circular = _is_full_circle(spec)
        self.sizes = _layer_sizes(spec)[::-1]  # from the smallest to the sensor's own
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
            # Padding 3 crops what the circular border adds in `_upsample`.
            convolution(wide, narrow, 4, stride=2, padding=3 if self.circular else 1)
            for wide, narrow in pairwise((*widths, outputs))
        )
        self.norms = nn.ModuleList(nn.GroupNorm(_NORM_GROUPS, narrow) for narrow in widths[1:])
        self.log_noise = nn.Parameter(torch.tensor(log(0.5)))  # relative to the scale

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
        noise = _MIN_NOISE[self.spec.kind] + scale * self.log_noise.exp()
        if self.spec.kind == 'image':
            return GaussianImage(self.normalisation.inverse(output), 2 * noise.log())
        nearness, return_logit = output.unbind(len(leading))
        location = self.normalisation.ranges(nearness)
        return MaskedRange(location, noise.log(), return_logit, len(self.spec.shape))

    def _upsample(self, layer: nn.Module, hidden: Tensor, size: tuple[int, ...]) -> Tensor:
        """Double the spatial size and crop it to the given one."""
        if self.circular:
            hidden = pad(hidden, (1, 1), mode='circular')
        doubled: Tensor = layer(hidden)
        for axis, cells in enumerate(size, start=2):
            doubled = doubled.narrow(axis, 0, cells)
        return doubled


def _layer_sizes(spec: SensorSpec) -> list[tuple[int, ...]]:
    """Return the spatial size of the sensor's array, then that after each layer of the trunk."""
    sizes = [spec.spatial_shape]
    for _ in _WIDTHS[spec.kind]:
        sizes.append(tuple(-(-cells // 2) for cells in sizes[-1]))
    return sizes


def _is_full_circle(spec: SensorSpec) -> bool:
    """Return whether the first and the last bearing of a scan are neighbours."""
    if spec.kind != 'laser_scan':
        return False
    return spec.number('angle_max') - spec.number('angle_min') >= _FULL_CIRCLE

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The densities p(x_m|z) that decoders return, and the batches of measurements that they score.

A likelihood may have any leading dimensions: ``log_prob`` broadcasts a batch against them and sums
over the sensor's own dimensions, so one run of a decoder serves many subsets. Invalid cells
contribute nothing, to the value or to the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


class SensorBatch(NamedTuple):
    """
    A batch of measurements of one sensor.

    ``values`` is float32 ``(batch, *shape)``; ``valid`` and ``returned`` are bool
    ``(batch, *spatial_shape)``. They mean what they mean in `specs.Measurement`.

    Examples
    --------
    >>> ranges = torch.tensor([[1.5, 0.0, 4.0]])  # metres; the second beam met no surface
    >>> scans = SensorBatch(ranges, valid=torch.ones(1, 3).bool(), returned=ranges > 0)
    >>> scans.returned.tolist()
    [[True, False, True]]

    """

    values: Tensor
    valid: Tensor
    returned: Tensor


class Likelihood(Protocol):
    """What a decoder returns: a density over a sensor's measurements."""

    def log_prob(self, batch: SensorBatch) -> Tensor:
        """Return log p(x_m|z) in the leading shape, summed over the valid cells, nats."""

    def mean(self) -> tuple[Tensor, Tensor | None]:
        """Return the expected values and, for ranges, the probability of a return (else None)."""


@dataclass(frozen=True, eq=False)
class GaussianImage:
    """
    Independent Gaussian pixels with one learned noise variance for the whole image.

    Parameters
    ----------
    location
        Expected RGB in 0..1, ``(..., 3, rows, columns)``.
    log_variance
        Logarithm of the noise variance, a scalar.

    Examples
    --------
    >>> density = GaussianImage(torch.zeros(1, 3, 2, 2), torch.tensor(0.0))
    >>> all_valid = torch.ones(1, 2, 2, dtype=torch.bool)
    >>> white = SensorBatch(torch.ones(1, 3, 2, 2), all_valid, all_valid)
    >>> round(density.log_prob(white).item(), 2)
    -17.03

    """

    location: Tensor
    log_variance: Tensor

    def log_prob(self, batch: SensorBatch) -> Tensor:
        """Return the log density, summed over the valid pixels, nats."""
        valid = batch.valid.unsqueeze(-3)
        error = torch.where(valid, batch.values - self.location, 0).square().sum((-3, -2, -1))
        count = 3 * batch.valid.sum((-2, -1))
        return -0.5 * (
            error * (-self.log_variance).exp() + count * (self.log_variance + log(2 * pi))
        )

    def mean(self) -> tuple[Tensor, Tensor | None]:
        """Return the expected image and None: an image has no returns."""
        return self.location, None


@dataclass(frozen=True, eq=False)
class MaskedRange:
    """
    Bernoulli for ``returned`` where valid, times a Laplace density of the range where returned.

    At the edge of an object the range jumps, and a Gaussian would give up all other cells for the
    few on the wrong side of the edge. The Laplace density is fitted by the median instead.

    Parameters
    ----------
    location
        Median range in metres, ``(..., *cells)``.
    log_scale
        Logarithm of the Laplace scale in metres, a scalar.
    return_logit
        Log odds of a return, the shape of the location.
    dimensions
        How many trailing dimensions are the sensor's cells.

    Examples
    --------
    >>> density = MaskedRange(torch.tensor([2.0, 5.0]), torch.tensor(0.0), torch.zeros(2), 1)
    >>> ranges = torch.tensor([[2.0, 0.0]])
    >>> scan = SensorBatch(ranges, torch.ones(1, 2).bool(), returned=ranges > 0)
    >>> round(density.log_prob(scan).item(), 3)  # 2 log 1/2 for the returns, log 1/2 for 2 m
    -2.079

    """

    location: Tensor
    log_scale: Tensor
    return_logit: Tensor
    dimensions: int

    def log_prob(self, batch: SensorBatch) -> Tensor:
        """Return the log density of returns and ranges, summed over the valid cells, nats."""
        cells = tuple(range(-self.dimensions, 0))
        sign = torch.where(batch.returned, 1.0, -1.0)
        returns = torch.where(batch.valid, logsigmoid(sign * self.return_logit), 0).sum(cells)
        error = torch.where(batch.returned, batch.values - self.location, 0).abs().sum(cells)
        count = batch.returned.sum(cells)
        return returns - error * (-self.log_scale).exp() - count * (self.log_scale + log(2))

    def mean(self) -> tuple[Tensor, Tensor | None]:
        """Return the median range in metres and the probability of a return."""
        return self.location, self.return_logit.sigmoid()

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
How a decoder's output scores a measurement.

A likelihood has tensors with any leading dimensions; ``log_prob`` broadcasts a batch against
them and sums over the sensor's own dimensions, so that a decoder runs once for many subsets.
Cells that are not valid say nothing, in value and gradient.
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
    Measurements of one sensor, stacked.

    ``values`` is float32 ``(batch, *shape)``; ``valid`` and ``returned`` are bool
    ``(batch, *spatial_shape)``, with the meaning that `specs.Measurement` gives them.
    """

    values: Tensor
    valid: Tensor
    returned: Tensor


class Likelihood(Protocol):
    """What a decoder returns: a density over a sensor's measurements."""

    def log_prob(self, batch: SensorBatch) -> Tensor:
        """Return log p(x_m|z), the leading shape, in nats, summed over the valid cells."""

    def mean(self) -> tuple[Tensor, Tensor | None]:
        """Return the expected values and, for ranges, the probability of a return."""


@dataclass(frozen=True, eq=False)
class GaussianImage:
    """
    Independent Gaussian pixels with one learned noise for the whole image.

    Parameters
    ----------
    location
        Expected RGB in 0..1, ``(..., 3, rows, columns)``.
    log_variance
        Logarithm of the noise variance, a scalar.

    """

    location: Tensor
    log_variance: Tensor

    def log_prob(self, batch: SensorBatch) -> Tensor:
        """Return the log density of the valid pixels, summed."""
        valid = batch.valid.unsqueeze(-3)
        error = torch.where(valid, batch.values - self.location, 0).square().sum((-3, -2, -1))
        count = 3 * batch.valid.sum((-2, -1))
        return -0.5 * (
            error * (-self.log_variance).exp() + count * (self.log_variance + log(2 * pi))
        )

    def mean(self) -> tuple[Tensor, Tensor | None]:
        """Return the expected image; an image has no returns."""
        return self.location, None


@dataclass(frozen=True, eq=False)
class MaskedRange:
    """
    Bernoulli for ``returned`` where valid, times a Laplace density of the range where returned.

    A range jumps at the edge of an object, where a Gaussian would pay any price for the few
    cells on the wrong side; the Laplace density's best location is the median.

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

    """

    location: Tensor
    log_scale: Tensor
    return_logit: Tensor
    dimensions: int

    def log_prob(self, batch: SensorBatch) -> Tensor:
        """Return the log probability of returns and ranges of the valid cells, summed."""
        cells = tuple(range(-self.dimensions, 0))
        sign = torch.where(batch.returned, 1.0, -1.0)
        returns = torch.where(batch.valid, logsigmoid(sign * self.return_logit), 0).sum(cells)
        error = torch.where(batch.returned, batch.values - self.location, 0).abs().sum(cells)
        count = batch.returned.sum(cells)
        return returns - error * (-self.log_scale).exp() - count * (self.log_scale + log(2))

    def mean(self) -> tuple[Tensor, Tensor | None]:
        """Return the expected range and the probability of a return."""
        return self.location, self.return_logit.sigmoid()

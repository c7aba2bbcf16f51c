# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Diagonal Gaussians over the latent space: densities and divergences in nats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log, pi

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class DiagonalGaussian:
    r"""
    Gaussians with independent dimensions, one for each sample of a batch.

    Parameters
    ----------
    mean
        Shape ``(..., latent)``.
    log_variance
        Natural logarithm of the variance, of the same shape.

    Examples
    --------
    >>> mean = torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    >>> q = DiagonalGaussian(mean=mean, log_variance=torch.zeros(2, 2))
    >>> q.kl_from_standard().tolist(), q.kl(q[[1, 0]]).tolist()
    ([0.5, 12.5], [10.0, 10.0])
    >>> q.where(torch.tensor([True, False])).mean.tolist()
    [[1.0, 0.0], [0.0, 0.0]]

    """

    mean: Tensor
    log_variance: Tensor

    @classmethod
    def standard_like(cls, other: DiagonalGaussian) -> DiagonalGaussian:
        """Return the prior p(z) = N(0, I) with the shape, dtype and device of another Gaussian."""
        return cls(torch.zeros_like(other.mean), torch.zeros_like(other.log_variance))

    def __getitem__(self, rows: Sequence[int] | Tensor) -> DiagonalGaussian:
        """Select along the first dimension, in the order listed; rows may repeat."""
        device = self.mean.device
        index = rows if isinstance(rows, Tensor) else torch.tensor(rows, device=device)
        return DiagonalGaussian(
            self.mean.index_select(0, index), self.log_variance.index_select(0, index)
        )

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw one sample ``(..., latent)``, reparametrised: differentiable in both parameters."""
        noise = torch.randn(
            self.mean.shape, generator=generator, dtype=self.mean.dtype, device=self.mean.device
        )
        return self.mean + noise * (0.5 * self.log_variance).exp()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of values ``(..., latent)``, shape ``(...)``, nats."""
        squared = (value - self.mean).square() * (-self.log_variance).exp()
        return -0.5 * (squared + self.log_variance + log(2 * pi)).sum(-1)

    def kl(self, other: DiagonalGaussian) -> Tensor:
        r"""
        Return KL(self || other), shape ``(...)``, in nats (Eq. 92).

        .. math:: \log\frac{s_2}{s_1} + \frac{s_1^2 + (m_1 - m_2)^2}{2 s_2^2} - \frac{1}{2}

        summed over the dimensions, with means m and standard deviations s.
        """
        precision = (-other.log_variance).exp()
        spread = (self.log_variance - other.log_variance).exp()
        distance = (self.mean - other.mean).square() * precision
        per_dimension = other.log_variance - self.log_variance + spread + distance - 1
        return 0.5 * per_dimension.sum(-1)

    def kl_from_standard(self) -> Tensor:
        """Return KL(self || N(0, I)), shape ``(...)``, in nats."""
        moment = self.log_variance.exp() + self.mean.square()
        return 0.5 * (moment - self.log_variance - 1).sum(-1)

    def tempered(self, temperature: float) -> DiagonalGaussian:
        """
        Return the Gaussian with its variances multiplied by a temperature.

        Raises
        ------
        ValueError
            If the temperature is not a positive number.

        """
        if not 0 < temperature < inf:
            raise ValueError(f'temperature {temperature!r}: must be a positive number')
        return DiagonalGaussian(self.mean, self.log_variance + log(temperature))

    def where(self, present: Tensor) -> DiagonalGaussian:
        """
        Replace absent samples by the prior, in value and in gradient.

        Parameters
        ----------
        present
            bool ``(...)``, the Gaussian's shape without the latent dimension.

        """
        mask = present.unsqueeze(-1)
        zero = self.mean.new_zeros(())
        return DiagonalGaussian(
            torch.where(mask, self.mean, zero), torch.where(mask, self.log_variance, zero)
        )

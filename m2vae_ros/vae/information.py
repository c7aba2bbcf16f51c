# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Operations on latents: fusion, and how much a sensor tells; in closed form and in nats.

Where a quotient of Gaussians is no Gaussian, a mask says so per dimension and the numbers are
NaN or infinite; nothing is clipped.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from m2vae_ros.vae.gaussian import DiagonalGaussian


def product(factors: Sequence[DiagonalGaussian]) -> DiagonalGaussian:
    """
    Return the normalised product of Gaussians: precisions add up, means by precision.

    Raises
    ------
    ValueError
        If there is no factor.

    """
    if not factors:
        raise ValueError('product of no Gaussians: at least one factor is needed')
    precisions = [(-factor.log_variance).exp() for factor in factors]
    precision = torch.stack(precisions).sum(0)
    weighted = torch.stack([p * q.mean for p, q in zip(precisions, factors, strict=True)]).sum(0)
    return DiagonalGaussian(weighted / precision, -precision.log())


def bayes_product(experts: Sequence[DiagonalGaussian]) -> DiagonalGaussian:
    r"""
    Return p prod_m (q_m / p), what Bayes' rule makes of sensors that are independent given z.

    The evidence of a sensor is the precision of its posterior beyond the prior's,
    :math:`1/s_m^2 - 1`. A dimension of which it knows less than the prior (more than unit
    variance) counts as no evidence, so the product is always a Gaussian.
    """
    stacked = DiagonalGaussian(
        torch.stack([expert.mean for expert in experts]),
        torch.stack([expert.log_variance for expert in experts]),
    )
    product = bayes_products(stacked, stacked.mean.new_ones(1, len(experts)))
    return DiagonalGaussian(product.mean[0], product.log_variance[0])


def bayes_products(experts: DiagonalGaussian, counted: Tensor) -> DiagonalGaussian:
    """
    Return the `bayes_product` of each of several choices among the same experts.

    Parameters
    ----------
    experts
        Tensors ``(experts, ..., latent)``.
    counted
        ``(products, experts)``: 1 where the expert counts in the product, else 0. The product of
        none is the prior.

    Returns
    -------
    DiagonalGaussian
        Tensors ``(products, ..., latent)``.

    """
    precisions = (-experts.log_variance).exp()
    evidence = (precisions - 1).clamp(min=0)
    precision = 1 + torch.tensordot(counted, evidence, 1)
    weighted = torch.tensordot(counted, precisions * experts.mean, 1)
    return DiagonalGaussian(weighted / precision, -precision.log())


def fuse_in_place(
    old: DiagonalGaussian, new: DiagonalGaussian
) -> tuple[DiagonalGaussian, Tensor]:
    r"""
    Return q_old q_new / p, normalised: a stored latent joined by that of new measurements.

    Exact where both are exact posteriors and their measurements are independent given z. The
    prior p = N(0, I) is divided out because each of the two already contains it.

    Returns
    -------
    fused, proper
        The Gaussian and a bool mask ``(..., latent)``. A dimension is proper where its precision
        ``1/s_old^2 + 1/s_new^2 - 1`` is positive; elsewhere mean and log variance are NaN.

    """
    first, second = (-old.log_variance).exp(), (-new.log_variance).exp()
    precision = first + second - 1
    proper = precision > 0
    safe = torch.where(proper, precision, 1)
    mean = (first * old.mean + second * new.mean) / safe
    return DiagonalGaussian(
        torch.where(proper, mean, torch.nan), torch.where(proper, -safe.log(), torch.nan)
    ), proper


def pointwise_mutual_information(
    sensor: DiagonalGaussian, rest: DiagonalGaussian
) -> tuple[Tensor, Tensor]:
    r"""
    Return how much better a sensor agrees with the others than by chance, per dimension.

    .. math:: \log \int \frac{q_m(z)\, q_{M \setminus m}(z)}{p(z)} dz

    Summed over the dimensions it estimates log p(x_m | the others) - log p(x_m).

    Returns
    -------
    information, proper
        Nats ``(..., latent)`` and a bool mask of that shape. The integral is finite where the
        precision ``1/s_m^2 + 1/s_rest^2 - 1`` is positive; elsewhere it is +infinity.

    """
    first, second = (-sensor.log_variance).exp(), (-rest.log_variance).exp()
    precision = first + second - 1
    proper = precision > 0
    safe = torch.where(proper, precision, 1)
    joint = (first * sensor.mean + second * rest.mean).square() / safe
    alone = first * sensor.mean.square() + second * rest.mean.square()
    logs = -sensor.log_variance - rest.log_variance - safe.log()
    return torch.where(proper, 0.5 * (logs + joint - alone), torch.inf), proper


def information_gain(joint: DiagonalGaussian, rest: DiagonalGaussian | None = None) -> Tensor:
    """
    Return KL(q_M || q_{M without m}), what a sensor added to the others, shape ``(...)``.

    Parameters
    ----------
    joint
        The posterior with the sensor.
    rest
        The posterior without it; None where there is no other sensor, which is the prior.

    """
    return joint.kl_from_standard() if rest is None else joint.kl(rest)


def expected_information_gain(
    rest: DiagonalGaussian, joint_log_variance: Tensor
) -> Tensor:
    r"""
    Return what a missing sensor would add on average: H(q_S) - E H(q_{S and m}), ``(...)``.

    The closed form of E KL(q_{S and m} || q_S) over measurements x_m drawn from p(x_m | x_S),
    where the posteriors are exact: then E[s_joint^2 + (m_joint - m_S)^2] = s_S^2. For encoders
    that are not, it is an estimate; it can be negative where the joint encoder is less sure.

    Parameters
    ----------
    rest
        The posterior of the sensors that are live.
    joint_log_variance
        Log variances of the posterior with the missing sensor, ``(..., latent)`` or, drawn
        several times, ``(draws, ..., latent)``: of encoded predictions of the sensor, or the
        mean over training data. In a linear-Gaussian model they depend on no measurement.

    """
    if joint_log_variance.ndim > rest.log_variance.ndim:
        joint_log_variance = joint_log_variance.mean(0)
    return 0.5 * (rest.log_variance - joint_log_variance).sum(-1)

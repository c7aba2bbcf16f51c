# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Operations on posteriors: fusion, agreement and information of sensors; closed forms, in nats.

Where a quotient of Gaussians is not a Gaussian, a mask says so per dimension and the result is NaN
or infinite there; nothing is clipped.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from m2vae_ros.vae.gaussian import DiagonalGaussian


def product(factors: Sequence[DiagonalGaussian]) -> DiagonalGaussian:
    """
    Return the normalised product of Gaussians: precisions add up and weight the means.

    Raises
    ------
    ValueError
        If there is no factor.

    Examples
    --------
    >>> first, second = (DiagonalGaussian(torch.tensor([m]), torch.zeros(1)) for m in (0.0, 4.0))
    >>> joint = product([first, second])
    >>> joint.mean.tolist(), round(joint.log_variance.exp().item(), 4)
    ([2.0], 0.5)

    """
    if not factors:
        raise ValueError('product of no Gaussians: at least one factor is needed')
    precisions = [(-factor.log_variance).exp() for factor in factors]
    precision = torch.stack(precisions).sum(0)
    weighted = torch.stack([p * q.mean for p, q in zip(precisions, factors, strict=True)]).sum(0)
    return DiagonalGaussian(weighted / precision, -precision.log())


def bayes_product(experts: Sequence[DiagonalGaussian]) -> DiagonalGaussian:
    r"""
    Return p prod_m (q_m / p): Bayes' rule for sensors that are independent given z.

    The evidence of a sensor is the precision that it adds to the prior's, :math:`1/s_m^2 - 1`. A
    dimension in which its posterior is wider than the prior counts as no evidence, so the product
    is always a Gaussian.

    Examples
    --------
    >>> sensor = DiagonalGaussian(torch.tensor([1.5]), torch.tensor([1 / 2]).log())
    >>> joint = bayes_product([sensor, sensor])  # precision 1 + (2 - 1) + (2 - 1)
    >>> round(joint.mean.item(), 4), round(joint.log_variance.exp().item(), 4)
    (2.0, 0.3333)

    """
    stacked = DiagonalGaussian(
        torch.stack([expert.mean for expert in experts]),
        torch.stack([expert.log_variance for expert in experts]),
    )
    joint = bayes_products(stacked, stacked.mean.new_ones(1, len(experts)))
    return DiagonalGaussian(joint.mean[0], joint.log_variance[0])


def bayes_products(experts: DiagonalGaussian, counted: Tensor) -> DiagonalGaussian:
    """
    Return the `bayes_product` of several subsets of the same experts.

    Parameters
    ----------
    experts
        Tensors ``(experts, ..., latent)``.
    counted
        ``(products, experts)``: 1 where the expert is a factor of the product, else 0. The
        product of no experts is the prior.

    Returns
    -------
    DiagonalGaussian
        Tensors ``(products, ..., latent)``.

    Examples
    --------
    >>> experts = DiagonalGaussian(torch.tensor([[1.5], [-1.5]]), torch.full((2, 1), 0.5).log())
    >>> joint = bayes_products(experts, torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    >>> joint.mean.round(decimals=4).tolist()
    [[1.5], [0.0]]

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
    Return q_old q_new / p, normalised: a stored posterior updated by that of new measurements.

    Exact where both are exact posteriors and their measurements are independent given z. The
    prior p = N(0, I) is divided out once because both contain it. No raw data is needed, and
    neither argument is changed.

    Returns
    -------
    fused, proper
        The Gaussian and a bool mask ``(..., latent)``. A dimension is proper where its precision
        ``1/s_old^2 + 1/s_new^2 - 1`` is positive; elsewhere mean and log variance are NaN.

    Examples
    --------
    >>> log_variance = torch.tensor([1 / 2, 4.0]).log()  # the second is wider than the prior
    >>> old = new = DiagonalGaussian(torch.tensor([1.5, 0.0]), log_variance)
    >>> fused, proper = fuse_in_place(old, new)
    >>> fused.mean.round(decimals=4).tolist(), proper.tolist()
    ([2.0, nan], [True, False])

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

    Examples
    --------
    >>> lidar = DiagonalGaussian(torch.tensor([1.0]), torch.tensor([-2.0]))
    >>> opposite = DiagonalGaussian(torch.tensor([-1.0]), torch.tensor([-2.0]))
    >>> for rest in (lidar, opposite):
    ...     print(round(pointwise_mutual_information(lidar, rest)[0].item(), 1))
    1.2
    -6.7

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
    Return KL(q_M || q_{M without m}), what a sensor adds to the others, ``(...)``, nats.

    Parameters
    ----------
    joint
        The posterior with the sensor.
    rest
        The posterior without it; None where there is no other sensor: then it is the prior.

    Examples
    --------
    >>> joint = DiagonalGaussian(torch.tensor([1.0, 1.0]), torch.zeros(2))
    >>> information_gain(joint).item(), information_gain(joint, rest=joint).item()
    (1.0, 0.0)

    """
    return joint.kl_from_standard() if rest is None else joint.kl(rest)


def expected_information_gain(
    rest: DiagonalGaussian, joint_log_variance: Tensor
) -> Tensor:
    r"""
    Return the average gain of a missing sensor: H(q_S) - E H(q_{S and m}), ``(...)``, nats.

    For exact posteriors it is the mean of KL(q_{S and m} || q_S) over measurements x_m drawn from
    p(x_m | x_S), because E[s_joint^2 + (m_joint - m_S)^2] = s_S^2. For other encoders it is an
    estimate, and negative where the joint encoder is less certain than that of S.

    Parameters
    ----------
    rest
        The posterior of the live sensors, q_S.
    joint_log_variance
        Log variances of the posterior with the missing sensor, ``(..., latent)`` or, for several
        draws, ``(draws, ..., latent)``: from encoded predictions of the sensor, or the mean over
        training data. In a linear-Gaussian model they do not depend on the measurement.

    Examples
    --------
    >>> rest = DiagonalGaussian(torch.zeros(2), torch.zeros(2))
    >>> expected_information_gain(rest, torch.tensor([-1.0, -0.5])).item()
    0.75

    """
    if joint_log_variance.ndim > rest.log_variance.ndim:
        joint_log_variance = joint_log_variance.mean(0)
    return 0.5 * (rest.log_variance - joint_log_variance).sum(-1)

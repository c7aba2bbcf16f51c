# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Likelihoods by which models are compared, estimated by importance sampling; one value per sample.

`m2vae_ros.vae.importance` says how, and how far an estimate can be trusted. Put the model into
evaluation mode before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import sqrt
from typing import NamedTuple

import torch

from m2vae_ros.vae.importance import CHUNK, decoded_draws, Estimate, importance_draws, WeightSum
from m2vae_ros.vae.multimodal import Batch, MultimodalVAE
from m2vae_ros.vae.subsets import Subset


class Summary(NamedTuple):
    """
    An estimate over a data set.

    ``mean`` and its ``standard_error`` over the samples are in nats; the latter includes the
    error of the estimates. ``effective_sample_size`` is the median over the samples.
    """

    mean: float
    standard_error: float
    effective_sample_size: float
    samples: int


@torch.no_grad()
def log_likelihood(
    model: MultimodalVAE,
    batch: Batch,
    sensors: Sequence[str],
    *,
    samples: int,
    generator: torch.Generator | None = None,
    proposal: Sequence[str] | None = None,
    chunk: int = CHUNK,
) -> Estimate:
    """
    Estimate log p(x_S) of any sensors of the model.

    Parameters
    ----------
    model
        In evaluation mode.
    batch
        Sensor -> measurements, of S and of the proposal's sensors.
    sensors
        S.
    samples
        Draws per sample of the batch, 2 or more.
    generator
        Random numbers of the draws, on the model's device; None = torch's global generator.
    proposal
        The trained subset from whose encoder to draw; None = S. A good one covers p(z|x_S).
    chunk
        Draws decoded at once.

    Raises
    ------
    ValueError
        If a sensor is unknown, the proposal has no trained encoder, or there are too few draws.

    Examples
    --------
    >>> from m2vae_ros.specs import SensorSpec
    >>> from m2vae_ros.vae import M2VAE, SensorBatch
    >>> camera = SensorSpec('camera', 'image', 'image_raw', 'camera', (3, 4, 4))
    >>> model, valid = M2VAE([camera]).eval(), torch.ones(5, 4, 4, dtype=torch.bool)
    >>> batch = {'camera': SensorBatch(torch.rand(5, 3, 4, 4), valid, valid)}
    >>> log_likelihood(model, batch, ['camera'], samples=10).value.shape
    torch.Size([5])

    """
    wanted = _as_subset(model, sensors)
    weights = WeightSum()
    for _, log_weights in importance_draws(
        model, batch, wanted, samples=samples, generator=generator,
        proposal=wanted if proposal is None else _as_subset(model, proposal), chunk=chunk,
    ):
        weights.add(log_weights)
    return weights.estimate()


def conditional(
    model: MultimodalVAE,
    batch: Batch,
    target: Sequence[str],
    given: Sequence[str],
    *,
    samples: int,
    generator: torch.Generator | None = None,
    chunk: int = CHUNK,
) -> Estimate:
    """
    Estimate log p(x_T|x_S) of the generative model: log p(x_S, x_T) - log p(x_S).

    Each of the two is estimated with draws from its own encoder, so the encoders affect the
    precision and not what is estimated. The smaller of the two effective sample sizes is returned.

    Parameters
    ----------
    target, given
        T and S, which share no sensor; S and the union of both have trained encoders.
    model, batch, samples, generator, chunk
        As in `log_likelihood`.

    Raises
    ------
    ValueError
        As `log_likelihood` does, or if target and given share a sensor.

    Examples
    --------
    >>> from m2vae_ros.specs import SensorSpec
    >>> from m2vae_ros.vae import M2VAE, SensorBatch
    >>> model = M2VAE([SensorSpec(m, 'image', m, m, (3, 4, 4)) for m in ('rgb', 'ir')]).eval()
    >>> values, valid = torch.rand(5, 3, 4, 4), torch.ones(5, 4, 4, dtype=torch.bool)
    >>> batch = {m: SensorBatch(values, valid, valid) for m in model.names}
    >>> conditional(model, batch, target=['ir'], given=['rgb'], samples=10).value.shape
    torch.Size([5])

    """
    _check_disjoint(target, given)
    joint, alone = (
        log_likelihood(model, batch, s, samples=samples, generator=generator, chunk=chunk)
        for s in ((*given, *target), given)
    )
    return Estimate(
        joint.value - alone.value,
        torch.minimum(joint.effective_sample_size, alone.effective_sample_size),
        torch.hypot(joint.standard_error, alone.standard_error),
    )


@torch.no_grad()
def predictive(
    model: MultimodalVAE,
    batch: Batch,
    target: Sequence[str],
    given: Sequence[str],
    *,
    samples: int,
    generator: torch.Generator | None = None,
    chunk: int = CHUNK,
) -> Estimate:
    r"""
    Estimate how well the encoder of S predicts T: the log of the mean p(x_T|z) over z ~ q_S.

    It assesses encoder and decoder together: it is :math:`\log p(x_T|x_S)` where q_S is the exact
    posterior, and mostly less elsewhere.

    Parameters
    ----------
    target, given
        T and S, which share no sensor.
    model, batch, samples, generator, chunk
        As in `log_likelihood`.

    Raises
    ------
    ValueError
        As `log_likelihood` does, or if target and given share a sensor.

    Examples
    --------
    >>> from m2vae_ros.specs import SensorSpec
    >>> from m2vae_ros.vae import M2VAE, SensorBatch
    >>> model = M2VAE([SensorSpec(m, 'image', m, m, (3, 4, 4)) for m in ('rgb', 'ir')]).eval()
    >>> values, valid = torch.rand(5, 3, 4, 4), torch.ones(5, 4, 4, dtype=torch.bool)
    >>> batch = {m: SensorBatch(values, valid, valid) for m in model.names}
    >>> predictive(model, batch, target=['ir'], given=['rgb'], samples=10).value.shape
    torch.Size([5])

    """
    _check_disjoint(target, given)
    wanted = _as_subset(model, target)
    posterior = model.encode(batch, _as_subset(model, given))
    weights = WeightSum()
    for _, log_weights in decoded_draws(
        model, batch, wanted, posterior, samples=samples, generator=generator, chunk=chunk
    ):
        weights.add(log_weights)
    return weights.estimate()


def summarise(estimates: Iterable[Estimate]) -> Summary:
    """
    Return the mean of the estimates of several batches and its standard error over the samples.

    Raises
    ------
    ValueError
        If there are fewer than two samples.

    Examples
    --------
    >>> values, draws = torch.tensor([-3.0, -5.0]).double(), torch.full((2,), 10.0).double()
    >>> summarise([Estimate(values, effective_sample_size=draws, standard_error=0 * draws)])
    Summary(mean=-4.0, standard_error=1.0, effective_sample_size=10.0, samples=2)

    """
    batches = list(estimates)
    values = torch.cat([batch.value for batch in batches]) if batches else torch.empty(0)
    if len(values) < 2:
        raise ValueError(f'{len(values)} samples: an error bar needs two or more')
    sizes = torch.cat([batch.effective_sample_size for batch in batches])
    error = float(values.std()) / sqrt(len(values))
    return Summary(float(values.mean()), error, float(sizes.median()), len(values))


def _as_subset(model: MultimodalVAE, sensors: Sequence[str]) -> Subset:
    """Return sensors as a subset in the model's order."""
    unknown = [name for name in sensors if name not in model.names]
    if unknown or not sensors:
        raise ValueError(
            f'sensors {unknown or list(sensors)!r}: must be one or more of '
            f'{", ".join(model.names)}'
        )
    return tuple(name for name in model.names if name in sensors)


def _check_disjoint(target: Sequence[str], given: Sequence[str]) -> None:
    shared = sorted(set(target) & set(given))
    if shared:
        raise ValueError(f'{", ".join(shared)}: cannot be both target and given')

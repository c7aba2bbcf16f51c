# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A linear-Gaussian model with known posteriors and likelihoods, as a `MultimodalVAE`."""

from __future__ import annotations

import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal

from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.multimodal import MultimodalVAE

LATENT, SIZE = 2, 3
NAMES = ('a', 'b', 'c')


class Values(nn.Module):
    """A trunk whose features are the values."""

    def forward(self, batch):
        return batch.values


class Posterior(nn.Module):
    """A head that gives p(z|x_S), its variances scaled and its means shifted."""

    def __init__(self, sensors, scale, shift):
        super().__init__()
        precision = 1 + sum(s.precision for s in sensors)
        self.gain = torch.cat([s.weight / s.noise**2 for s in sensors]) / precision
        self.bias = torch.cat([s.bias for s in sensors])
        self.shift = shift / precision.sqrt()
        self.log_variance = (scale / precision).log()

    def forward(self, features):
        mean = (features - self.bias) @ self.gain + self.shift
        return torch.cat([mean, self.log_variance.expand_as(mean)], 1)


class Sensor(nn.Module):
    """p(x|z) = N(W z + b, noise^2 I); W has orthogonal columns, so p(z|x) is diagonal."""

    def __init__(self, generator):
        super().__init__()

        def drawn(*shape):
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.weight = torch.linalg.qr(drawn(SIZE, LATENT)).Q * (0.5 + drawn(LATENT).abs())
        self.bias = drawn(SIZE)
        self.noise = 0.4 + 0.2 * drawn(()).abs()
        self.precision = (self.weight / self.noise).square().sum(0)

    def forward(self, latents):
        return Density(Normal(latents @ self.weight.T + self.bias, self.noise), 1)


class Density(Independent):
    """A density that scores the values of a batch."""

    def log_prob(self, batch):
        return super().log_prob(batch.values)


def exact_model(n=3, seed=0, *, scale=1.0, shift=0.0, trained_subsets=None):
    """Return a model of n sensors; its posteriors are exact but for `scale` and `shift`."""
    generator = torch.Generator().manual_seed(seed)
    sensors = {name: Sensor(generator) for name in NAMES[:n]}
    return MultimodalVAE(
        {name: Values() for name in sensors},
        lambda subset: Posterior([sensors[name] for name in subset], scale, shift),
        sensors, trained_subsets,
    )


def measured(model, count, seed=0):
    """Return a batch of measurements drawn from the model."""
    generator = torch.Generator().manual_seed(1000 + seed)
    z = torch.randn(count, LATENT, generator=generator, dtype=torch.float64)
    batch = {}
    for name, sensor in model.decoders.items():
        noise = torch.randn(count, SIZE, generator=generator, dtype=torch.float64)
        values = z @ sensor.weight.T + sensor.bias + sensor.noise * noise
        seen = torch.ones(count, SIZE, dtype=torch.bool)
        batch[name] = SensorBatch(values, seen, seen)
    return batch


def exact_log_likelihood(model, batch, subset):
    """Return log p(x_S), ``(batch,)``."""
    sensors = [model.decoders[name] for name in subset]
    weight = torch.cat([sensor.weight for sensor in sensors])
    noise = torch.cat([sensor.noise.expand(SIZE) for sensor in sensors])
    density = MultivariateNormal(
        torch.cat([sensor.bias for sensor in sensors]),
        weight @ weight.T + noise.square().diag(),
    )
    return density.log_prob(torch.cat([batch[name].values for name in subset], 1))

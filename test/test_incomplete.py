# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A batch of samples that lack different sensors, compared with each sample on its own."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.model import Architecture, M2VAE
from m2vae_ros.vae.multimodal import MultimodalVAE
from m2vae_ros.vae.objectives import bound
from m2vae_ros.vae.terms import OBJECTIVES, reconstructions

NAMES = tuple(spec.name for spec in SENSORS)
AVAILABLE = torch.tensor([mask for mask in product([False, True], repeat=3) if any(mask)])
CASES = [(name, None) for name in OBJECTIVES]
CASES += [('m2vae', ('depth', 'camera', 'lidar')), ('m2vae', ('camera', 'lidar', 'depth'))]
KNOBS = {'alpha': 0.7, 'beta': 1.3, 'gamma': 0.6, 'joint_prior_weight': 0.4}


class VectorTrunk(nn.Sequential):
    """Features of a short vector."""

    def __init__(self, size):
        super().__init__(nn.Linear(size, 5), nn.Tanh())

    def forward(self, batch):
        return super().forward(batch.values)


class VectorDensity(Independent):
    """A density over short vectors without a mask: NaN in, NaN out."""

    def log_prob(self, batch):
        return super().log_prob(batch.values)


class VectorDecoder(nn.Linear):
    """A decoder to a short vector with fixed noise."""

    def forward(self, latents):
        return VectorDensity(Normal(super().forward(latents), 0.5), 1)


def vector_model():
    sizes = dict(zip(NAMES, (2, 3, 4), strict=True))
    return MultimodalVAE(
        {name: VectorTrunk(size) for name, size in sizes.items()},
        lambda subset: nn.Linear(5 * len(subset), 6),
        {name: VectorDecoder(3, size) for name, size in sizes.items()},
    ), {name: (size,) for name, size in sizes.items()}


def robot_model():
    return M2VAE(SENSORS, Architecture(4, 8, 8)), {spec.name: spec.shape for spec in SENSORS}


def drawn(shapes):
    """Return a batch of samples; absent sensors hold NaN that is marked as valid."""
    batch = {}
    for name, present in zip(NAMES, AVAILABLE.T, strict=True):
        values = torch.rand(len(AVAILABLE), *shapes[name], dtype=torch.float64)
        values[~present] = torch.nan
        cells = values[:, 0] if name == 'camera' and values.dim() > 2 else values
        seen = torch.rand(cells.shape) < 0.8
        seen[~present] = True
        batch[name] = SensorBatch(values, seen, seen)
    return batch


@pytest.fixture(params=[vector_model, robot_model])
def model_and_batch(request, monkeypatch):
    monkeypatch.setattr(  # the same latent noise, whatever the size of the batch
        DiagonalGaussian, 'rsample',
        lambda self, _=None: self.mean + 0.7 * (0.5 * self.log_variance).exp())
    torch.manual_seed(0)
    model, shapes = request.param()
    return model.double(), drawn(shapes)


def gradients(model, value):
    model.zero_grad()
    value.sum().backward()
    return {name: weight.grad for name, weight in model.named_parameters()
            if weight.grad is not None}


def together(model, batch, name, ordering):
    needed = reconstructions(name, NAMES, available=AVAILABLE, ordering=ordering)
    terms = model(batch, available=AVAILABLE, reconstruct=needed)
    return bound(name, *terms, names=NAMES, available=AVAILABLE, ordering=ordering, **KNOBS)


def one_by_one(model, batch, name, ordering):
    """Return the bounds of samples that hold only the sensors they have."""
    values = []
    for row, mask in enumerate(AVAILABLE.tolist()):
        has = tuple(sensor for sensor, there in zip(NAMES, mask, strict=True) if there)
        kept = None if ordering is None else [sensor for sensor in ordering if sensor in has]
        sample = {sensor: SensorBatch(*(part[row:row + 1] for part in batch[sensor]))
                  for sensor in has}
        needed = reconstructions(name, has, ordering=kept)
        terms = model(sample, reconstruct=needed)
        values.append(bound(name, *terms, names=has, ordering=kept, **KNOBS))
    return torch.cat(values)


@pytest.mark.parametrize(('name', 'ordering'), CASES)
def test_a_mixed_batch_is_its_samples_in_value_and_gradient(name, ordering, model_and_batch):
    model, batch = model_and_batch
    mixed = together(model, batch, name, ordering)
    alone = one_by_one(model, batch, name, ordering)
    assert mixed.isfinite().all()
    torch.testing.assert_close(mixed, alone, rtol=1e-6, atol=1e-6)
    expected = gradients(model, alone)
    found = gradients(model, together(model, batch, name, ordering))
    assert found.keys() == expected.keys()
    for weight, gradient in found.items():
        torch.testing.assert_close(
            gradient, expected[weight], rtol=1e-6, atol=1e-6, msg=lambda m, w=weight: f'{w}: {m}')


def test_what_was_not_measured_changes_nothing(model_and_batch):
    model, batch = model_and_batch
    cleared = {name: part._replace(values=part.values.nan_to_num(7.0))
               for name, part in batch.items()}
    first, second = (together(model, b, 'm2vae', None) for b in (batch, cleared))
    assert torch.equal(first, second)
    grads = [gradients(model, together(model, b, 'm2vae', None)) for b in (batch, cleared)]
    assert all(torch.equal(grads[0][name], grads[1][name]) for name in grads[0])
    assert all(gradient.isfinite().all() for gradient in grads[0].values())


def test_without_reconstruct_all_trained_subsets_are_computed(model_and_batch):
    model, batch = model_and_batch
    terms = model(batch, available=AVAILABLE)
    value = bound('m2vae', *terms, available=AVAILABLE, **KNOBS)
    torch.testing.assert_close(value, together(model, batch, 'm2vae', None))

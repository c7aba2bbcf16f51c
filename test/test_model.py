# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The model and its file."""

from __future__ import annotations

from dataclasses import replace
import json
import math
import os
from pathlib import Path

import pytest
from safetensors.torch import save_file
import torch

from m2vae_ros.specs import SensorSpec
from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.gaussian import DiagonalGaussian
from m2vae_ros.vae.header import read_header
from m2vae_ros.vae.information import bayes_product
from m2vae_ros.vae.likelihoods import GaussianImage, MaskedRange, SensorBatch
from m2vae_ros.vae.model import Architecture, HEADS, M2VAE
from m2vae_ros.vae.objectives import bound
from m2vae_ros.vae.terms import OBJECTIVES, required_subsets
from m2vae_ros.weights_file import CheckpointError

RANGES = {'range_min': 0.1, 'range_max': 10.0}
CAMERA = SensorSpec('camera', 'image', 'camera/image_raw', 'camera', (3, 13, 21))
LIDAR = SensorSpec('lidar', 'laser_scan', 'scan', 'laser', (45,),
                   {'angle_min': -math.pi, 'angle_max': math.pi, **RANGES})
FRONT = SensorSpec('front', 'laser_scan', 'front', 'laser', (7,),
                   {'angle_min': -1.0, 'angle_max': 1.0, **RANGES})
DEPTH = SensorSpec('depth', 'point_cloud', 'points', 'depth', (5, 9), {
    'azimuth_min': -0.6, 'azimuth_max': 0.6, 'elevation_min': -0.3, 'elevation_max': 0.3,
    **RANGES, 'axes': 'optical'})
SENSORS = (CAMERA, LIDAR, FRONT, DEPTH)
SMALL = Architecture(latent_size=4, feature_size=8, hidden_size=8)


def random_batch(sensors, size=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    batch = {}
    for spec in sensors:
        values = torch.rand(size, *spec.shape, generator=generator)
        valid = torch.rand(size, *spec.spatial_shape, generator=generator) < 0.8
        returned = valid & (torch.rand(valid.shape, generator=generator) < 0.8)
        if spec.kind == 'image':
            returned = valid
        batch[spec.name] = SensorBatch(values, valid, returned)
    return batch


def small_model(sensors=SENSORS, architecture=SMALL, **options):
    torch.manual_seed(0)
    return M2VAE(sensors, architecture, **options)


@pytest.mark.parametrize('heads', HEADS)
@pytest.mark.parametrize('objective', OBJECTIVES)
def test_every_weight_gets_a_gradient_from_one_step(objective, heads):
    subsets = required_subsets(objective, tuple(spec.name for spec in SENSORS))
    model = small_model(architecture=replace(SMALL, heads=heads), trained_subsets=subsets)
    bound(objective, *model(random_batch(SENSORS))).sum().backward()
    without = [name for name, weight in model.named_parameters()
               if weight.grad is None or not weight.grad.isfinite().all()
               or not weight.grad.any()]
    assert without == []


def test_a_step_calls_each_trunk_and_each_decoder_once():
    model = small_model()
    calls = []
    for kind, modules in (('trunk', model.trunks), ('decoder', model.decoders)):
        for name, module in modules.items():
            module.register_forward_hook(
                lambda *_, what=(kind, name): calls.append(what))
    model(random_batch(SENSORS))
    assert sorted(calls) == sorted(
        (kind, name) for kind in ('trunk', 'decoder') for name in model.names)


def test_the_stacked_step_equals_each_subset_on_its_own():
    model = small_model()
    batch = random_batch(SENSORS)
    posteriors, scores = model(batch, torch.Generator().manual_seed(5))
    alone = [model.encode(batch, subset) for subset in model.trained_subsets]
    stacked = DiagonalGaussian(
        torch.stack([posterior.mean for posterior in alone]),
        torch.stack([posterior.log_variance for posterior in alone]))
    latents = stacked.rsample(torch.Generator().manual_seed(5))
    for subset, posterior, drawn in zip(model.trained_subsets, alone, latents, strict=True):
        torch.testing.assert_close(posterior.mean, posteriors[subset].mean)
        torch.testing.assert_close(posterior.log_variance, posteriors[subset].log_variance)
        for name in subset:
            torch.testing.assert_close(
                model.decode(drawn, name).log_prob(batch[name]), scores[subset][name],
                rtol=1e-5, atol=1e-4)


def test_a_joint_encoder_starts_as_the_product_of_the_single_ones():
    model = small_model()
    batch = random_batch(SENSORS)
    singles = [model.encode(batch, (name,)) for name in model.names]
    joint = model.encode(batch, model.names)
    product = bayes_product(singles)
    torch.testing.assert_close(joint.mean, product.mean, rtol=0, atol=0.02)
    torch.testing.assert_close(joint.log_variance, product.log_variance, rtol=0, atol=0.02)
    separate = small_model(architecture=replace(SMALL, heads='separate'))
    assert (separate.encode(batch, model.names).mean - product.mean).abs().max() > 0.02


@pytest.mark.parametrize('spec', SENSORS, ids=lambda spec: spec.name)
def test_invalid_cells_change_nothing(spec):
    model = small_model()
    batch = random_batch([spec])
    spoilt = batch[spec.name].values.clone()
    seen = batch[spec.name].returned
    spoilt[~(seen.unsqueeze(1).expand_as(spoilt) if spec.kind == 'image' else seen)] = torch.nan
    other = {spec.name: batch[spec.name]._replace(values=spoilt)}
    first, second = (model.encode(b, (spec.name,)).mean for b in (batch, other))
    assert torch.equal(first, second)
    likelihood = model.decode(first.detach().requires_grad_(), spec.name)
    assert torch.equal(
        likelihood.log_prob(batch[spec.name]), likelihood.log_prob(other[spec.name]))
    likelihood.log_prob(other[spec.name]).sum().backward()
    assert all(weight.grad.isfinite().all() for weight in model.decoders[spec.name].parameters()
               if weight.grad is not None)


def test_a_full_circle_has_no_seam():
    spec = SensorSpec('lidar', 'laser_scan', 'scan', 'laser', (48,), LIDAR.geometry)
    model = small_model([spec])
    batch = random_batch([spec])['lidar']
    eighth = 8  # bearings: a multiple of the 8 that three halvings merge into one
    trunk = model.trunks['lidar']

    def features(part):
        return trunk.layers[:9](trunk.channels(part))

    turned = SensorBatch(*(part.roll(eighth, -1) for part in batch))
    torch.testing.assert_close(features(turned), features(batch).roll(eighth // 8, -1))


def test_likelihoods_agree_with_torchs_distributions():
    batch = random_batch([CAMERA, LIDAR])
    location = torch.rand(2, 3, *CAMERA.shape)
    image = GaussianImage(location, torch.tensor(-2.0))
    normal = torch.distributions.Normal(location, math.exp(-1.0))
    expected = normal.log_prob(batch['camera'].values)
    expected = (expected * batch['camera'].valid.unsqueeze(1)).sum((-3, -2, -1))
    torch.testing.assert_close(image.log_prob(batch['camera']), expected)
    location, logit = torch.rand(2, 3, 45), torch.randn(2, 3, 45)
    ranges = MaskedRange(location, torch.tensor(-1.0), logit, 1)
    scan = batch['lidar']
    laplace = torch.distributions.Laplace(location, math.exp(-1.0)).log_prob(scan.values)
    bernoulli = torch.distributions.Bernoulli(logits=logit).log_prob(scan.returned.float())
    expected = (bernoulli * scan.valid + laplace * scan.returned).sum(-1)
    torch.testing.assert_close(ranges.log_prob(scan), expected)


def test_a_model_comes_back_from_its_file(tmp_path):
    model = small_model(trained_subsets=[('camera',), ('camera', 'lidar')]).eval()
    header = checkpoint.describe(
        model, provenance={'seed': 3}, calibration={'temperature': {'camera+lidar': 1.25}})
    checkpoint.save(tmp_path / 'a.safetensors', model, header)
    loaded = checkpoint.load(tmp_path / 'a.safetensors')
    assert loaded.header == header == read_header(tmp_path / 'a.safetensors')
    assert loaded.header.temperatures == {('camera', 'lidar'): 1.25}
    assert loaded.model.temperatures == loaded.header.temperatures
    assert loaded.model.sensors == SENSORS
    assert loaded.model.trained_subsets == (('camera',), ('camera', 'lidar'))
    batch = random_batch(SENSORS)
    for subset in model.trained_subsets:
        torch.testing.assert_close(
            loaded.model.encode(batch, subset).mean, model.encode(batch, subset).mean,
            rtol=1e-2, atol=1e-2)  # half precision
    checkpoint.save(tmp_path / 'b.safetensors', loaded.model, loaded.header)
    assert (tmp_path / 'b.safetensors').read_bytes() == (tmp_path / 'a.safetensors').read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.safetensors', 'b.safetensors']


def changed_header(path, change):
    content = path.read_bytes()
    size = int.from_bytes(content[:8], 'little')
    header = json.loads(content[8:8 + size])
    ours = json.loads(header['__metadata__']['m2vae_ros'])
    change(ours)
    header['__metadata__'] = {'m2vae_ros': json.dumps(ours)}  # older files had no digest
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, 'little') + text + content[8 + size:])


@pytest.mark.parametrize(('spoil', 'reason'), [
    (lambda path: path.unlink(), 'cannot be read'),
    (lambda path: path.write_bytes(b''), 'not a whole'),
    (lambda path: path.write_bytes(path.read_bytes()[:-100]), 'damaged or cut off'),
    (lambda path: path.write_bytes(b'\xff' * 100), 'not a whole'),
    (lambda path: path.write_bytes((20).to_bytes(8, 'little') + b'?' * 20), 'not a .safetensors'),
    (lambda path: save_file({'x': torch.zeros(1)}, path), 'no model of m2vae_ros'),
    (lambda path: changed_header(path, lambda h: h.update(format_version=99)), 'version 99'),
    (lambda path: changed_header(path, lambda h: h.pop('sensors')), 'sensors'),
    (lambda path: changed_header(
        path, lambda h: h['architecture'].update(latent_size=5)), 'should have shape'),
    (lambda path: changed_header(
        path, lambda h: h['architecture'].update(latent_size='big')), 'describes no model'),
    (lambda path: changed_header(
        path, lambda h: h.update(trained_subsets=[['sonar']])), 'trained subsets'),
    *((lambda path, wrong=wrong: changed_header(
        path, lambda h: h.update(calibration={'temperature': wrong})), reason)
      for wrong, reason in [
        ({'sonar': 1.0}, 'temperature of sonar: no such trained subset'),
        ({'lidar+camera': 1.0}, r'lidar\+camera: no such trained subset'),
        ({'lidar': 0}, 'temperature of lidar: 0 must be a positive number'),
        ({'lidar': -1.5}, 'must be a positive number'),
        ({'lidar': math.inf}, 'is not a finite number'),
        ({'lidar': math.nan}, 'is not a finite number'),
        ({'lidar': '1.0'}, 'must be a positive number'),
        ({'lidar': True}, 'must be a positive number'),
        ([1.0], 'damaged')]),
])
def test_a_wrong_file_is_rejected_with_its_reason(tmp_path, spoil, reason):
    path = tmp_path / 'model.safetensors'
    model = small_model()
    checkpoint.save(path, model, checkpoint.describe(model))
    spoil(path)
    with pytest.raises(CheckpointError, match=reason) as caught:
        checkpoint.load(path)
    assert str(path) in str(caught.value)


def test_a_file_from_before_there_were_temperatures_has_none(tmp_path):
    path = tmp_path / 'model.safetensors'
    model = small_model()
    checkpoint.save(path, model, checkpoint.describe(model))
    changed_header(path, lambda h: h.pop('calibration'))
    assert checkpoint.load(path).header.calibration == {}
    assert read_header(path).temperatures == {}


def test_a_diverged_model_is_not_written(tmp_path):
    model = small_model()
    with torch.no_grad():
        next(iter(model.heads.parameters()))[0, 0] = torch.nan
    with pytest.raises(ValueError, match='not finite'):
        checkpoint.save(tmp_path / 'model.safetensors', model, checkpoint.describe(model))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    model = small_model()

    def refuse(source: Path, target: Path) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'replace', refuse)
    with pytest.raises(OSError, match='No space'):
        checkpoint.save(tmp_path / 'model.safetensors', model, checkpoint.describe(model))
    assert list(tmp_path.iterdir()) == []


def test_wrong_models_are_rejected_with_their_reason():
    with pytest.raises(ValueError, match='each once'):
        M2VAE([LIDAR, LIDAR])
    with pytest.raises(ValueError, match='must be some of'):
        M2VAE([LIDAR], trained_subsets=[('camera',)])
    with pytest.raises(ValueError, match='positive integer'):
        Architecture(latent_size=0)
    model = small_model(trained_subsets=[('camera',)])
    with pytest.raises(ValueError, match='no trained encoder'):
        model.encode(random_batch(SENSORS), ('lidar',))

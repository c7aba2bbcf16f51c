# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Samples are varied as sensors vary, by a seed, and nothing else of them changes."""

from __future__ import annotations

from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
import torch

from m2vae_ros.samples.augmentation import augment, AugmentationOptions, AugmentedSamples
from m2vae_ros.samples.dataset import SampleDataset
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.model import M2VAE

CAMERA, LIDAR, _ = SENSORS
ALL = AugmentationOptions(**{option.name: 0.2 for option in fields(AugmentationOptions)})


def scans(values, *, valid=None, returned=None):
    values = torch.as_tensor(values, dtype=torch.float32)
    returned = torch.ones_like(values, dtype=torch.bool) if returned is None else returned
    valid = torch.ones_like(values, dtype=torch.bool) if valid is None else valid
    return SensorBatch(values, valid, returned)


def images(level, count=2000):
    seen = torch.ones(count, 4, 5, dtype=torch.bool)
    return SensorBatch(torch.full((count, 3, 4, 5), level), seen, seen)


def varied(spec, batch, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return augment(spec, batch, AugmentationOptions(**options), generator)


def samples(count=20):
    random = np.random.default_rng(0)
    arrays = {}
    for spec in SENSORS:
        values = random.random((count, *spec.shape), np.float32) + 1
        seen = random.random((count, *spec.spatial_shape)) < 0.8
        if spec.kind == 'image':
            levels = random.integers(0, 256, values.shape, np.uint8)
            arrays[spec.name] = (levels * seen[:, None], seen, seen)
        else:
            arrays[spec.name] = (np.where(seen, values, 0).astype(np.float32), seen | True, seen)
    return SampleDataset(SENSORS, arrays)


def same(first, second):
    return all(
        torch.equal(a, b) for name in first.sensors
        for a, b in zip(first.sensors[name], second.sensors[name], strict=True)
    )


def test_nothing_is_varied_by_default():
    assert not AugmentationOptions().is_active
    plain = samples()
    assert same(AugmentedSamples(plain, AugmentationOptions())[range(20)], plain[range(20)])


def test_range_noise_has_the_deviation_asked_for():
    batch = scans(torch.full((2000, 180), 5.0))
    noise = varied(LIDAR, batch, range_noise=0.03).values - 5
    assert noise.std().item() == pytest.approx(0.03, rel=0.02)
    noise = varied(LIDAR, batch, relative_range_noise=0.01).values - 5
    assert noise.std().item() == pytest.approx(0.05, rel=0.02)
    assert abs(noise.mean().item()) < 1e-3


def test_noise_beyond_a_limit_reads_as_the_sensor_would_say_it():
    farthest, nearest = LIDAR.geometry['range_max'], LIDAR.geometry['range_min']
    far = varied(LIDAR, scans(torch.full((500, 180), farthest)), range_noise=0.1)
    beyond = ~far.returned
    assert 0.4 < beyond.float().mean() < 0.6
    assert far.valid.all()
    near = varied(LIDAR, scans(torch.full((500, 180), nearest)), range_noise=0.1)
    assert 0.4 < (~near.valid).float().mean() < 0.6
    assert torch.equal(near.valid, near.returned)
    for batch in (far, near):
        assert (batch.values[~batch.returned] == 0).all()


def test_the_share_of_returns_that_is_lost_is_the_one_asked_for():
    lost = varied(LIDAR, scans(torch.full((2000, 180), 5.0)), lost_returns=0.1)
    assert (~lost.returned).float().mean().item() == pytest.approx(0.1, rel=0.05)
    assert lost.valid.all()
    assert (lost.values[~lost.returned] == 0).all()
    assert (lost.values[lost.returned] == 5).all()


def test_exposure_is_in_stops_and_the_same_for_a_whole_image():
    values = varied(CAMERA, images(0.1), exposure=0.5).values
    assert (values.flatten(1).std(1) < 1e-6).all()
    stops = (values[:, 0, 0, 0] / 0.1).log2()
    assert stops.std().item() == pytest.approx(0.5, rel=0.06)


def test_white_balance_is_a_gain_of_each_colour():
    values = varied(CAMERA, images(0.5), white_balance=0.1).values
    assert (values.flatten(2).std(2) < 1e-6).all()
    assert (values[:, :, 0, 0] / 0.5).std().item() == pytest.approx(0.1, rel=0.06)


def test_contrast_keeps_the_mean():
    batch = images(0.5)
    batch = batch._replace(values=batch.values + torch.linspace(-0.1, 0.1, 5))
    values = varied(CAMERA, batch, contrast=0.2).values
    torch.testing.assert_close(values.mean((1, 2, 3)), batch.values.mean((1, 2, 3)))
    ratio = values.std((1, 2, 3)) / batch.values.std((1, 2, 3))
    assert ratio.std().item() == pytest.approx(0.2, rel=0.06)


@given(st.integers(0, 1000))
def test_images_saturate_as_cameras_do(seed):
    values = augment(CAMERA, images(0.95, 4), ALL, torch.Generator().manual_seed(seed)).values
    assert values.min() >= 0
    assert values.max() <= 1


@given(st.integers(0, 1000))
def test_cells_that_are_not_valid_or_not_returned_stay_so(seed):
    random = torch.Generator().manual_seed(seed)
    for spec in SENSORS:
        valid = torch.rand(3, *spec.spatial_shape, generator=random) < 0.5
        returned = valid & (torch.rand(valid.shape, generator=random) < 0.5)
        seen = valid.unsqueeze(1) if spec.kind == 'image' else returned
        values = torch.where(seen, 0.5, 0.0).expand(3, *spec.shape).contiguous()
        before = SensorBatch(values.clone(), valid.clone(), returned.clone())
        after = augment(spec, before, ALL, random)
        assert not (after.valid & ~valid).any()
        assert not (after.returned & ~returned).any()
        assert not (after.returned & ~after.valid).any()
        cells = after.valid.unsqueeze(1) if spec.kind == 'image' else after.returned
        assert (after.values.masked_select(~cells.expand_as(values)) == 0).all()
        assert torch.equal(before.values, values)  # the input is not changed


def test_the_draws_depend_on_the_seed_and_the_batch_alone():
    plain = samples()
    varied_samples = AugmentedSamples(plain, ALL, seed=3)
    first = varied_samples[[4, 1, 7]]
    varied_samples[[2, 3]]
    torch.rand(5)
    assert same(varied_samples[[4, 1, 7]], first)
    assert same(AugmentedSamples(plain, ALL, seed=3)[[4, 1, 7]], first)
    assert not same(AugmentedSamples(plain, ALL, seed=4)[[4, 1, 7]], first)


def test_a_sample_is_varied_anew_in_every_epoch():
    varied_samples = AugmentedSamples(samples(), ALL)
    again = varied_samples[[7, 4, 1]].sensors['lidar'].values[[1, 2, 0]]
    assert not torch.equal(varied_samples[[4, 1, 7]].sensors['lidar'].values, again)


def test_statistics_are_those_of_the_samples_as_measured():
    plain = samples()
    models = M2VAE(SENSORS), M2VAE(SENSORS)
    plain.fit_normalisation(models[0])
    AugmentedSamples(plain, ALL).fit_normalisation(models[1])
    for spec in SENSORS:
        first, second = (model.normalisation(spec.name).state_dict() for model in models)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize('name', [option.name for option in fields(AugmentationOptions)])
def test_options_out_of_range_are_refused_by_name(name):
    with pytest.raises(ValueError, match=f'{name} -0.1: must be'):
        AugmentationOptions(**{name: -0.1})

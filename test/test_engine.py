# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The engine, for every subset and on every device that is available."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from m2vae_ros.fusion import engine as engine_module
from m2vae_ros.fusion.engine import choose_device, Engine, usable_threads
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.specs import Measurement
from m2vae_ros.vae.model import Architecture, M2VAE
from m2vae_ros.vae.subsets import lattice

SMALL = Architecture(latent_size=5, feature_size=8, hidden_size=8)
NAMES = tuple(spec.name for spec in SENSORS)


def small_model(**options):
    torch.manual_seed(0)
    return M2VAE(SENSORS, SMALL, **options)


def measurements(subset, seed=0):
    rng = np.random.default_rng(seed)
    of_all = {}
    for index, spec in enumerate(SENSORS):
        everywhere = np.ones(spec.spatial_shape, np.bool_)
        of_all[spec.name] = Measurement(
            rng.random(spec.shape, np.float32), everywhere, everywhere, 1000 + index, 'frame')
    return {name: of_all[name] for name in subset}


@pytest.mark.parametrize('subset', lattice(NAMES), ids='+'.join)
def test_every_subset_gives_a_posterior_and_reconstructions(subset):
    model = small_model()
    posterior, reconstructions = Engine(model, device='cpu').fuse(
        measurements(subset), reconstruct=('lidar', 'camera'))
    assert posterior.mean.shape == posterior.log_variance.shape == (1, 5)
    assert list(reconstructions) == ['lidar', 'camera']
    for name, expected in reconstructions.items():
        spec = model.sensor(name)
        assert expected.values.shape == spec.shape
        assert expected.values.dtype == np.float32
        assert expected.returned.shape == expected.valid.shape == spec.spatial_shape
        assert expected.valid.all()
        assert (expected.values[..., ~expected.returned] == 0).all()
        assert expected.frame_id == spec.frame_id
        assert expected.stamp_ns == max(item.stamp_ns for item in measurements(subset).values())
    again, _ = Engine(model, device='cpu').fuse(measurements(subset))
    assert torch.equal(again.mean, posterior.mean)


def test_only_what_was_asked_for_runs():
    model = small_model()
    engine = Engine(model, device='cpu')
    calls = []
    for kind in ('trunks', 'heads', 'decoders'):
        for name, module in getattr(model, kind).items():
            module.register_forward_hook(lambda *_, what=f'{kind} {name}': calls.append(what))
    engine.fuse(measurements(('lidar', 'depth')))
    experts = ['heads depth', 'heads lidar']
    assert sorted(calls) == [*experts, 'heads lidar+depth', 'trunks depth', 'trunks lidar']
    calls.clear()
    engine.fuse(measurements(('depth',)), reconstruct=('camera',))
    assert sorted(calls) == ['decoders camera', 'heads depth', 'trunks depth']


@pytest.mark.parametrize('subset', lattice(NAMES), ids='+'.join)
def test_a_temperature_scales_the_variances_of_its_subset_alone(subset):
    model = small_model()
    plain = Engine(model, device='cpu')
    scaled = Engine(model, device='cpu', temperatures={('lidar',): 1.44, ('camera', 'depth'): 0.5})
    before, _ = plain.fuse(measurements(subset))
    after, first = scaled.fuse(measurements(subset), reconstruct=('camera',))
    assert torch.equal(after.mean, before.mean)
    ratio = {('lidar',): 1.44, ('camera', 'depth'): 0.5}.get(subset, 1.0)
    torch.testing.assert_close(
        after.log_variance.exp(), ratio * before.log_variance.exp(), rtol=1e-5, atol=0)
    _, second = plain.fuse(measurements(subset), reconstruct=('camera',))
    assert np.array_equal(first['camera'].values, second['camera'].values)


@pytest.mark.parametrize(('temperatures', 'reason'), [
    ({('sonar',): 1.0}, 'sonar: no such trained subset'),
    ({('lidar', 'camera'): 1.0}, r'lidar\+camera: no such'),
    ({('lidar',): 0.0}, 'must be a positive number'),
    ({('lidar',): float('nan')}, 'must be a positive number'),
])
def test_a_wrong_temperature_is_rejected(temperatures, reason):
    with pytest.raises(ValueError, match=reason):
        Engine(small_model(), device='cpu', temperatures=temperatures)


def test_warming_runs_every_trained_subset_and_every_decoder():
    model = small_model()
    ran = set()
    for modules in (model.heads, model.decoders):
        for name, module in modules.items():
            module.register_forward_hook(lambda *_, what=name: ran.add(what))
    Engine(model, device='cpu').warm()
    assert ran == set(model.heads) | set(NAMES)


@pytest.mark.parametrize('subset', lattice(NAMES), ids='+'.join)
def test_no_tensor_stays_on_another_device(subset, monkeypatch):
    monkeypatch.setattr(engine_module, 'choose_device', lambda name: (torch.device(name), ''))
    engine = Engine(small_model(), device='meta')
    engine.warm()
    inferred = engine.infer(engine._to_device(measurements(subset)), subset, NAMES)
    assert inferred.posterior.mean.device.type == 'meta'
    assert all(values.device.type == 'meta' for values, _ in inferred.reconstructions.values())


needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(),
    reason='no CUDA GPU: run on a machine with one, and a torch built for it')


@needs_cuda
@pytest.mark.parametrize('graphs', [False, True])
def test_a_gpu_gives_what_the_cpu_gives(graphs):
    temperatures = {('lidar',): 1.44}
    host = Engine(small_model(), device='cpu', temperatures=temperatures)
    engine = Engine(small_model(), device='cuda', temperatures=temperatures, graphs=graphs)
    engine.warm()
    assert engine.device_report == 'device cuda: as requested'
    for seed in range(2):  # nothing of the set before is left
        for subset in lattice(NAMES):
            expected, seen = host.fuse(measurements(subset, seed), reconstruct=NAMES)
            posterior, reconstructions = engine.fuse(
                measurements(subset, seed), reconstruct=NAMES[::-1])
            assert posterior.mean.device.type == posterior.log_variance.device.type == 'cpu'
            torch.testing.assert_close(expected.mean, posterior.mean, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(
                expected.log_variance, posterior.log_variance, rtol=1e-4, atol=1e-5)
            for name, measurement in reconstructions.items():
                np.testing.assert_allclose(
                    measurement.values, seen[name].values, rtol=1e-4, atol=1e-4)
    engine.close()


@needs_cuda
def test_results_of_a_gpu_are_not_overwritten_by_the_next_set():
    engine = Engine(small_model(), device='cuda')
    engine.warm()
    first, seen = engine.fuse(measurements(NAMES), reconstruct=NAMES)
    mean = first.mean.clone()
    images = seen['camera'].values.copy()
    engine.fuse(measurements(NAMES, seed=1), reconstruct=NAMES)
    assert torch.equal(first.mean, mean)
    assert np.array_equal(seen['camera'].values, images)


@needs_cuda
def test_a_gpu_that_cannot_record_graphs_goes_on_without(monkeypatch):
    def refuse(*_):
        raise RuntimeError('CUDA error: operation not permitted\nCompile with TORCH_USE_CUDA_DSA')
    monkeypatch.setattr(engine_module, 'CapturedModel', refuse)
    engine = Engine(small_model(), device='cuda')
    engine.warm()
    assert engine.device_report == (
        'device cuda: as requested; kernels are launched one by one: '
        'CUDA error: operation not permitted')
    expected, _ = Engine(small_model(), device='cpu').fuse(measurements(NAMES))
    torch.testing.assert_close(
        engine.fuse(measurements(NAMES))[0].mean, expected.mean, rtol=1e-4, atol=1e-5)


def test_the_largest_trained_subset_replaces_an_untrained_one():
    engine = Engine(small_model(trained_subsets=[('camera',), ('lidar', 'depth')]), device='cpu')
    assert engine.subset_for(NAMES) == ('lidar', 'depth')
    assert engine.subset_for(('camera', 'lidar')) == ('camera',)
    assert engine.subset_for(('lidar',)) is None


def test_the_device_is_chosen_and_explained():
    device, report = choose_device('auto')
    if torch.cuda.is_available():
        assert device.type == 'cuda'
        assert 'GPU' in report
    else:
        assert device.type == 'cpu'
        assert 'not the GPU: ' in report
        with pytest.raises(ValueError, match='use auto or cpu'):
            choose_device('cuda:0')
    assert choose_device('cpu')[0].type == 'cpu'
    for name in ('toaster', 'meta', 'mkldnn', 'cpu:3', ''):
        with pytest.raises(ValueError, match='must be auto, cpu, cuda or cuda:N'):
            choose_device(name)


def test_no_more_threads_are_used_than_there_are_cpus():
    cpus = len(os.sched_getaffinity(0))
    assert usable_threads(1) == 1
    assert usable_threads(10_000) == cpus


def test_an_unknown_sensor_cannot_be_reconstructed():
    with pytest.raises(ValueError, match='sonar'):
        Engine(small_model(), device='cpu').fuse(measurements(NAMES), reconstruct=('sonar',))

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""From messages to results, with the simulated robot's messages."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from m2vae_ros.fusion.pipeline import Pipeline
from m2vae_ros.sensors.kinds import decode
from m2vae_ros.simulation.native_messages import observe, PLAIN_CLASSES
from m2vae_ros.simulation.robot import Robot, SENSORS
from m2vae_ros.simulation.world import World
from m2vae_ros.vae.model import Architecture, M2VAE

SMALL = Architecture(latent_size=5, feature_size=8, hidden_size=8)
NOW = 1_000_000_000_000
MS = 1_000_000


@pytest.fixture(scope='module')
def robot():
    return Robot(World(0))


def small_pipeline(trained_subsets=None):
    torch.manual_seed(0)
    return Pipeline(M2VAE(SENSORS, SMALL, trained_subsets), device='cpu')


def feed(pipeline, robot, sensors, now=NOW):
    sets = []
    for name in sensors:
        sets += pipeline.receive(name, observe(robot, name, now, PLAIN_CLASSES), now)
    while (due := pipeline.next_deadline_ns) is not None:
        sets += pipeline.poll(due)
    return sets


def test_messages_become_a_result(robot):
    pipeline = small_pipeline()
    feed(pipeline, robot, ('camera', 'lidar', 'depth'))
    (fused_set,) = feed(pipeline, robot, ('camera', 'lidar', 'depth'), NOW + 400 * MS)
    result = pipeline.fuse(fused_set, reconstruct=('lidar',))
    assert result.sensors == ('camera', 'lidar', 'depth')
    assert result.stamp_ns == NOW + 400 * MS == result.reconstructions['lidar'].stamp_ns
    assert result.posterior.mean.shape == (1, 5)
    assert list(result.reconstructions) == ['lidar']
    again = pipeline.fuse(fused_set)
    assert torch.equal(again.posterior.mean, result.posterior.mean)
    assert pipeline.live(NOW + 400 * MS) == result.sensors


def test_the_temperatures_of_a_model_reach_its_results(robot):
    torch.manual_seed(0)
    model = M2VAE(SENSORS, SMALL)
    plain = Pipeline(model, device='cpu')
    model.temperatures = {('lidar',): 4.0}
    calibrated = Pipeline(model, device='cpu')
    (fused_set,) = feed(plain, robot, ('lidar',))
    before, after = (pipeline.fuse(fused_set).posterior for pipeline in (plain, calibrated))
    assert torch.equal(before.mean, after.mean)
    torch.testing.assert_close(4 * before.log_variance.exp(), after.log_variance.exp())


def test_an_invalid_message_is_counted_and_the_others_are_fused(robot):
    pipeline = small_pipeline()
    broken = observe(robot, 'camera', NOW, PLAIN_CLASSES)
    broken.data = broken.data[:-1]
    all_nan = observe(robot, 'lidar', NOW, PLAIN_CLASSES)
    all_nan.ranges = np.full_like(all_nan.ranges, np.nan)
    empty = observe(robot, 'depth', NOW, PLAIN_CLASSES)
    empty.width, empty.row_step, empty.data = 0, 0, empty.data[:0]
    for name, message in (('camera', broken), ('lidar', all_nan), ('depth', empty)):
        for _ in range(3):
            assert pipeline.receive(name, message, NOW) == []
    assert {name: sum(rules.values()) for name, rules in pipeline.invalid.items()} == {
        'camera': 3, 'lidar': 3, 'depth': 3}
    assert all(len(rules) == 1 for rules in pipeline.invalid.values())
    assert feed(pipeline, robot, ('depth',), NOW + MS)


def test_an_image_above_the_limit_is_invalid_and_the_reason_is_kept(robot):
    pipeline = Pipeline(M2VAE(SENSORS, SMALL), device='cpu', max_image_pixels=100)
    assert pipeline.last_invalid['camera'] == ''
    feed(pipeline, robot, ('camera', 'lidar'))
    assert pipeline.invalid == {'camera': {'image_size': 1}, 'lidar': {}, 'depth': {}}
    assert 'max_image_pixels' in pipeline.last_invalid['camera']


def test_an_invalid_message_still_emits_the_set_that_is_due(robot):
    pipeline = small_pipeline()
    feed(pipeline, robot, ('lidar', 'camera'))
    later = NOW + 300 * MS
    assert pipeline.receive('lidar', observe(robot, 'lidar', later, PLAIN_CLASSES), later) == []
    (emitted,) = pipeline.receive('camera', SimpleNamespace(), later + 120 * MS)
    assert list(emitted.items) == ['lidar']


def test_a_wrong_stamp_is_rejected_by_the_synchronizer(robot):
    pipeline = small_pipeline()
    message = observe(robot, 'lidar', 0, PLAIN_CLASSES)
    assert pipeline.receive('lidar', message, NOW) == []
    assert pipeline.synchronizer.statistics.dropped['lidar'] == {'zero_stamp': 1}


def test_an_untrained_subset_falls_back_or_is_counted(robot):
    pipeline = small_pipeline([('camera',), ('lidar', 'depth')])
    (alone,) = feed(pipeline, robot, ('lidar', 'depth', 'camera'))
    assert pipeline.fuse(alone) is None
    assert pipeline.untrained == {('lidar',): 1}
    (together,) = feed(pipeline, robot, ('lidar', 'depth', 'camera'), NOW + 400 * MS)
    assert pipeline.fuse(together).sensors == ('lidar', 'depth')


def test_results_are_those_of_the_decoded_measurements(robot):
    pipeline = small_pipeline()
    message = observe(robot, 'depth', NOW, PLAIN_CLASSES)
    (fused_set,) = pipeline.receive('depth', message, NOW)
    direct, _ = pipeline.engine.fuse({'depth': decode(SENSORS[2], message)})
    assert torch.equal(pipeline.fuse(fused_set).posterior.mean, direct.mean)


def test_an_unknown_sensor_is_rejected():
    with pytest.raises(ValueError, match='sonar'):
        small_pipeline().receive('sonar', None, NOW)

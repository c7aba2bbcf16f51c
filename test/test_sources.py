# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Samples of recordings and of the simulated robot as training takes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from m2vae_ros.samples.augmentation import AugmentationOptions, AugmentedSamples
from m2vae_ros.samples.cache import CacheOptions, open_cache
from m2vae_ros.samples.dataset import SampleDataset
from m2vae_ros.samples.recorded import RecordedSamples, samples_from_bags
from m2vae_ros.samples.simulated import samples_from_simulation, SimulationOptions
from m2vae_ros.samples.splits import SplitOptions
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.vae.model import M2VAE
from support.bag_files import write_drive

ALONE = CacheOptions(processes=1)
NAMES = tuple(spec.name for spec in SENSORS)


@pytest.fixture(scope='module')
def drives(tmp_path_factory):
    """Return two drives; in the second the lidar is silent for a while."""
    folder = tmp_path_factory.mktemp('bags')
    return [
        write_drive(folder / 'one', seconds=2.0),
        write_drive(folder / 'two', seconds=3.0, seed=1, silent={'lidar': (0.5, 2.0)}),
    ]


@pytest.fixture(scope='module')
def recorded(drives):
    """Return all samples of both drives."""
    bags = [open_cache(drive, SENSORS, ALONE) for drive in drives]
    return RecordedSamples(bags, [np.arange(len(bag.sets)) for bag in bags])


def in_memory(samples):
    """Return the same samples as arrays, stacked in order."""
    whole = samples[range(len(samples))].sensors
    return SampleDataset(
        SENSORS, {name: [part.numpy() for part in batch] for name, batch in whole.items()}
    )


def test_samples_of_several_bags_are_numbered_consecutively(recorded):
    bags = recorded.bags
    assert len(recorded) == sum(len(bag.sets) for bag in bags)
    last = len(bags[0].sets)
    for index, bag, row in ((0, 0, 0), (last - 1, 0, last - 1), (last, 1, 0), (last + 3, 1, 3)):
        batch = recorded[[index]]
        members = bags[bag].sets.rows[row]
        for column, spec in enumerate(SENSORS):
            if members[column] >= 0:
                expected = bags[bag].take(spec, 'values', members[[column]])
                expected = expected / np.float32(255) if spec.kind == 'image' else expected
                np.testing.assert_array_equal(batch.sensors[spec.name].values, expected)


def test_any_order_of_samples_gives_the_same_samples(recorded):
    order = np.random.default_rng(0).permutation(len(recorded))
    shuffled, straight = recorded[order], recorded[range(len(recorded))]
    assert torch.equal(shuffled.available, straight.available[order])
    for name in NAMES:
        for first, second in zip(shuffled.sensors[name], straight.sensors[name], strict=True):
            assert torch.equal(first, second[order])


def test_missing_sensors_are_marked_and_have_no_valid_cell(recorded):
    batch = recorded[range(len(recorded))]
    lidar = NAMES.index('lidar')
    assert not batch.available[:, lidar].all()
    np.testing.assert_array_equal(batch.available, recorded.availability())
    for name, has in zip(NAMES, batch.available.T, strict=True):
        missing = [part[~has] for part in batch.sensors[name]]
        assert not any(part.any() for part in missing)
        assert batch.sensors[name].valid[has].flatten(1).any(1).all()


def test_a_batch_of_complete_samples_needs_no_marks(recorded):
    complete = np.flatnonzero(recorded.availability().all(1))
    assert recorded[complete].available is None


def test_statistics_are_the_same_from_disk_and_from_memory(recorded):
    models = M2VAE(SENSORS), M2VAE(SENSORS)
    recorded.fit_normalisation(models[0], block=7)
    in_memory(recorded).fit_normalisation(models[1])
    for name in NAMES:
        first, second = (model.normalisation(name).state_dict() for model in models)
        for key in first:
            torch.testing.assert_close(first[key], second[key])


def test_parts_of_recordings_share_no_set_and_are_described(drives, capsys):
    splits = samples_from_bags(drives, SENSORS, cache=ALONE)
    parts = (splits.training, splits.validation, splits.test)
    total = sum(sum(bag['sets'].values()) for bag in splits.description['bags'])
    assert 0.8 * total < sum(map(len, parts)) <= total
    assert all(len(part) for part in parts)
    assert [bag['name'] for bag in splits.description['bags']] == ['one', 'two']
    assert f'{len(splits.training)} fused sets of one, two' == splits.description['training']
    assert f'{drives[1]}: ' in capsys.readouterr().err


def test_only_training_samples_are_varied(drives):
    varied = samples_from_bags(
        drives, SENSORS, cache=ALONE, augmentation=AugmentationOptions(lost_returns=0.5)
    )
    plain = samples_from_bags(drives, SENSORS, cache=ALONE, augmentation=AugmentationOptions())
    assert isinstance(varied.training, AugmentedSamples)
    assert not isinstance(plain.training, AugmentedSamples)
    for part in ('validation', 'test'):
        assert type(getattr(varied, part)) is RecordedSamples
    varied_returns, plain_returns = (
        each.training[range(8)].sensors['depth'].returned.sum().item() for each in (varied, plain)
    )
    assert varied_returns == pytest.approx(0.5 * plain_returns, rel=0.05)


def test_a_sensor_without_training_samples_is_an_error(tmp_path):
    bag = write_drive(tmp_path / 'drive', seconds=3.0, silent={'lidar': (0.0, 2.5)})
    with pytest.raises(ValueError, match=rf'{bag} \(topic /scan\): sensor lidar is in none'):
        samples_from_bags([bag], SENSORS, cache=ALONE)


def test_one_of_several_bags_may_lack_a_sensor_and_that_is_said_first(drives, tmp_path, capsys):
    bag = write_drive(tmp_path / 'dark', seconds=2.0, sensors=('lidar', 'depth'), seed=2)
    splits = samples_from_bags([bag, drives[0]], SENSORS, cache=ALONE)
    first, *others = [line for line in capsys.readouterr().err.splitlines() if 'fused sets' in line
                      or 'without' in line]
    assert first.startswith(f'{bag}: without camera: no topic /camera/image_raw or ')
    assert any(line.startswith(f'{bag}: ') and 'of lidar+depth' in line for line in others)
    camera = NAMES.index('camera')
    dark, bright = splits.training.bags
    assert (dark.sets.rows[:, camera] < 0).all()
    assert (dark.sets.rows[:, [NAMES.index('lidar'), NAMES.index('depth')]] >= 0).all(1).any()
    has = splits.training.availability()[:, camera]
    batch = splits.training[range(len(splits.training))]
    assert 0 < has.sum() < len(has)
    assert not batch.sensors['camera'].valid[~has].any()
    assert batch.sensors['camera'].valid[has].flatten(1).any(1).all()
    alone = samples_from_bags([bag], [s for s in SENSORS if s.name != 'camera'], cache=ALONE)
    (same,) = alone.training.bags
    assert same.folder == dark.folder
    batches = alone.training[[0, 1]].sensors['lidar'], splits.training[[0, 1]].sensors['lidar']
    assert torch.equal(batches[0].values, batches[1].values)
    assert 'camera' in splits.description['bags'][0]['absent']
    assert bright.description['absent'] == {}


def test_a_sensor_that_no_bag_has_is_an_error_before_anything_is_decoded(tmp_path):
    bags = [write_drive(tmp_path / name, seconds=0.3, sensors=('lidar',)) for name in 'ab']
    with pytest.raises(ValueError, match=r'camera is in none of the bags: .*/a: no topic'):
        samples_from_bags(bags, SENSORS[:2], cache=ALONE)
    assert not list(tmp_path.glob('*.m2vae_cache'))


def test_a_bag_of_too_few_sets_is_named(tmp_path):
    bag = write_drive(tmp_path / 'drive', seconds=0.2, sensors=('lidar',))
    with pytest.raises(ValueError, match=f'{bag}: 2 fused sets: '):
        samples_from_bags([bag], [SENSORS[1]], cache=ALONE, splits=SplitOptions())


def test_the_simulated_robot_gives_the_same_kind_of_samples():
    splits = samples_from_simulation(SimulationOptions(3, 4, 2, 1, processes=1))
    assert [len(part) for part in (splits.training, splits.validation, splits.test)] == [12, 4, 8]
    assert splits.training[[0, 1]].available is None
    assert splits.training.availability().all()
    assert set(splits.views) == {'lidar'}
    assert '3 training worlds' in splits.description['training']


@pytest.mark.parametrize('name', ['worlds', 'samples_per_world', 'processes'])
def test_options_of_the_simulation_out_of_range_are_refused_by_their_flag(name):
    with pytest.raises(ValueError, match=f'--{name.replace("_", "-")} 0: must be 1 or more'):
        SimulationOptions(**{name: 0})

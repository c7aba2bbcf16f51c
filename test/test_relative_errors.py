# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Reconstruction errors relative to the mean predictor's, as in a model's header."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from m2vae_ros.evaluation.relative_errors import format_ratios, relative_errors
from m2vae_ros.samples.dataset import SampleDataset
from m2vae_ros.samples.sources import View
from m2vae_ros.simulation.generator import generate, world_seeds
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.vae.model import Architecture, M2VAE
from m2vae_ros.vae.subsets import lattice

SMALL = Architecture(8, 32, 32)
NAMES = tuple(spec.name for spec in SENSORS)


@pytest.fixture(scope='module')
def samples():
    return generate(world_seeds('validation', 4), 16).sensors


@pytest.fixture(scope='module')
def dataset(samples):
    return SampleDataset(SENSORS, samples)


def test_errors_are_those_of_the_cells_that_returned(dataset, samples):
    torch.manual_seed(0)
    model = M2VAE(SENSORS, SMALL).eval()
    dataset.fit_normalisation(model)
    cells = np.arange(180) < 40
    errors = {
        (error.sensor, error.source): error for error in
        relative_errors(model, dataset, views={'lidar': View('left', cells)}, batch_size=7)
    }
    ((everything, _),) = dataset.loader(len(dataset))
    for subset in (('camera',), ('lidar', 'depth')):
        with torch.no_grad():
            latents = model.encode(everything, subset).mean
            shown = {name: model.decode(latents, name).mean()[0].numpy() for name in NAMES}
        for name in NAMES:
            values, _, returned = (np.asarray(part) for part in samples[name])
            values = values / 255 if values.dtype == np.uint8 else values
            power = 2 if name == 'camera' else 1
            where = np.broadcast_to(returned[:, None] if power == 2 else returned, values.shape)
            expected = (np.abs(shown[name] - values) ** power)[where].mean()
            found = errors[name, subset]
            assert found.error == pytest.approx(expected, rel=1e-4)
            mean = np.where(where, values, 0).sum(0) / np.maximum(where.sum(0), 1)
            expected = (np.abs(mean - values) ** power)[where].mean()
            assert found.mean_predictor_error == pytest.approx(expected, rel=1e-3)
            if name == 'lidar':
                part = np.abs(shown[name] - values)[where & cells].mean()
                assert errors['lidar/left', subset].error == pytest.approx(part, rel=1e-4)


def test_the_table_has_a_row_for_each_subset_and_a_column_for_each_sensor(dataset):
    model = M2VAE(SENSORS, SMALL).eval()
    dataset.fit_normalisation(model)
    first, *rows = format_ratios(relative_errors(model, dataset)).splitlines()
    assert tuple(first.split()) == NAMES
    assert [row.split()[0] for row in rows] == ['+'.join(subset) for subset in lattice(NAMES)]
    assert all(len(row.split()) == 1 + len(NAMES) for row in rows)

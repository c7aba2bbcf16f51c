# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The calibration of a model: temperatures, coverage of references, and the table of both."""

from __future__ import annotations

import json

import pytest
import torch

from support.exact_model import exact_model, measured

pytest.importorskip('tqdm', reason="needs tqdm: pip install 'm2vae_ros[learning]'")

from m2vae_ros.evaluation.calibration import (  # noqa: E402
    CalibrationOptions,
    draw_references,
    fit_temperatures,
    format_coverage,
    measure_coverage,
)
from m2vae_ros.samples.dataset import Batch  # noqa: E402
from m2vae_ros.specs import SensorSpec  # noqa: E402
from m2vae_ros.vae.header import ModelHeader  # noqa: E402
from m2vae_ros.vae.likelihoods import SensorBatch  # noqa: E402

SUBSETS = ['a', 'b', 'c', 'a+b', 'a+c', 'b+c', 'a+b+c']
OPTIONS = CalibrationOptions(calibration_samples=1000, importance_draws=40)


class Measured:
    """Samples of a model whose posteriors are known exactly, as a data set."""

    def __init__(self, model, count, seed):
        self.batch = measured(model, count, seed)
        self.asked = []

    def __len__(self):
        return len(self.batch['a'].values)

    def __getitem__(self, rows):
        self.asked += rows
        return Batch({name: SensorBatch(*(part[rows] for part in each))
                      for name, each in self.batch.items()})


@pytest.fixture(scope='module')
def wide():
    return exact_model(scale=1.44)


@pytest.fixture(scope='module')
def calibration(wide):
    return fit_temperatures(draw_references(wide, Measured(wide, 1000, 1), OPTIONS))


@pytest.fixture(scope='module')
def report(wide, calibration):
    return measure_coverage(draw_references(wide, Measured(wide, 1000, 2), OPTIONS), calibration)


def test_every_subset_gets_the_temperature_it_needs(calibration):
    assert list(calibration['temperature']) == SUBSETS
    for temperature in calibration['temperature'].values():
        assert temperature == pytest.approx(1 / 1.44, rel=4 * (2 / 2000) ** 0.5)
    assert calibration['samples'] == 1000
    assert calibration['importance_draws'] == 40
    assert 32 < calibration['effective_sample_size'] < 40


def test_the_report_has_coverage_before_and_after(report):
    assert ['+'.join(row['subset']) for row in report['subsets']] == SUBSETS
    for row in report['subsets']:
        before = row['uncalibrated']
        assert row['coverage']['0.9'] == pytest.approx(0.9, abs=0.04)
        assert before['coverage']['0.9'] == pytest.approx(1 - 0.1 ** 1.44, abs=0.03)
        assert row['expected_calibration_error'] < 0.04 < before['expected_calibration_error']
        for lowest, highest in row['coverage_per_dimension'].values():
            assert 0 < lowest <= highest < 1


def test_the_header_keeps_calibration_and_coverage(calibration, report):
    sensors = tuple(SensorSpec(name, 'image', name, name, (3, 4, 4)) for name in 'abc')
    trained = tuple(tuple(name.split('+')) for name in SUBSETS)
    header = ModelHeader(
        sensors, trained, {}, evaluation={'calibration': report}, calibration=calibration)
    assert ModelHeader.from_json(header.to_json()) == header
    assert {'+'.join(s): t for s, t in header.temperatures.items()} == calibration['temperature']
    assert json.loads(json.dumps(report)) == report


def test_the_table_has_a_row_for_each_subset(report):
    first, *rows = format_coverage(report).splitlines()
    assert first.split()[:4] == ['temperature', '50%', '90%', '95%']
    assert [row.split()[0] for row in rows[:7]] == SUBSETS
    assert len(rows) == 8


def test_the_table_warns_of_references_with_few_effective_draws(report):
    poor = {**report, 'effective_sample_size': 1.02}
    assert 'hardly more than a draw of the joint posterior' in format_coverage(poor)
    assert 'hardly more' not in format_coverage(report)


def test_samples_are_spread_over_the_worlds_and_the_seed_decides_the_draws(wide):
    options = CalibrationOptions(calibration_samples=6, importance_draws=5)
    data = Measured(wide, 20, 3)
    first, second, other = (draw_references(wide, data, options, seed=seed) for seed in (0, 0, 1))
    assert data.asked[:6] == [0, 3, 6, 10, 13, 16]
    assert torch.equal(first.latents, second.latents)
    assert not torch.equal(first.latents, other.latents)
    for subset, posterior in first.posteriors.items():
        expected = wide.encode(data[data.asked[:6]].sensors, subset)
        torch.testing.assert_close(posterior.mean, expected.mean)
    few = draw_references(wide, Measured(wide, 3, 3), options)
    assert few.latents.shape == (3, 2)

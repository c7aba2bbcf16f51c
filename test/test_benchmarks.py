# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' own mathematics, and that the document says what the records say."""

from __future__ import annotations

import json
from pathlib import Path
import sys

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / 'benchmarks'
sys.path.insert(0, str(BENCHMARKS))

from gaussian_mixture_truth import (  # noqa: E402
    bayes_accuracy,
    draw_samples,
    expected_log_density,
    log_density,
    mean_and_error,
)
from linear_gaussian_optimum import LinearGaussian, optimum  # noqa: E402
import report  # noqa: E402


def test_the_document_is_what_the_records_say():
    records = [json.loads(path.read_text()) for path in report.RECORDS.glob('*.json')]
    assert report.DOCUMENT.read_text() == report.document(records)


def test_without_the_joint_prior_the_exact_posterior_is_the_optimum():
    model = LinearGaussian(np.array([0.7, 1.4, 1.1]), np.array([0.5, 0.8, 0.6]))
    for subset, q in optimum(model, 'm2vae', joint_prior_weight=0).items():
        assert q.variance == pytest.approx(1 / model.precision(subset), rel=1e-9)
        assert q.mean_map == pytest.approx(model.mean_map(subset), rel=1e-9)


@pytest.mark.parametrize(('objective', 'knobs'), [
    ('jvae', {}), ('jmvae', {}), ('m2vae', {}), ('m2vae', {'alpha': 3.0}),
])
def test_no_posterior_near_the_optimum_is_better(objective, knobs):
    pytest.importorskip('torch')
    from linear_gaussian import expected_bound

    model = LinearGaussian(np.array([0.7, 1.4, 1.1]), np.array([0.5, 0.8, 0.6]))
    best = optimum(model, objective, **knobs)
    height = expected_bound(model, objective, best, **knobs)
    for q in best.values():
        variance, mean_map = q.variance, q.mean_map
        for factor in (0.99, 1.01):
            q.variance = factor * variance
            assert expected_bound(model, objective, best, **knobs) < height
            q.variance, q.mean_map = variance, factor * mean_map
            assert expected_bound(model, objective, best, **knobs) < height
            q.mean_map = mean_map


@pytest.mark.parametrize(('subset', 'accuracy', 'nats'), [
    (('x',), 0.698, 0.954), (('w',), 0.900, -0.395), (('x', 'w'), 1.000, 2.251),
])
def test_the_mixture_is_the_published_one(subset, accuracy, nats):
    samples = draw_samples(50_000, np.random.default_rng(0))
    assert bayes_accuracy(samples, subset) == pytest.approx(accuracy, abs=0.01)
    closed, _ = expected_log_density(samples, subset)
    assert closed == pytest.approx(nats, abs=0.01)
    counted, error = mean_and_error(log_density(samples, subset))
    assert abs(closed - counted) < 5 * error

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' own mathematics, and that the document says what the records say."""

from __future__ import annotations

import copy
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
import questions  # noqa: E402
import report  # noqa: E402


def recorded():
    return [json.loads(path.read_text()) for path in sorted(report.RECORDS.glob('*.json'))]


def bar(records, benchmark, words):
    """Return the first bar of a record that has some words."""
    (record,) = [record for record in records if record['benchmark'] == benchmark]
    return next(bar for bar in record['results']['bars'] if words in bar['bar'])


def test_the_pages_are_what_the_records_say():
    written = report.pages(recorded())
    assert {name: (report.DOCS / name).read_text() for name in written} == written
    found = {f'benchmarks/{path.name}' for path in (report.DOCS / 'benchmarks').iterdir()}
    assert found | {report.VERDICT} == set(written)


def test_every_bar_and_table_of_a_record_is_on_its_page():
    for record in recorded():
        page = report.page(record)
        results = record['results']
        for words in [bar['bar'] for bar in results['bars']]:
            assert words.replace('|', '\\|') in page
        for table in results['tables']:
            assert f'\n## {table["title"]}\n' in page
            assert '\n'.join(report.table(table['columns'], table['rows'])) in page


def test_the_numbers_of_the_verdict_are_those_of_the_records():
    records = recorded()
    found = bar(records, 'linear_gaussian', 'variance ratios')
    found['value'] = 'largest difference 1.23%'
    page = report.verdict(records)
    assert '(variances within 1.23%)' in page
    assert '| largest difference 1.23% |' in page


def test_a_bar_that_is_not_met_is_said_so():
    records = recorded()
    unmet = [
        bar for record in records for bar in record['results']['bars']
        if bar['met'] is False and '1.5 times' not in bar['bar']
    ]
    page = report.verdict(records)
    assert unmet
    for bar_ in unmet:
        value = bar_['value'].replace('+-', '±')
        assert f'| **no** | {value} |' in page
    assert page.count('1.5 times the steps') - 1 == len(questions.OBJECTIVES)


@pytest.mark.parametrize(('benchmark', 'words'), [
    ('linear_gaussian', 'variance ratios'), ('digits', 'on log p(M)'),
    ('digits', 'on log p(other | one)'), ('robot_comparison', 'on log p(M)'),
    ('training_speed', '1.5 times'), ('robot_models', 'default'),
])
def test_words_that_a_record_does_not_bear_out_are_not_written(benchmark, words):
    records = copy.deepcopy(recorded())
    found = bar(records, benchmark, words)
    found['met'] = not found['met']
    with pytest.raises(ValueError, match='the records do not say so'):
        report.verdict(records)


def test_a_question_without_its_bar_is_an_error():
    records = recorded()
    bar(records, 'linear_gaussian', 'variance ratios')['bar'] = 'variance ratios within 3%'
    with pytest.raises(ValueError, match='no bar has the words'):
        report.verdict(records)


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

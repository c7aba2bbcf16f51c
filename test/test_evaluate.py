# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""`m2vae evaluate`, from a bag and a model to numbers, latents and a page."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

pytest.importorskip('rosbags', reason='needs rosbags: pip install rosbags')

from m2vae_ros import cli  # noqa: E402
from m2vae_ros.bags.bag import Bag  # noqa: E402
from m2vae_ros.evaluation.passage import pass_through  # noqa: E402
from m2vae_ros.evaluation.report.folder import METRICS, report_folder  # noqa: E402
from m2vae_ros.evaluation.sensor_errors import sensor_errors  # noqa: E402
from m2vae_ros.evaluation.timeline import make_timeline, principal_plane  # noqa: E402
from m2vae_ros.fusion.pipeline import Pipeline  # noqa: E402
from m2vae_ros.samples.cache import CacheOptions, open_cache  # noqa: E402
from m2vae_ros.simulation.robot import SENSORS  # noqa: E402
from m2vae_ros.vae import checkpoint  # noqa: E402
from m2vae_ros.vae.model import Architecture, M2VAE  # noqa: E402
from m2vae_ros.vae.subsets import lattice  # noqa: E402
from support.bag_files import START_NS, write_drive  # noqa: E402
from support.latent_bags import offline_latents, write_latents  # noqa: E402

TOPICS = {f'/{spec.topic}': spec.name for spec in SENSORS}
SMALL = Architecture(latent_size=6, feature_size=12, hidden_size=12)
FEW = ['--samples', '12', '--likelihood-samples', '4', '--draws', '4', '--calibration-samples',
       '2', '--moments', '2', '--device', 'cpu']


def save(path, sensors=SENSORS, trained_subsets=None, objective='m2vae', provenance=None):
    torch.manual_seed(1)
    model = M2VAE(sensors, SMALL, trained_subsets)
    calibration = {'temperature': {'+'.join(model.trained_subsets[-1]): 2.0}}
    checkpoint.save(path, model, checkpoint.describe(
        model, objective={'name': objective}, calibration=calibration, provenance=provenance or {},
    ))
    return path


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return save(tmp_path_factory.mktemp('model') / 'small.safetensors')


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    return write_drive(
        tmp_path_factory.mktemp('bag') / 'drive', seconds=3.0, silent={'lidar': (1.0, 2.0)},
    )


@pytest.fixture(scope='module')
def report(model, drive, tmp_path_factory):
    path = tmp_path_factory.mktemp('reports') / 'report'
    words = ['evaluate', '--model', model, '--bag', drive, '--report', path, *FEW]
    assert cli.main(list(map(str, words))) == 0
    return path


@pytest.fixture(scope='module')
def metrics(report):
    return json.loads((report / 'metrics.json').read_text())


@pytest.fixture
def passage(model, drive):
    """Return a pipeline and the passage of the drive through it."""
    pipeline = Pipeline(checkpoint.load(model).model, device='cpu')
    with Bag(drive) as bag:
        found = pass_through(
            pipeline, bag, {name: topic for topic, name in TOPICS.items()}, lambda latent: None,
            samples=30,
        )
    return pipeline, found


def test_the_latents_are_those_of_a_live_node(report, model, drive, tmp_path, capsys):
    live = write_latents(tmp_path / 'live', offline_latents(model, drive, TOPICS))
    assert cli.main(['compare', str(live), str(report), '--share', '1', '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert found['bit_identical'] == found['sets_a'] == found['sets_b'] > 25


def test_the_metrics_count_the_fused_sets_and_every_other_message(metrics):
    assert set(metrics['fused_sets']) >= {'camera+lidar+depth', 'camera+depth'}
    traffic = {entry['sensor']: entry for entry in metrics['traffic']}
    assert (traffic['camera']['messages'], traffic['lidar']['messages']) == (90, 20)
    assert traffic['camera']['rate_hz'] == pytest.approx(30, abs=0.1)
    used = sum(n for subset, n in metrics['fused_sets'].items() if 'camera' in subset.split('+'))
    assert used + sum(traffic['camera']['dropped'].values()) == 90
    assert metrics['longest_gap_s'] < 0.5


def test_every_sensor_from_every_subset_has_its_errors_beside_the_predictors(metrics):
    names = [spec.name for spec in SENSORS]
    found = {(e['sensor'], tuple(e['from']), e['predictor']): e for e in metrics['reconstruction']}
    predictors = ('model', 'mean', 'last', 'one_second_old')
    wanted = {(m, s, p) for m in names for s in lattice(names) for p in predictors}
    assert set(found) == wanted
    for (sensor, _, _), error in found.items():
        assert error['unit'] == ('grey levels' if sensor == 'camera' else 'm')
        assert (error['psnr'] is None) == (sensor != 'camera')
        assert (error['return_accuracy'] is None) == (sensor == 'camera')
    joint = 'camera', ('camera', 'depth'), 'last'  # of the same samples, so the same error
    assert found[joint]['error'] == found['camera', ('depth',), 'last']['error']
    assert found['camera', ('depth',), 'last']['error'] < found[
        'camera', ('depth',), 'one_second_old']['error']


def test_every_subset_has_bound_likelihoods_and_calibration(metrics):
    subsets = {tuple(entry['subset']): entry for entry in metrics['subsets']}
    names = [spec.name for spec in SENSORS]
    assert list(subsets) == lattice(names)
    for subset, found in subsets.items():
        assert found['bound']['samples'] >= 2
        assert found['log_likelihood']['standard_error'] > 0
        assert set(found['predictive']) == set(names) - set(subset)
        assert set(found['coverage']) == {'0.5', '0.9', '0.95'}
        assert found['temperature'] == (2.0 if len(subset) == 3 else 1.0)


def test_the_page_is_there(report):
    assert '</html>' in (report / 'report.html').read_text().lower()
    assert sorted(path.name for path in report.iterdir()) == [
        'latents', 'metrics.json', 'report.html']
    assert list(report.parent.iterdir()) == [report]


def test_errors_are_those_of_the_measurements_themselves(passage):
    pipeline, found = passage
    errors = {(e.sensor, e.source, e.predictor): e for e in sensor_errors(
        pipeline.engine.model, found.kept)}
    for sensor, scale in (('lidar', 1), ('camera', 255)):
        absolute, right = [], []
        for kept in found.kept:
            if sensor not in kept.earlier['last']:
                continue
            now, last = kept.measurements[sensor], kept.earlier['last'][sensor]
            assert last.stamp_ns < now.stamp_ns
            both = now.returned & last.returned & now.valid & last.valid
            mask = np.broadcast_to(both, now.values.shape)
            absolute.append(np.abs(now.values - last.values)[mask])
            right.append((now.returned == last.returned)[now.valid & last.valid])
        error = errors[sensor, (sensor,), 'last']
        assert error.error == pytest.approx(np.concatenate(absolute).mean() * scale, rel=1e-5)
        if sensor == 'lidar':
            assert error.return_accuracy == pytest.approx(np.concatenate(right).mean())


def test_the_measurement_that_was_a_second_old_is_the_newest_of_that_age(passage):
    _, found = passage
    for kept in found.kept[-5:]:
        old = kept.earlier['one_second_old']['camera']
        age = kept.measurements['camera'].stamp_ns - old.stamp_ns
        assert 10**9 <= age < 1.05e9


def test_the_gain_is_the_divergence_from_the_posterior_without_the_sensor(passage):
    pipeline, found = passage
    timeline = make_timeline(pipeline.engine, found)
    row = next(i for i, kept in enumerate(found.kept) if len(kept.measurements) == 3)
    heard = found.kept[row].measurements
    joint, _ = pipeline.engine.fuse(heard)
    rest, _ = pipeline.engine.fuse({n: heard[n] for n in ('lidar', 'depth')})
    p, q = (
        torch.distributions.Normal(g.mean, (0.5 * g.log_variance).exp()) for g in (joint, rest)
    )
    expected = float(torch.distributions.kl_divergence(p, q).sum())
    assert timeline.gain[row, 0] == pytest.approx(expected, rel=1e-4)
    silent = next(i for i, kept in enumerate(found.kept) if 'lidar' not in kept.measurements)
    assert np.isnan(timeline.gain[silent, 1])


def test_the_plane_is_that_of_the_singular_vectors():
    rng = np.random.default_rng(0)
    means = (rng.normal(size=(50, 7)) * np.arange(1, 8)).astype(np.float32)
    plane, explained = principal_plane(means)
    centred = means - means.mean(0)
    _, sizes, axes = np.linalg.svd(centred.astype(float), full_matrices=False)
    np.testing.assert_allclose(np.abs(plane), np.abs(centred @ axes[:2].T), atol=1e-3)
    assert explained == pytest.approx(tuple(sizes[:2] ** 2 / (sizes ** 2).sum()), rel=1e-4)
    assert principal_plane(means[:1, :1])[1] == (0.0, 0.0)


def test_kept_sets_are_spread_evenly_and_bounded(model, drive):
    pipeline = Pipeline(checkpoint.load(model).model, device='cpu')
    topics = {name: topic for topic, name in TOPICS.items()}
    with Bag(drive) as bag:
        found = pass_through(pipeline, bag, topics, lambda latent: None, samples=8)
    steps = np.diff([kept.index for kept in found.kept])
    assert 4 <= len(found.kept) <= 8
    assert set(steps) == {steps[0]}


def test_a_model_of_one_sensor_is_evaluated_and_a_training_bag_is_reported(tmp_path, capsys):
    trained_on = {'bags': [{'name': 'drive'}]}
    model = save(tmp_path / 'scan.safetensors', SENSORS[1:2], provenance=trained_on)
    drive = write_drive(tmp_path / 'drive', seconds=2.0, sensors=('lidar',))
    words = ['evaluate', '--model', model, '--bag', drive, '--report', tmp_path / 'r', *FEW]
    assert cli.main(list(map(str, words))) == 0
    metrics = json.loads((tmp_path / 'r' / 'metrics.json').read_text())
    assert metrics['fused_sets'] == {'lidar': 20}
    assert set(metrics['information_gain']) == {'lidar'}
    assert metrics['seen_in_training'] is True
    assert 'trained on a bag of this name' in capsys.readouterr().out
    assert 'trained on a bag of this name' in (tmp_path / 'r' / 'report.html').read_text()


def test_sets_that_no_encoder_covers_are_counted(tmp_path, drive):
    names = tuple(spec.name for spec in SENSORS)
    model = save(tmp_path / 'joint.safetensors', trained_subsets=[names], objective='jvae')
    words = ['evaluate', '--model', model, '--bag', drive, '--report', tmp_path / 'r', *FEW]
    assert cli.main(list(map(str, words))) == 0
    metrics = json.loads((tmp_path / 'r' / 'metrics.json').read_text())
    assert set(metrics['fused_sets']) == {'+'.join(names)}
    assert metrics['untrained_sets']['camera+depth'] >= 8
    assert [tuple(entry['subset']) for entry in metrics['subsets']] == [names]


def test_the_error_for_stamps_of_another_time_names_the_option_to_use(tmp_path, model, capsys):
    late = write_drive(tmp_path / 'late', seconds=2.0, delay_ns=3600 * 10**9)
    words = ['evaluate', '--model', model, '--bag', late, '--report', tmp_path / 'r', *FEW]
    assert cli.main(list(map(str, words))) == 2
    output = capsys.readouterr().err.splitlines()[-1]
    assert 'nothing could be fused' in output
    assert 'ancient_stamp' in output
    assert '--clock header' in output
    assert not (tmp_path / 'r').exists()
    assert cli.main([*map(str, words), '--clock', 'header']) == 0


@pytest.mark.parametrize('fault', ['late', 'zero'])
def test_in_the_order_of_stamps_it_fuses_what_training_fuses(tmp_path, model, fault):
    def change(topic, count, message):
        stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        if fault == 'late' and topic == '/depth/points':
            stamp_ns -= 1_100_000_000
        elif fault == 'zero' and topic == '/scan' and count % 7 == 3:
            stamp_ns = 0
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        return message

    bag = write_drive(tmp_path / 'drive', seconds=3.0, change=change)
    trained_on = open_cache(bag, SENSORS, CacheOptions(processes=1, clock='header')).sets
    words = ['--model', model, '--bag', bag, '--report', tmp_path / 'r', *FEW]
    assert cli.main(['evaluate', '--clock', 'header', *map(str, words)]) == 0
    fused = json.loads((tmp_path / 'r' / METRICS).read_text())['fused_sets']
    assert fused == trained_on.subset_counts()
    assert fused['camera+lidar+depth'] > 15


def test_a_clock_that_is_off_is_corrected_by_an_offset(tmp_path, model):
    def ahead(topic, count, message):
        message.header.stamp.sec += 37 if topic == '/scan' else 0
        return message

    bag = write_drive(tmp_path / 'drive', seconds=2.0, change=ahead)
    words = ['--model', model, '--bag', bag, '--report', tmp_path / 'r', *FEW]
    assert cli.main(['evaluate', '--offset', 'lidar=37', *map(str, words)]) == 0
    fused = json.loads((tmp_path / 'r' / METRICS).read_text())['fused_sets']
    assert fused['camera+lidar+depth'] > 15


@pytest.mark.parametrize(('words', 'reason'), [
    (['--offset', 'lidar'], '--offset lidar: must be SENSOR=SECONDS'),
    (['--offset', 'sonar=1'], "offsets name ['sonar']"),
    (['--samples', '1'], '--samples 1: must be 2 or more'),
    (['--clock', 'wall'], '--clock wall: must be one of receive, header'),
    (['--topic', 'scan'], '--topic scan: must be SENSOR=TOPIC'),
    (['--topic', 'lidar=/front'], '/front'),
])
def test_a_wrong_option_ends_in_one_line(tmp_path, model, drive, capsys, words, reason):
    given = ['evaluate', '--model', model, '--bag', drive, '--report', tmp_path / 'r', *words]
    assert cli.main(list(map(str, given))) == 2
    assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_report_is_left_alone(tmp_path, model, drive, capsys):
    (tmp_path / 'home').mkdir()
    (tmp_path / 'home' / 'thesis.tex').touch()
    words = ['evaluate', '--model', model, '--bag', drive, '--report', tmp_path / 'home']
    assert cli.main(list(map(str, words))) == 2
    assert 'not a report of m2vae evaluate' in capsys.readouterr().err
    assert (tmp_path / 'home' / 'thesis.tex').exists()


def test_a_report_is_replaced_atomically(tmp_path):
    path = tmp_path / 'report'

    def write(text, error=None):
        with report_folder(path) as folder:
            (folder / 'metrics.json').write_text(text)
            if error:
                raise error

    write('1')
    with pytest.raises(RuntimeError):
        write('2', RuntimeError())
    with pytest.raises(ValueError, match=r'report: cannot be written: No space left'):
        write('2', OSError(28, 'No space left on device'))
    assert (path / 'metrics.json').read_text() == '1'
    leftover = tmp_path / '.report.report.killed_1'
    leftover.mkdir()
    (leftover / '.lock').touch()
    write('3')
    assert (path / 'metrics.json').read_text() == '3'
    assert list(tmp_path.iterdir()) == [path]


def test_stamps_start_with_the_drive_and_increase(passage):
    _, found = passage
    assert found.stamps[0] - START_NS < 0.5e9
    assert (np.diff(found.stamps) > 0).all()

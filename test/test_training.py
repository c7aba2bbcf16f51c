# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Training on the simulated robot, end to end."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip('lightning', reason="needs lightning: pip install 'm2vae_ros[learning]'")

from m2vae_ros import cli  # noqa: E402
from m2vae_ros.evaluation.relative_errors import relative_errors  # noqa: E402
from m2vae_ros.fusion.pipeline import Pipeline  # noqa: E402
from m2vae_ros.fusion.synchronizer import FusedSet  # noqa: E402
from m2vae_ros.samples.dataset import SampleDataset  # noqa: E402
from m2vae_ros.sensors.kinds import encode  # noqa: E402
from m2vae_ros.sensors.messages import ros_message_classes  # noqa: E402
from m2vae_ros.simulation.generator import generate, world_seeds  # noqa: E402
from m2vae_ros.simulation.robot import SENSORS  # noqa: E402
from m2vae_ros.specs import Measurement  # noqa: E402
from m2vae_ros.training.maximisation import BoundMaximisation  # noqa: E402
from m2vae_ros.training.options import TrainingOptions  # noqa: E402
from m2vae_ros.training.training import train  # noqa: E402
from m2vae_ros.vae import checkpoint  # noqa: E402
from m2vae_ros.vae.model import Architecture, M2VAE  # noqa: E402
from m2vae_ros.vae.objectives import bound  # noqa: E402
from m2vae_ros.vae.subsets import lattice  # noqa: E402

TINY = ['--worlds', '2', '--samples-per-world', '8', '--test-worlds', '2', '--processes', '1',
        '--validation-worlds', '2', '--calibration-samples', '6', '--importance-draws', '4',
        '--steps', '3', '--batch-size', '4', '--latent-size', '4', '--feature-size', '16',
        '--hidden-size', '16']
SMALL = Architecture(8, 32, 32)
NAMES = tuple(spec.name for spec in SENSORS)


def train_command(out, *options):
    return cli.main(['train', '--simulated', '--out', str(out), *TINY, *options])


def ones(spec, stamp_ns=0):
    seen = np.ones(spec.spatial_shape, np.bool_)
    return Measurement(np.ones(spec.shape, np.float32), seen, seen, stamp_ns, spec.frame_id)


@pytest.fixture(scope='module')
def samples():
    return generate(world_seeds('validation', 4), 16).sensors


@pytest.fixture(scope='module')
def dataset(samples):
    return SampleDataset(SENSORS, samples)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp('trained') / 'models' / 'tiny.safetensors'
    assert train_command(out) == 0
    return out


def test_the_command_writes_a_model_that_says_what_it_is(trained):
    header = checkpoint.load(trained).header
    assert header.sensors == SENSORS
    assert list(header.trained_subsets) == lattice(NAMES)
    assert header.objective['name'] == 'm2vae'
    assert header.provenance['options']['steps'] == 3
    assert '2 training worlds' in header.provenance['data']
    shown = {(row['sensor'], *row['from']) for row in header.evaluation['reconstruction']}
    columns = [*NAMES, 'lidar/front']
    assert shown == {(column, *subset) for column in columns for subset in lattice(NAMES)}
    assert {path.name for path in trained.parent.iterdir()} == {trained.name, 'tiny.run'}
    assert set(header.temperatures) == set(lattice(NAMES))
    assert 1 <= header.calibration['effective_sample_size'] <= 4
    assert header.calibration['data'].startswith('simulated: 2 validation worlds')
    covered = header.evaluation['calibration']['subsets']
    assert [tuple(row['subset']) for row in covered] == lattice(NAMES)
    assert all(0 <= row['coverage']['0.9'] <= 1 for row in covered)


def test_the_model_fuses_messages(trained):
    classes = ros_message_classes()
    pipeline = Pipeline(checkpoint.load(trained).model, device='cpu')
    emitted = []
    for now in (10**18, 10**18 + 10**8):  # sensors that were never heard are not waited for
        for spec in SENSORS:
            emitted += pipeline.receive(spec.name, encode(spec, ones(spec, now), classes), now)
    result = pipeline.fuse(emitted[-1], reconstruct=NAMES)
    assert result.sensors == NAMES
    assert set(result.reconstructions) == set(NAMES)


@pytest.mark.parametrize(('setting', 'sizes'), [
    ({'objective': 'vae', 'gamma': 0.5}, {1}),
    ({'objective': 'jvae', 'beta_norm': 0.01}, {3}),
    ({'objective': 'jmvae', 'alpha': 0.1}, {2, 3}),
    ({'objective': 'm2vae', 'joint_prior_weight': 0.0}, {1, 2, 3}),
    ({'objective': 'm2vae', 'orderings': 'sampled'}, {1, 2, 3}),
])
def test_what_an_objective_leaves_untrained_is_never_used(setting, sizes, dataset, tmp_path):
    options = TrainingOptions(**setting, steps=24, batch_size=4, accelerator='cpu')
    subsets = [subset for subset in lattice(NAMES) if len(subset) in sizes]
    torch.manual_seed(options.seed)
    untouched = M2VAE(SENSORS, SMALL, subsets).state_dict()
    model = train(dataset, options, SMALL, progress=False)
    assert [name for name, weight in model.named_parameters()
            if torch.equal(weight, untouched[name])] == []

    header = checkpoint.describe(model, objective=options.describe_objective())
    checkpoint.save(tmp_path / 'model.safetensors', model, header)
    loaded = checkpoint.load(tmp_path / 'model.safetensors')
    assert list(loaded.header.trained_subsets) == subsets
    known = {'objective': loaded.header.objective['name'], **loaded.header.objective}
    assert setting.items() <= known.items()

    pipeline = Pipeline(loaded.model, device='cpu')
    unheard = {}
    for heard in lattice(NAMES):
        items = {spec.name: ones(spec) for spec in SENSORS if spec.name in heard}
        result = pipeline.fuse(FusedSet(0, items), reconstruct=NAMES)
        usable = [subset for subset in subsets if set(subset) <= set(heard)]
        if usable:
            assert result.sensors in usable
            assert len(result.sensors) == max(map(len, usable))
            assert set(result.reconstructions) == set(NAMES)
        else:
            assert result is None
            unheard[heard] = 1
    assert pipeline.untrained == unheard


@pytest.mark.filterwarnings('ignore:.*self.log:UserWarning')
@pytest.mark.parametrize(('warm_up', 'risen'), [(0.0, 1.0), (0.5, 0.0)])
def test_a_step_maximises_the_bound_with_its_knobs(warm_up, risen, dataset):
    torch.manual_seed(0)
    model = M2VAE(SENSORS, SMALL)
    batch = next(iter(dataset.loader(8)))
    others = {'gamma': 0.5, 'joint_prior_weight': 0.7}
    options = TrainingOptions(warm_up=warm_up, alpha=0.3, beta_norm=0.2, **others)
    torch.manual_seed(1)
    loss = BoundMaximisation(model, options).training_step(batch, 0)
    torch.manual_seed(1)
    sizes = {'camera': 3 * 48 * 64, 'lidar': 180, 'depth': 12 * 64}
    beta = {subset: risen * 0.2 * sum(sizes[name] for name in subset) / SMALL.latent_size
            for subset in lattice(NAMES)}
    value = bound('m2vae', *model(batch.sensors), alpha=risen * 0.3, beta=beta, **others).mean()
    torch.testing.assert_close(loss, -value / sum(sizes.values()))


def test_the_seed_determines_all_weights(trained, tmp_path):
    again, other = tmp_path / 'again.safetensors', tmp_path / 'other.safetensors'
    train_command(again)
    train_command(other, '--seed', '1')
    first, second, third = (
        checkpoint.load(path).model.state_dict() for path in (trained, again, other)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], third[name]) for name in first)


@pytest.mark.parametrize(('options', 'words'), [
    (['--out', 'model.pt'], '.safetensors'),
    (['--worlds', '0'], '--worlds 0'),
    (['--test-worlds', '-1'], '--test-worlds -1'),
    (['--validation-worlds', '0'], '--validation-worlds 0'),
    (['--calibration-samples', '0'], 'calibration_samples: 0'),
    (['--importance-draws', '1'], 'importance_draws: 1'),
    (['--processes', '0'], '--processes 0'),
    (['--steps', '0'], 'steps: 0'),
    (['--warm-up', '2'], 'warm_up: 2'),
    (['--objective', 'mvae'], "'mvae'"),
    (['--orderings', 'none'], "'none'"),
    (['--objective', 'jmvae', '--orderings', 'sampled'], 'not for jmvae'),
    (['--beta', '2', '--beta-norm', '1'], 'give one'),
    (['--alpha', '-1'], 'alpha: -1'),
    (['--latent-size', '0'], 'latent_size: 0'),
    (['--patience', '-1'], 'patience: -1'),
    (['--precision', 'half'], "'half'"),
    (['--nodes', '2'], 'torchrun'),
])
def test_wrong_options_end_in_one_line(options, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train_command(tmp_path / 'new' / 'model.safetensors', *options) == 2
    output = [line for line in capsys.readouterr().err.splitlines() if 'error: ' in line]
    assert len(output) == 1
    assert words in output[0]
    assert not list(tmp_path.rglob('*.safetensors'))


def test_a_path_that_cannot_be_written_is_an_error_before_the_training(tmp_path, capsys):
    (tmp_path / 'file').write_text('not a folder')
    assert train_command(tmp_path / 'file' / 'model.safetensors') == 2
    output = capsys.readouterr().err
    assert str(tmp_path / 'file') in output
    assert 'worlds:' not in output


def test_training_beats_the_mean_of_what_it_saw(samples):
    ranges = SENSORS[1:]  # an image takes longer
    dataset = SampleDataset(ranges, samples)
    options = TrainingOptions(steps=60, batch_size=16, learning_rate=3e-3, accelerator='cpu')
    model = train(dataset, options, SMALL, progress=False)
    ratios = {
        (error.sensor, error.source): error.ratio
        for error in relative_errors(model, dataset)
    }
    assert all(ratios[spec.name, (spec.name,)] < 0.9 for spec in ranges), ratios


def test_a_sensor_that_never_saw_anything_is_named(samples):
    blind = {**samples, 'lidar': [np.zeros_like(part) for part in samples['lidar']]}
    with pytest.raises(ValueError, match='lidar: none of 64 samples'):
        SampleDataset(SENSORS, blind).fit_normalisation(M2VAE(SENSORS, SMALL))

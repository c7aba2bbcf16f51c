# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A training that is interrupted, resumed, stopped early, or shared by processes."""

from __future__ import annotations

import csv
from dataclasses import replace
import fcntl
import os
import signal

import numpy as np
import pytest
import torch

pytest.importorskip('lightning', reason="needs lightning: pip install 'm2vae_ros[learning]'")

from m2vae_ros.samples.batches import ShuffledBatches  # noqa: E402
from m2vae_ros.samples.dataset import SampleDataset  # noqa: E402
from m2vae_ros.samples.selection import Selection, subset_counts  # noqa: E402
from m2vae_ros.simulation.generator import generate, world_seeds  # noqa: E402
from m2vae_ros.simulation.robot import SENSORS  # noqa: E402
from m2vae_ros.training.distributed import World  # noqa: E402
from m2vae_ros.training.maximisation import BoundMaximisation  # noqa: E402
from m2vae_ros.training.options import TrainingOptions  # noqa: E402
from m2vae_ros.training.run_folder import RunFolder  # noqa: E402
from m2vae_ros.training.training import train, untrained_model  # noqa: E402
from m2vae_ros.vae.model import Architecture  # noqa: E402

RANGES = SENSORS[1:]  # images take longer
TINY = Architecture(4, 16, 16)
OPTIONS = TrainingOptions(
    steps=9, batch_size=8, validate_every=3, warm_up=0.1, accelerator='cpu',
)


class Incomplete(SampleDataset):
    """Samples of which some lack the depth camera, and none has it alone."""

    def availability(self):
        has = np.ones((len(self), len(self.sensors)), np.bool_)
        has[::3, -1] = False
        return has

    def __getitem__(self, indices):
        has = torch.from_numpy(self.availability()[np.asarray(indices)])
        return super().__getitem__(indices)._replace(available=None if has.all() else has)


@pytest.fixture(scope='module')
def arrays():
    samples = generate(world_seeds('validation', 3), 16).sensors
    return {spec.name: samples[spec.name] for spec in RANGES}


@pytest.fixture(scope='module')
def training(arrays):
    return SampleDataset(RANGES, {name: [p[:28] for p in a] for name, a in arrays.items()})


@pytest.fixture(scope='module')
def validation(arrays):
    return SampleDataset(RANGES, {name: [p[28:] for p in a] for name, a in arrays.items()})


@pytest.fixture
def session(training, validation, tmp_path, monkeypatch):
    """Return a function that trains in a folder and sends SIGINT at step `stop`."""
    def run(name, options=OPTIONS, *, stop=None, resume=False, data=training):
        step = BoundMaximisation.training_step

        def stopped(module, batch, index):
            if index == stop:
                os.kill(os.getpid(), signal.SIGINT)
            return step(module, batch, index)

        monkeypatch.setattr(BoundMaximisation, 'training_step', stopped)
        try:
            return train(
                data, options, TINY, validation=validation, run=RunFolder(tmp_path / name),
                resume=resume, progress=False,
            ).state_dict()
        finally:
            monkeypatch.setattr(BoundMaximisation, 'training_step', step)

    return run


def equal(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(weight, second[name]) for name, weight in first.items()
    )


@pytest.mark.parametrize('options', [
    OPTIONS,
    replace(OPTIONS, orderings='sampled', patience=5),
], ids=['plain', 'sampled orderings and patience'])
@pytest.mark.parametrize('stop', [0, 2, 4])  # 2: the step before a validation
def test_a_resumed_training_ends_with_the_same_weights(options, stop, session):
    whole = session('whole', options)
    with pytest.raises(KeyboardInterrupt):
        session('parts', options, stop=stop)
    with pytest.raises(KeyboardInterrupt):
        session('parts', options, stop=6, resume=True)
    assert equal(session('parts', options, resume=True), whole)
    assert equal(session('parts', options, resume=True), whole)  # it was finished already
    assert not equal(session('other', replace(options, seed=1)), whole)


def test_without_resume_or_without_a_checkpoint_a_training_starts_again(session):
    first = session('run', resume=True)
    with pytest.raises(KeyboardInterrupt):
        session('run', replace(OPTIONS, seed=1), stop=5)
    assert equal(session('run'), first)


@pytest.mark.parametrize(('changed', 'words'), [
    ({'seed': 3}, 'options.seed was 0, is 3'),
    ({'steps': 8}, 'options.steps was 9, is 8'),
])
def test_a_checkpoint_of_another_training_is_refused_by_what_differs(changed, words, session):
    with pytest.raises(KeyboardInterrupt):
        session('run', stop=4)
    with pytest.raises(ValueError, match=words):
        session('run', replace(OPTIONS, **changed), resume=True)


def test_a_checkpoint_of_other_samples_is_refused(session, training):
    with pytest.raises(KeyboardInterrupt):
        session('run', stop=4)
    with pytest.raises(ValueError, match='training samples was 28, is 20'):
        session('run', resume=True, data=Selection(training, range(20)))


class Evil:
    def __reduce__(self):
        return os.mkdir, (os.environ['M2VAE_EVIL'],)


def test_a_checkpoint_that_holds_code_is_refused_and_runs_none(session, tmp_path, monkeypatch):
    monkeypatch.setenv('M2VAE_EVIL', str(tmp_path / 'evil'))
    folder = tmp_path / 'run' / 'checkpoints'
    folder.mkdir(parents=True)
    torch.save({'global_step': 1, 'm2vae_training': Evil()}, folder / 'last.ckpt')
    with pytest.raises(ValueError, match=r'last.ckpt: damaged, or not a checkpoint'):
        session('run', resume=True)
    assert not (tmp_path / 'evil').exists()


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04 cut off'])
def test_a_damaged_checkpoint_is_named(content, session, tmp_path):
    folder = tmp_path / 'run' / 'checkpoints'
    folder.mkdir(parents=True)
    (folder / 'last.ckpt').write_bytes(content)
    with pytest.raises(ValueError, match=r'last.ckpt: damaged'):
        session('run', resume=True)


def test_patience_ends_a_training_and_keeps_the_best_weights(session, tmp_path, monkeypatch):
    bounds = iter([1.0, 3.0, 2.0, 2.5, 4.0])
    kept = []

    def pretend(module):
        kept.append({name: w.clone() for name, w in module.model.state_dict().items()})
        module.log('validation/bound', torch.tensor(next(bounds)))

    monkeypatch.setattr(BoundMaximisation, 'on_validation_epoch_end', pretend)
    options = replace(OPTIONS, steps=15, patience=2, warm_up=0.0)
    assert equal(session('run', options), kept[1])
    assert len(kept) == 4


def test_logs_have_the_parts_of_the_bound_and_of_the_validation(session, tmp_path):
    session('run')
    (folder,) = (tmp_path / 'run' / 'logs').iterdir()
    rows = list(csv.DictReader((folder / 'metrics.csv').open()))
    for prefix, count in (('', 9), ('validation/', 3)):
        found = [row for row in rows if row[f'{prefix}bound']]
        assert len(found) == count
        for row in found:
            parts = {name: float(row[prefix + name]) for name in (
                'reconstruction/lidar', 'reconstruction/depth', 'kl_prior', 'kl_mutual')}
            total = sum(-v if name.startswith('kl') else v for name, v in parts.items())
            assert total == pytest.approx(float(row[f'{prefix}bound']), rel=1e-5)
    assert list(folder.glob('events.out.tfevents*'))


def test_training_learns_from_incomplete_samples(arrays, validation, session):
    data = Incomplete(RANGES, arrays)
    assert subset_counts(data) == {('lidar', 'depth'): 32, ('lidar',): 16}
    untrained = untrained_model(data, OPTIONS, TINY)
    assert untrained.trained_subsets == (('lidar',), ('depth',), ('lidar', 'depth'))
    before = untrained.state_dict()
    after = session('run', data=data)
    assert all(weight.isfinite().all() for weight in after.values())
    assert not any(torch.equal(after[name], weight) for name, weight in before.items()
                   if 'normalisation' not in name)


def test_a_recording_of_few_samples_is_trained_in_smaller_batches(session, training, capsys):
    session('run', replace(OPTIONS, batch_size=64), data=training)
    assert '28 samples: less than a batch of 64; training in batches of 28' in \
        capsys.readouterr().err


@pytest.mark.parametrize(('samples', 'world'), [(23, 1), (23, 2), (24, 3)])
def test_processes_share_the_samples_of_every_epoch(samples, world):
    batches = [list(ShuffledBatches(samples, 4, 10, 7, rank=rank, world_size=world))
               for rank in range(world)]
    assert {len(each) for each in batches} == {10}
    in_epoch = samples // (4 * world)
    for epoch in range(10 // in_epoch):
        steps = range(epoch * in_epoch, (epoch + 1) * in_epoch)
        seen = [row for each in batches for step in steps for row in each[step]]
        assert len(set(seen)) == len(seen) == in_epoch * 4 * world
    again = list(ShuffledBatches(samples, 4, 10, 7, first_step=3, rank=world - 1,
                                 world_size=world))
    assert again == batches[-1][3:]
    with pytest.raises(ValueError, match='fewer than one batch of 4'):
        ShuffledBatches(3 * world, 4, 10, 7, world_size=world)


def test_what_torchrun_started_is_what_trains():
    started = {'TORCHELASTIC_RUN_ID': 'a', 'WORLD_SIZE': '6', 'LOCAL_WORLD_SIZE': '2', 'RANK': '5'}
    assert World.of(TrainingOptions(), started) == World(2, 3, 5)
    assert World.of(TrainingOptions(devices=2), {}) == World(2, 1, 0)
    with pytest.raises(ValueError, match='--devices 3: torchrun started 2'):
        World.of(TrainingOptions(devices=3), started)
    with pytest.raises(ValueError, match='torchrun'):
        World.of(TrainingOptions(nodes=2), {})


def test_a_folder_that_its_owner_removes_meanwhile_is_not_what_is_locked(tmp_path, monkeypatch):
    run = RunFolder(tmp_path / 'model.run')
    flock, locked = fcntl.flock, []

    def lock(folder, how):
        if not locked:  # another training ends between the opening and the locking
            run.path.rmdir()
        locked.append(folder)
        flock(folder, how)

    monkeypatch.setattr(fcntl, 'flock', lock)
    with run.lock():
        assert len(locked) == 2
        with pytest.raises(ValueError, match='another training'), run.lock():
            pass
    assert not run.path.exists()

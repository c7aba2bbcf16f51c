# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Two recordings of latents, compared by `m2vae compare`."""

from __future__ import annotations

from dataclasses import replace
import json

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
import torch

rosbags = pytest.importorskip('rosbags', reason='needs rosbags: pip install rosbags')

from m2vae_ros import cli  # noqa: E402
from m2vae_ros.bags.writer import BagWriter  # noqa: E402
from m2vae_ros.fusion.latent_message import Latent, LATENT_TYPE  # noqa: E402
from m2vae_ros.replay.compare import symmetric_kl  # noqa: E402
from support.latent_bags import TOPIC, write_latents  # noqa: E402

SIZE = 6
COUNT = 200
floats = st.floats(-3, 3, width=32)


def latents(count=COUNT, seed=0):
    """Return made-up latents, 0.1 s apart, each fused from three sensors."""
    rng = np.random.default_rng(seed)
    return [
        Latent(
            (i + 1) * 10**8, rng.normal(size=SIZE).astype(np.float32),
            rng.normal(size=SIZE).astype(np.float32), 0b111,
        )
        for i in range(count)
    ]


@pytest.fixture
def compared(tmp_path, capsys):
    """Return a function that compares two lists of latents; it returns exit code and output."""
    def compared(a, b, *options):
        paths = [
            str(write_latents(tmp_path / name, given)) for name, given in (('a', a), ('b', b))
        ]
        code = cli.main(['compare', *paths, '--json', *options])
        return code, json.loads(capsys.readouterr().out)

    return compared


def test_the_same_latents_are_equal(compared):
    code, report = compared(latents(), latents())
    assert code == 0
    assert report['equal'] is True
    assert report['bit_identical'] == report['equal_members'] == COUNT
    assert (report['mean_difference'], report['symmetric_kl']) == (0, 0)


def test_a_single_bit_is_reported_and_tolerated_on_request(compared, tmp_path):
    other = latents()
    mean = np.nextafter(other[7].mean, np.float32(9))
    other[7] = replace(other[7], mean=mean)
    difference = float(np.abs(mean.astype(float) - latents()[7].mean).max())
    code, report = compared(latents(), other)
    assert code == 1
    assert report['bit_identical'] == COUNT - 1
    assert report['mean_difference'] == difference
    assert report['symmetric_kl'] > 0
    paths = [str(tmp_path / name) for name in 'ab']
    assert cli.main(['compare', *paths, '--tolerance', str(difference)]) == 0
    assert cli.main(['compare', *paths, '--tolerance', str(difference * 0.9)]) == 1


@pytest.mark.parametrize(('kept', 'code'), [(199, 0), (198, 0), (197, 1)])
def test_up_to_one_in_a_hundred_sets_may_be_missing(compared, kept, code):
    assert compared(latents(), latents()[:kept]) == (code, pytest.approx({
        'equal': code == 0, 'share': kept / COUNT, 'sets_a': COUNT, 'sets_b': kept,
        'missing_in_a': 0, 'missing_in_b': COUNT - kept, 'other_members': 0,
        'equal_members': kept, 'bit_identical': kept, 'mean_difference': 0.0,
        'log_variance_difference': 0.0, 'symmetric_kl': 0.0, 'repeated_a': 0, 'repeated_b': 0,
    }))


def test_sets_of_other_sensors_are_not_compared_but_counted(compared):
    other = [
        replace(latent, sensors=0b011, mean=latent.mean + 1) for latent in latents()[:3]
    ]
    code, report = compared(latents(), other + latents()[3:], '--share', '0.9')
    assert code == 0
    assert report['other_members'] == 3
    assert report['mean_difference'] == 0


def test_of_a_bag_played_in_a_loop_the_first_round_is_compared(compared):
    again = [replace(latent, mean=latent.mean + 1) for latent in latents()[:5]]
    code, report = compared(latents() + again, latents())
    assert code == 0
    assert (report['repeated_a'], report['repeated_b']) == (5, 0)


def test_nan_is_not_equal(compared):
    other = latents()
    other[0] = replace(other[0], log_variance=np.full(SIZE, np.nan, np.float32))
    assert compared(latents(), other, '--tolerance', '1000')[0] == 1


def test_a_report_is_compared_by_the_latents_in_its_folder(tmp_path, capsys):
    (tmp_path / 'report').mkdir()
    write_latents(tmp_path / 'report' / 'latents', latents())
    write_latents(tmp_path / 'live', latents())
    assert cli.main(['compare', str(tmp_path / 'live'), str(tmp_path / 'report')]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == 'equal'


@given(st.lists(st.tuples(floats, floats, floats, floats), min_size=1, max_size=8))
def test_symmetric_kl_is_that_of_torch(numbers):
    mean_a, log_a, mean_b, log_b = np.array(numbers, np.float32).T
    a, b = Latent(0, mean_a, log_a, 1), Latent(0, mean_b, log_b, 1)
    p, q = (
        torch.distributions.Normal(
            torch.tensor(latent.mean).double(),
            torch.tensor(latent.log_variance).double().mul(0.5).exp(),
        )
        for latent in (a, b)
    )
    kl = torch.distributions.kl_divergence
    assert symmetric_kl(a, b) == pytest.approx(float((kl(p, q) + kl(q, p)).sum() / 2), abs=1e-9)
    assert symmetric_kl(a, b) == symmetric_kl(b, a) >= 0


def failure(capsys, *words):
    """Return the line that a comparison fails with."""
    assert cli.main(['compare', *map(str, words)]) == 2
    return capsys.readouterr().err


def test_what_cannot_be_compared_is_named(tmp_path, capsys):
    good = write_latents(tmp_path / 'good', latents())
    assert 'nowhere: no such bag' in failure(capsys, good, tmp_path / 'nowhere')
    assert '--topic /other' in failure(capsys, good, good, '--topic', '/other')
    small = [
        replace(latent, mean=latent.mean[:2], log_variance=latent.log_variance[:2])
        for latent in latents()
    ]
    small_path = write_latents(tmp_path / 'small', small)
    assert 'latents of 6 and 2 dimensions' in failure(capsys, good, small_path)
    with BagWriter(tmp_path / 'two') as writer:
        for topic in ('/a', '/b'):
            writer.add_topic(topic, LATENT_TYPE)
            writer.write_serialized(topic, 1, b'\0' * 100)
    assert '/a, /b' in failure(capsys, good, tmp_path / 'two')


def test_a_cloud_that_is_not_a_latent_is_named_with_its_topic(tmp_path, capsys):
    from support.bag_files import write_drive

    drive = write_drive(tmp_path / 'drive', seconds=0.3, sensors=('depth',))
    good = write_latents(tmp_path / 'good', latents())
    error = failure(capsys, drive, good, '--topic', '/depth/points', '--topic', TOPIC)
    assert 'drive: topic /depth/points holds no latents' in error
    assert '--topic' in error


def test_a_sensor_that_only_one_recording_has_is_named_first(tmp_path, capsys):
    blind = [replace(each, sensors=0b101) for each in latents()]
    (tmp_path / 'report').mkdir()
    paths = [write_latents(tmp_path / 'full', latents()),
             write_latents(tmp_path / 'report' / 'latents', blind)]
    metrics = {'sensors': [{'name': name} for name in ('camera', 'lidar', 'depth')]}
    (tmp_path / 'report' / 'metrics.json').write_text(json.dumps(metrics))
    assert cli.main(['compare', str(paths[0]), str(tmp_path / 'report')]) == 1
    text = capsys.readouterr().out
    assert text.startswith(f'B is without lidar, which A has in {COUNT} sets')
    assert cli.main(['compare', *map(str, paths)]) == 1
    assert capsys.readouterr().out.startswith('B is without sensor 2, ')
    assert cli.main(['compare', str(tmp_path / 'report'), str(paths[1])]) == 0
    assert 'without' not in capsys.readouterr().out

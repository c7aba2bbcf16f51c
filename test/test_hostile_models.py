# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Model files from strangers: refused in one clear line, before anything is allocated."""

from __future__ import annotations

import os
import pickle
import re

import numpy as np
import pytest

from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.header import read_header
from m2vae_ros.vae.subsets import lattice
from m2vae_ros.vae.weights_file import CheckpointError
from support.hostile_files import (
    begun,
    bounded,
    content_of,
    ESCAPE,
    joined,
    LONG,
    parts,
    refused,
    small_model,
)


@pytest.fixture(scope='module')
def content(tmp_path_factory):
    return content_of(small_model(), tmp_path_factory.mktemp('model') / 'm.safetensors')


def at(place, value):
    """Return a change of our JSON at a place: keys and indices, one below the other."""
    def change(ours):
        for step in place[:-1]:
            ours = ours[step]
        ours[place[-1]] = value
    return change


@pytest.mark.parametrize(('change', 'reason'), [
    (at(['architecture', 'hidden_size'], 10**9), 'describes no model|should have shape'),
    (at(['architecture', 'hidden_size'], 10**30), 'describes no model|should have shape'),
    (at(['architecture', 'feature_size'], 10**5), 'should have shape'),
    (at(['architecture', 'latent_size'], True), 'must be a positive integer'),
    (at(['architecture', 'latent_size'], 2.0), 'must be a positive integer'),
    (at(['architecture', 'layers'], 3), 'describes no model'),
    (at(['architecture', 'heads'], LONG), 'describes no model'),
    (at(['architecture'], [['latent_size', 2]]), 'architecture .* must be a JSON object'),
    (at(['sensors', 0, 'shape'], [3, 10**6, 10**6]), 'has more than'),
    (at(['sensors', 0, 'shape'], [3, 400, 400]), 'should have shape'),
    (at(['sensors', 0, 'shape'], [3, 4]), 'describes no model|should have shape'),
    (at(['sensors', 0, 'shape'], [1] * 40), 'has more than'),
    (at(['sensors', 0, 'shape'], [3, -4, 4]), 'positive integers'),
    (at(['sensors', 0, 'shape'], [3, 4.0, 4]), 'list of integers'),
    (at(['sensors', 0, 'shape'], [True, True, True]), 'list of integers'),
    (at(['sensors', 0, 'shape'], LONG), 'list of integers'),
    (at(['sensors', 0, 'name'], '../../etc/passwd'), 'sensor name'),
    (at(['sensors', 0, 'name'], 'camera/x'), 'sensor name'),
    (at(['sensors', 0, 'name'], LONG), 'sensor name'),
    (at(['sensors', 0, 'name'], 'lidar'), 'each once'),
    (at(['sensors', 0, 'name'], ESCAPE), 'sensor name'),
    (at(['sensors', 0, 'name'], 7), 'must be text'),
    (at(['sensors', 0, 'kind'], 'sonar'), 'describes no model'),
    (at(['sensors', 0, 'kind'], ESCAPE), 'kind'),
    (at(['sensors', 0, 'topic'], '../x'), 'must be a ROS topic'),
    (at(['sensors', 0, 'topic'], 'a b'), 'must be a ROS topic'),
    (at(['sensors', 0, 'topic'], '/1a'), 'must be a ROS topic'),
    (at(['sensors', 0, 'topic'], 'scan\n'), 'must be a ROS topic'),
    (at(['sensors', 0, 'topic'], ''), 'must be a ROS topic'),
    (at(['sensors', 0, 'topic'], LONG), 'must be a ROS topic'),
    (at(['sensors', 0, 'frame_id'], ESCAPE), 'must be printable'),
    (at(['sensors', 0, 'frame_id'], '\ud800'), 'must be printable'),
    (at(['sensors', 0, 'frame_id'], LONG), 'must be printable'),
    (at(['sensors', 0, 'frame_id'], None), 'must be text'),
    (at(['sensors', 0, 'mount'], 'roof'), 'unknown fields'),
    (at(['sensors', 0], LONG), 'sensor .* must be a JSON object'),
    (at(['sensors', 1, 'geometry'], []), 'must be a mapping'),
    (at(['sensors', 1, 'geometry', 'range_max'], 1e300), 'must be a number up to'),
    (at(['sensors', 1, 'geometry', 'range_max'], 10**400), 'must be a number up to'),
    (at(['sensors', 1, 'geometry', 'range_max'], [1]), 'must be a number up to'),
    (at(['sensors', 1, 'geometry', 'range_max'], 'far'), 'describes no model'),
    (at(['sensors', 1, 'geometry', 'range_max'], 0), 'range_max'),
    (at(['sensors', 1, 'geometry', 'range_max'], -5), 'range_max'),
    (at(['sensors', 1, 'geometry', 'angle_max'], ESCAPE), 'must be a number up to'),
    (at(['sensors', 1, 'geometry'], {'range_max': 10.0}), 'describes no model'),
    (at(['sensors'], []), 'sensors'),
    (at(['sensors'], LONG), 'sensors'),
    (at(['sensors'], [
        {'name': f's{i}', 'kind': 'image', 'topic': 'i', 'frame_id': '', 'shape': [3, 4, 4]}
        for i in range(40)]), 'a list of 1 to 12'),
    (at(['trained_subsets'], []), 'no such trained subset'),
    (at(['trained_subsets'], [['camera'], ['camera']]), 'each once'),
    (at(['trained_subsets'], [['lidar', 'camera']]), 'lattice order'),
    (at(['trained_subsets'], [['camera', 'camera']]), 'lattice order'),
    (at(['trained_subsets'], [['lidar'], ['camera']]), 'lattice order'),
    (at(['trained_subsets'], [[]]), 'lattice order'),
    (at(['trained_subsets'], [[['camera']]]), 'lattice order'),
    (at(['trained_subsets'], [['sonar']]), 'lattice order'),
    (at(['trained_subsets'], ['camera']), 'list of lists'),
    (at(['trained_subsets'], [['camera']]), 'should have shape'),
    (at(['calibration', 'temperature'], {'camera': 10**400}), 'must be a positive number'),
    (at(['calibration', 'temperature'], {ESCAPE: 1.0}), 'no such trained subset'),
    (at(['calibration', 'temperature'], 5), 'damaged'),
    (at(['format_version'], True), 'format version'),
    (at(['format_version'], LONG), 'format version'),
    (at(['provenance'], None), 'must be a JSON object'),
])
def test_a_hostile_header_is_refused(tmp_path, content, change, reason):
    header, ours, weights = parts(content)
    change(ours)
    assert re.search(reason, refused(tmp_path / 'm.safetensors', joined(header, ours, weights)))


STRANGE_JSON = [
    ('[' * 200_000, 'nested deeper'),
    ('{"a":' * 500 + '1' + '}' * 500, 'nested deeper'),
    ('{"a":' * 50_000 + '1' + '}' * 50_000, 'nested deeper'),
    ('{"a": 1, "a": 1}', 'comes twice'),
    ('{"a": NaN}', 'no finite number'),
    ('{"a": -Infinity}', 'no finite number'),
    ('{"a": 1e999}', 'no finite number'),
    ('{"a": ' + '9' * 10_000 + '}', 'digits'),
    ('{"a": ', 'char'),
]


@pytest.mark.parametrize(('text', 'reason'), STRANGE_JSON)
def test_strange_json_is_refused_as_our_text(tmp_path, content, text, reason):
    header, _, weights = parts(content)
    assert reason in refused(tmp_path / 'm.safetensors', joined(header, text, weights))


@pytest.mark.parametrize(('text', 'reason'), [
    *STRANGE_JSON,
    ('[]', 'must be a JSON object'),
    ('{"__metadata__": []}', 'must hold texts'),
    ('{"__metadata__": {"a": 1}}', 'must hold texts'),
    ('{"__metadata__": {"\\u001b[2J": "x"}}', 'no model of m2vae_ros'),
    ('{"a": ' + '[' * 30 + ']' * 30 + '}', 'must have dtype'),
])
def test_strange_json_is_refused_as_the_files_header(tmp_path, text, reason):
    assert reason in refused(tmp_path / 'm.safetensors', begun(text.encode()))


def entry_of(header):
    return header['decoders.camera.log_noise']  # one number of 4 bytes


@pytest.mark.parametrize(('change', 'reason'), [
    (lambda h: entry_of(h).update(dtype='I64'), 'must be one of'),
    (lambda h: entry_of(h).update(dtype=['F32']), 'must be one of'),
    (lambda h: entry_of(h).update(dtype='F16'), 'does not fill'),
    (lambda h: entry_of(h).update(shape=[2]), 'does not fill'),
    (lambda h: entry_of(h).update(shape=[10**9, 10**9]), 'does not fill'),
    (lambda h: entry_of(h).update(shape=[-1]), 'must list sizes'),
    (lambda h: entry_of(h).update(shape=[1] * 9), 'must list sizes'),
    (lambda h: entry_of(h).update(shape=[1]), 'should have shape'),
    (lambda h: entry_of(h).update(data_offsets=[10**12, 10**12 + 4]), 'begins at byte'),
    (lambda h: entry_of(h).update(data_offsets=[-4, 0]), 'must be two'),
    (lambda h: entry_of(h).update(data_offsets=[2, 6]), 'begins at byte'),
    (lambda h: entry_of(h).update(data_offsets=[4, 0]), 'does not fill'),
    (lambda h: entry_of(h).update(data_offsets=[0]), 'must be two'),
    (lambda h: entry_of(h).update(extra=1), 'must have dtype'),
    (lambda h: h.update({LONG: entry_of(h)}), 'at most 200 letters'),
    (lambda h: h.update({'x': 3}), 'must have dtype'),
    (lambda h: h.update({ESCAPE: h.pop('decoders.camera.log_noise')}), 'should have shape'),
    (lambda h: h.pop('decoders.camera.log_noise'), 'begins at byte|damaged or cut off'),
])
def test_a_hostile_table_of_tensors_is_refused(tmp_path, content, change, reason):
    header, ours, weights = parts(content)
    change(header)
    assert re.search(reason, refused(tmp_path / 'm.safetensors', joined(header, ours, weights)))


@pytest.mark.parametrize(('name', 'number', 'reason'), [
    ('decoders.lidar.log_noise', float('nan'), 'is not finite'),
    ('decoders.lidar.log_noise', float('inf'), 'is not finite'),
    ('trunks.lidar.normalisation.scale', 0.0, 'must be positive'),
])
def test_weights_that_compute_nothing_are_refused(tmp_path, content, name, number, reason):
    header, ours, weights = parts(content)
    form = {'F16': '<f2', 'F32': '<f4'}[header[name]['dtype']]
    start, end = header[name]['data_offsets']
    weights = weights[:start] + np.array(number, form).tobytes() + weights[end:]
    assert reason in refused(tmp_path / 'm.safetensors', joined(header, ours, weights))


def test_more_subsets_than_weights_are_refused_before_they_are_built(tmp_path, content):
    header, ours, weights = parts(content)
    ours['sensors'] = [
        {**ours['sensors'][0], 'name': f's{i}'} for i in range(12)
    ]
    ours['trained_subsets'] = [list(s) for s in lattice([f's{i}' for i in range(12)])]
    ours['calibration'] = {}
    said = refused(tmp_path / 'm.safetensors', joined(header, ours, weights))
    assert '4095 trained subsets' in said


class Bomb:
    """What runs where somebody unpickles it."""

    def __reduce__(self):
        return os.mkdir, ('ran',)


def test_nothing_in_a_file_is_run(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    header, ours, weights = parts(content)
    for protocol in (0, 4):
        bomb = pickle.dumps(Bomb(), protocol)
        refused(tmp_path / 'm.safetensors', bomb)
        refused(tmp_path / 'm.safetensors', begun(bomb))
        refused(tmp_path / 'm.safetensors', joined(header, ours, weights) + bomb)
    assert not (tmp_path / 'ran').exists()


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    for path in (tmp_path, tmp_path / 'pipe', tmp_path / 'absent'):
        with pytest.raises(CheckpointError, match='cannot be read'):
            read_header(path)


def test_a_huge_hole_is_not_read(tmp_path, content):
    path = tmp_path / 'm.safetensors'
    path.write_bytes(content)
    os.truncate(path, 2**40)
    with bounded(), pytest.raises(CheckpointError, match='damaged or cut off'):
        checkpoint.load(path)
    path.write_bytes((2**39).to_bytes(8, 'little'))
    os.truncate(path, 2**40)
    with bounded(), pytest.raises(CheckpointError, match='at most'):
        checkpoint.load(path)

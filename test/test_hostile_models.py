# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Hostile model files are rejected in one clear line, before anything is allocated."""

from __future__ import annotations

import os
import pickle
import re

import numpy as np
import pytest

from m2vae_ros.vae import checkpoint
from m2vae_ros.vae.header import read_header
from m2vae_ros.vae.subsets import lattice
from m2vae_ros.weights_file import CheckpointError
from support.hostile_files import (
    bounded,
    content_of,
    ESCAPE,
    joined,
    LONG,
    rejection,
    small_model,
    split,
    with_header,
)


@pytest.fixture(scope='module')
def content(tmp_path_factory):
    return content_of(small_model(), tmp_path_factory.mktemp('model') / 'm.safetensors')


def setting(path, value):
    """Return a change to the model's header: set what stands at a path of keys and indices."""
    def change(ours):
        for step in path[:-1]:
            ours = ours[step]
        ours[path[-1]] = value
    return change


@pytest.mark.parametrize(('change', 'reason'), [
    (setting(['architecture', 'hidden_size'], 10**9), 'describes no model|should have shape'),
    (setting(['architecture', 'hidden_size'], 10**30), 'describes no model|should have shape'),
    (setting(['architecture', 'feature_size'], 10**5), 'should have shape'),
    (setting(['architecture', 'latent_size'], True), 'must be a positive integer'),
    (setting(['architecture', 'latent_size'], 2.0), 'must be a positive integer'),
    (setting(['architecture', 'layers'], 3), 'describes no model'),
    (setting(['architecture', 'heads'], LONG), 'describes no model'),
    (setting(['architecture'], [['latent_size', 2]]), 'architecture .* must be a JSON object'),
    (setting(['sensors', 0, 'shape'], [3, 10**6, 10**6]), 'has more than'),
    (setting(['sensors', 0, 'shape'], [3, 400, 400]), 'should have shape'),
    (setting(['sensors', 0, 'shape'], [3, 4]), 'describes no model|should have shape'),
    (setting(['sensors', 0, 'shape'], [1] * 40), 'has more than'),
    (setting(['sensors', 0, 'shape'], [3, -4, 4]), 'positive integers'),
    (setting(['sensors', 0, 'shape'], [3, 4.0, 4]), 'list of integers'),
    (setting(['sensors', 0, 'shape'], [True, True, True]), 'list of integers'),
    (setting(['sensors', 0, 'shape'], LONG), 'list of integers'),
    (setting(['sensors', 0, 'name'], '../../etc/passwd'), 'sensor name'),
    (setting(['sensors', 0, 'name'], 'camera/x'), 'sensor name'),
    (setting(['sensors', 0, 'name'], LONG), 'sensor name'),
    (setting(['sensors', 0, 'name'], 'lidar'), 'each once'),
    (setting(['sensors', 0, 'name'], ESCAPE), 'sensor name'),
    (setting(['sensors', 0, 'name'], 7), 'must be text'),
    (setting(['sensors', 0, 'kind'], 'sonar'), 'describes no model'),
    (setting(['sensors', 0, 'kind'], ESCAPE), 'kind'),
    (setting(['sensors', 0, 'topic'], '../x'), 'must be a ROS topic'),
    (setting(['sensors', 0, 'topic'], 'a b'), 'must be a ROS topic'),
    (setting(['sensors', 0, 'topic'], '/1a'), 'must be a ROS topic'),
    (setting(['sensors', 0, 'topic'], 'scan\n'), 'must be a ROS topic'),
    (setting(['sensors', 0, 'topic'], ''), 'must be a ROS topic'),
    (setting(['sensors', 0, 'topic'], LONG), 'must be a ROS topic'),
    (setting(['sensors', 0, 'frame_id'], ESCAPE), 'must be printable'),
    (setting(['sensors', 0, 'frame_id'], '\ud800'), 'must be printable'),
    (setting(['sensors', 0, 'frame_id'], LONG), 'must be printable'),
    (setting(['sensors', 0, 'frame_id'], None), 'must be text'),
    (setting(['sensors', 0, 'mount'], 'roof'), 'unknown fields'),
    (setting(['sensors', 0], LONG), 'sensor .* must be a JSON object'),
    (setting(['sensors', 1, 'geometry'], []), 'must be a mapping'),
    (setting(['sensors', 1, 'geometry', 'range_max'], 1e300), 'must be a number up to'),
    (setting(['sensors', 1, 'geometry', 'range_max'], 10**400), 'must be a number up to'),
    (setting(['sensors', 1, 'geometry', 'range_max'], [1]), 'must be a number'),
    (setting(['sensors', 1, 'geometry', 'range_max'], [[1]]), 'must be a number up to'),
    (setting(['sensors', 1, 'geometry', 'range_max'], 'far'), 'describes no model'),
    (setting(['sensors', 1, 'geometry', 'range_max'], 0), 'range_max'),
    (setting(['sensors', 1, 'geometry', 'range_max'], -5), 'range_max'),
    (setting(['sensors', 1, 'geometry', 'angle_max'], ESCAPE), 'must be a number up to'),
    (setting(['sensors', 1, 'geometry'], {'range_max': 10.0}), 'describes no model'),
    (setting(['sensors'], []), 'sensors'),
    (setting(['sensors'], LONG), 'sensors'),
    (setting(['sensors'], [
        {'name': f's{i}', 'kind': 'image', 'topic': 'i', 'frame_id': '', 'shape': [3, 4, 4]}
        for i in range(40)]), 'a list of 1 to 12'),
    (setting(['trained_subsets'], []), 'no such trained subset'),
    (setting(['trained_subsets'], [['camera'], ['camera']]), 'each once'),
    (setting(['trained_subsets'], [['lidar', 'camera']]), 'lattice order'),
    (setting(['trained_subsets'], [['camera', 'camera']]), 'lattice order'),
    (setting(['trained_subsets'], [['lidar'], ['camera']]), 'lattice order'),
    (setting(['trained_subsets'], [[]]), 'lattice order'),
    (setting(['trained_subsets'], [[['camera']]]), 'lattice order'),
    (setting(['trained_subsets'], [['sonar']]), 'lattice order'),
    (setting(['trained_subsets'], ['camera']), 'list of lists'),
    (setting(['trained_subsets'], [['camera']]), 'should have shape'),
    (setting(['calibration', 'temperature'], {'camera': 10**400}), 'must be a positive number'),
    (setting(['calibration', 'temperature'], {ESCAPE: 1.0}), 'no such trained subset'),
    (setting(['calibration', 'temperature'], 5), 'damaged'),
    (setting(['format_version'], True), 'format version'),
    (setting(['format_version'], LONG), 'format version'),
    (setting(['provenance'], None), 'must be a JSON object'),
])
def test_a_hostile_header_is_rejected(tmp_path, content, change, reason):
    header, ours, weights = split(content)
    change(ours)
    assert re.search(reason, rejection(tmp_path / 'm.safetensors', joined(header, ours, weights)))


STRANGE_JSON = [
    ('[' * 200_000, 'nested deeper'),
    ('{"a":' * 500 + '1' + '}' * 500, 'nested deeper'),
    ('{"a":' * 50_000 + '1' + '}' * 50_000, 'nested deeper'),
    ('{"a": 1, "a": 1}', 'occurs twice'),
    ('{"a": NaN}', 'not a finite number'),
    ('{"a": -Infinity}', 'not a finite number'),
    ('{"a": 1e999}', 'not a finite number'),
    ('{"a": ' + '9' * 10_000 + '}', 'digits'),
    ('{"a": ', 'char'),
]


@pytest.mark.parametrize(('text', 'reason'), STRANGE_JSON)
def test_strange_json_is_rejected_as_the_models_header(tmp_path, content, text, reason):
    header, _, weights = split(content)
    assert reason in rejection(tmp_path / 'm.safetensors', joined(header, text, weights))


@pytest.mark.parametrize(('text', 'reason'), [
    *STRANGE_JSON,
    ('[]', 'must be a JSON object'),
    ('{"__metadata__": []}', 'must be an object of texts'),
    ('{"__metadata__": {"a": 1}}', 'must be an object of texts'),
    ('{"__metadata__": {"\\u001b[2J": "x"}}', 'no model of m2vae_ros'),
    ('{"a": ' + '[' * 30 + ']' * 30 + '}', 'must have dtype'),
])
def test_strange_json_is_rejected_as_the_files_header(tmp_path, text, reason):
    assert reason in rejection(tmp_path / 'm.safetensors', with_header(text.encode()))


def entry_of(header):
    return header['decoders.camera.log_noise']  # one number of 4 bytes


@pytest.mark.parametrize(('change', 'reason'), [
    (lambda h: entry_of(h).update(dtype='I64'), 'must be one of'),
    (lambda h: entry_of(h).update(dtype=['F32']), 'must be one of'),
    (lambda h: entry_of(h).update(dtype='F16'), 'does not fill'),
    (lambda h: entry_of(h).update(shape=[2]), 'does not fill'),
    (lambda h: entry_of(h).update(shape=[10**9, 10**9]), 'does not fill'),
    (lambda h: entry_of(h).update(shape=[-1]), 'must be a list of sizes'),
    (lambda h: entry_of(h).update(shape=[1] * 9), 'must be a list of sizes'),
    (lambda h: entry_of(h).update(shape=[1]), 'should have shape'),
    (lambda h: entry_of(h).update(data_offsets=[10**12, 10**12 + 4]), 'starts at byte'),
    (lambda h: entry_of(h).update(data_offsets=[-4, 0]), 'must be two numbers'),
    (lambda h: entry_of(h).update(data_offsets=[2, 6]), 'starts at byte'),
    (lambda h: entry_of(h).update(data_offsets=[4, 0]), 'does not fill'),
    (lambda h: entry_of(h).update(data_offsets=[0]), 'must be two numbers'),
    (lambda h: entry_of(h).update(extra=1), 'must have dtype'),
    (lambda h: h.update({LONG: entry_of(h)}), 'at most 200 letters'),
    (lambda h: h.update({'x': 3}), 'must have dtype'),
    (lambda h: h.update({ESCAPE: h.pop('decoders.camera.log_noise')}), 'should have shape'),
    (lambda h: h.pop('decoders.camera.log_noise'), 'starts at byte|damaged or cut off'),
])
def test_a_hostile_table_of_tensors_is_rejected(tmp_path, content, change, reason):
    header, ours, weights = split(content)
    change(header)
    assert re.search(reason, rejection(tmp_path / 'm.safetensors', joined(header, ours, weights)))


@pytest.mark.parametrize(('name', 'number', 'reason'), [
    ('decoders.lidar.log_noise', float('nan'), 'is not finite'),
    ('decoders.lidar.log_noise', float('inf'), 'is not finite'),
    ('trunks.lidar.normalisation.scale', 0.0, 'must be positive'),
])
def test_weights_that_make_no_sense_are_rejected(tmp_path, content, name, number, reason):
    header, ours, weights = split(content)
    form = {'F16': '<f2', 'F32': '<f4'}[header[name]['dtype']]
    start, end = header[name]['data_offsets']
    weights = weights[:start] + np.array(number, form).tobytes() + weights[end:]
    assert reason in rejection(tmp_path / 'm.safetensors', joined(header, ours, weights))


def test_more_subsets_than_weights_are_rejected_before_encoders_are_built(tmp_path, content):
    header, ours, weights = split(content)
    ours['sensors'] = [
        {**ours['sensors'][0], 'name': f's{i}'} for i in range(12)
    ]
    ours['trained_subsets'] = [list(s) for s in lattice([f's{i}' for i in range(12)])]
    ours['calibration'] = {}
    reason = rejection(tmp_path / 'm.safetensors', joined(header, ours, weights))
    assert '4095 trained subsets' in reason


class Bomb:
    """An object that runs code when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ('ran',)


def test_nothing_in_a_file_is_run(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    header, ours, weights = split(content)
    for protocol in (0, 4):
        bomb = pickle.dumps(Bomb(), protocol)
        rejection(tmp_path / 'm.safetensors', bomb)
        rejection(tmp_path / 'm.safetensors', with_header(bomb))
        rejection(tmp_path / 'm.safetensors', joined(header, ours, weights) + bomb)
    assert not (tmp_path / 'ran').exists()


def test_what_is_not_a_file_is_rejected_at_once(tmp_path):
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

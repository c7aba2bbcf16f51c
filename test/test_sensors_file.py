# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A sensors file is read as it is written; an error in it names file, sensor and field."""

from __future__ import annotations

import pytest
import yaml

from m2vae_ros import cli
from m2vae_ros.bags.sensors_file import read_sensors, SensorsFileError
from m2vae_ros.simulation.robot import SENSORS
from support.bag_files import write_drive


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    """Return a folder with the bag of a drive with all sensors."""
    return write_drive(tmp_path_factory.mktemp('drives') / 'drive', seconds=0.7)


def test_a_sensors_file_is_read_as_it_is_written(tmp_path):
    file = tmp_path / 'sensors.yaml'
    file.write_text(yaml.safe_dump({'sensors': [spec.to_dict() for spec in SENSORS]}))
    assert read_sensors(file) == SENSORS


GOOD = {
    'name': 'scan', 'kind': 'laser_scan', 'topic': 'scan', 'frame_id': 'laser', 'shape': [10],
    'geometry': {'angle_min': -1.0, 'angle_max': 1.0, 'range_min': 0.1, 'range_max': 5.0},
}


@pytest.mark.parametrize(('change', 'named'), [
    ({'kind': 'sonar'}, 'sonar'),
    ({'name': 'Scan!'}, 'Scan!'),
    ({'shape': [0]}, 'shape'),
    ({'shape': 'ten'}, 'shape'),
    ({'shape': [3, 4]}, 'shape'),
    ({'topic': 5}, 'topic'),
    ({'colour': 'red'}, 'colour'),
    ({'geometry': None}, 'geometry'),
    ({'geometry': {**GOOD['geometry'], 'range_max': '5 m'}}, 'range_max'),
    ({'geometry': {**GOOD['geometry'], 'angle_max': 180}}, 'angle_max'),
    ({'geometry': {'angle_min': -1.0}}, 'angle_max'),
])
def test_an_error_in_a_field_names_file_sensor_and_field(tmp_path, change, named):
    file = tmp_path / 'sensors.yaml'
    file.write_text(yaml.safe_dump({'sensors': [GOOD | {'name': 'other'}, GOOD | change]}))
    with pytest.raises(SensorsFileError) as caught:
        read_sensors(file)
    text = str(caught.value)
    assert text.startswith(f'{file}: sensor 2')
    assert named in text
    assert '\n' not in text


@pytest.mark.parametrize(('content', 'named'), [
    ('', 'sensors'), ('sensors: 5', 'list'), ('sensors: []', 'list'), ('[1, 2]', 'sensors'),
    ('sensors: [5]', 'sensor 1'), ('sensors: [', 'not YAML'), ('a: 1\nsensors: []', "'a'"),
    ('sensors: [{1: 2}]', 'its name must be a text'), (b'\xff\xfe\xfa', 'not YAML'),
])
def test_what_is_no_sensors_file_is_refused(tmp_path, content, named):
    file = tmp_path / 'sensors.yaml'
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SensorsFileError) as caught:
        read_sensors(file)
    assert str(caught.value).startswith(str(file))
    assert named in str(caught.value)


def test_two_sensors_of_one_name_are_refused(tmp_path):
    file = tmp_path / 'sensors.yaml'
    file.write_text(yaml.safe_dump({'sensors': [GOOD, GOOD]}))
    with pytest.raises(SensorsFileError, match=r'sensor 2 \(scan\).*is taken'):
        read_sensors(file)


def test_a_missing_sensors_file_names_the_command_that_makes_one(tmp_path):
    with pytest.raises(SensorsFileError, match='m2vae sensors --bag DIR --out'):
        read_sensors(tmp_path / 'nothing.yaml')


def test_the_command_prints_the_proposal_and_overwrites_nothing(drive, tmp_path, capsys):
    assert cli.main(['sensors', '--bag', str(drive)]) == 0
    printed = capsys.readouterr().out
    assert len(yaml.safe_load(printed)['sensors']) == 3
    file = tmp_path / 'sensors.yaml'
    file.write_text('mine')
    assert cli.main(['sensors', '--bag', str(drive), '--out', str(file)]) == 2
    assert 'exists already' in capsys.readouterr().err
    assert file.read_text() == 'mine'


@pytest.mark.parametrize('words', [
    ['--bag', 'nowhere'], ['--bag', '{drive}', '--out', '{folder}/no/such/file.yaml'],
])
def test_the_command_fails_in_one_line(drive, tmp_path, capsys, words):
    filled = [word.format(drive=drive, folder=tmp_path) for word in words]
    assert cli.main(['sensors', *filled]) == 2
    error = capsys.readouterr().err
    assert error.startswith('m2vae: error: ')
    assert error.count('\n') == 1

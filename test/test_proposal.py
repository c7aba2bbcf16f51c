# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A sensors file is proposed for a bag, and fits its messages."""

from __future__ import annotations

from dataclasses import replace
from math import cos, pi, radians

import numpy as np
import pytest
import torch
import yaml

from m2vae_ros import cli
from m2vae_ros.bags.bag import Bag
from m2vae_ros.bags.proposal import name_of
from m2vae_ros.bags.proposed_images import image_shape
from m2vae_ros.bags.resolution import resolve_topics
from m2vae_ros.bags.sensors_file import propose, read_sensors
from m2vae_ros.bags.storage import BagError
from m2vae_ros.bags.writer import message_types
from m2vae_ros.sensors.kinds import decode, encode
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.specs import Measurement, SensorSpec
from m2vae_ros.vae.likelihoods import SensorBatch
from m2vae_ros.vae.model import Architecture, M2VAE
from support.bag_files import CLASSES, CLOUD, IMAGE, SCAN, START_NS, write_drive
from support.sensor_messages import cloud, image, rays, scan, write


def proposal(tmp_path, topics):
    """Return the sensors proposed for a bag, by name, and the text."""
    with Bag(write(tmp_path / 'bag', topics)) as bag:
        text = propose(bag)
    (tmp_path / 'sensors.yaml').write_text(text)
    return {spec.name: spec for spec in read_sensors(tmp_path / 'sensors.yaml')}, text


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    return write_drive(tmp_path_factory.mktemp('drives') / 'drive', seconds=1.0)


@pytest.fixture(scope='module')
def proposed(drive, tmp_path_factory):
    """Return the sensors file that is proposed for the simulated robot, and its sensors."""
    file = tmp_path_factory.mktemp('proposed') / 'sensors.yaml'
    assert cli.main(['sensors', '--bag', str(drive), '--out', str(file)]) == 0
    return file, read_sensors(file)


def test_the_simulated_robots_sensors_are_found_as_they_are(proposed):
    _, sensors = proposed
    found = {spec.name: spec for spec in sensors}
    assert set(found) == {'camera', 'depth', 'scan'}
    camera, lidar, depth = SENSORS
    assert (found['camera'].topic, found['camera'].frame_id) == (camera.topic, camera.frame_id)
    assert found['camera'].shape == camera.shape
    assert found['scan'].shape == (360,)
    assert found['scan'].geometry['angle_max'] == pytest.approx(pi)
    assert found['scan'].geometry['range_min'] == lidar.geometry['range_min']
    assert found['depth'].geometry['axes'] == 'optical'
    for key in ('azimuth_min', 'azimuth_max'):
        assert found['depth'].geometry[key] == pytest.approx(depth.geometry[key], abs=0.05)


def test_a_model_can_be_built_of_the_proposal_and_sees_the_bag(drive, proposed):
    _, sensors = proposed
    with Bag(drive) as bag:
        topics = resolve_topics(bag, sensors)
        measured = {
            spec.name: decode(spec, next(bag.messages([topics[spec.name]])).message)
            for spec in sensors
        }
    batch = {
        name: SensorBatch(*(
            torch.from_numpy(getattr(measurement, part))[None]
            for part in ('values', 'valid', 'returned')
        )) for name, measurement in measured.items()
    }
    model = M2VAE(sensors, Architecture(latent_size=4, feature_size=16, hidden_size=16))
    posterior = model.encode(batch, tuple(measured))
    for name, measurement in batch.items():
        score = model.decode(posterior.mean, name).log_prob(measurement)
        assert torch.isfinite(score).all(), name


def test_most_cells_of_the_proposed_depth_image_have_a_return(drive, proposed):
    _, sensors = proposed
    (depth,) = [spec for spec in sensors if spec.name == 'depth']
    with Bag(drive) as bag:
        returned = np.mean([
            decode(depth, received.message).returned
            for received in bag.messages(['/depth/points'])
        ], axis=(0, 2))
    assert returned.mean() > 0.7
    assert returned.min() > 0.2


def test_the_file_says_rates_sizes_and_which_topics_are_not_used(proposed, tmp_path):
    text = proposed[0].read_text()
    for fact in (
        '30 messages, 30.0 Hz; 18 of them were read', '640 x 480 pixels, rgb8', '360 beams',
        '60 rows of 96',
    ):
        assert fact in text, fact
    string = message_types()['std_msgs/msg/String']
    _, text = proposal(tmp_path, {
        '/scan': (SCAN, scan()), '/said': ('std_msgs/msg/String', lambda _: string(data='x')),
    })
    assert '#   /said (std_msgs/msg/String, 10 messages): no kind of sensor' in text


def test_a_partial_scan_has_its_cells_around_its_beams(tmp_path):
    found, text = proposal(tmp_path, {'/scan': (SCAN, scan())})
    geometry = found['scan'].geometry
    assert found['scan'].shape == (181,)
    assert geometry['angle_min'] == pytest.approx(-radians(90.5), abs=1e-4)
    assert geometry['angle_max'] == pytest.approx(radians(90.5), abs=1e-4)
    assert 0 < geometry['range_min'] < 0.6
    assert 4.2 < geometry['range_max'] <= 6
    assert 'the driver says 0 to 60 m' in text
    measured = decode(found['scan'], scan()(START_NS))
    assert np.allclose(measured.values, np.linspace(0.6, 4.2, 181), atol=1e-6)


@pytest.mark.parametrize('farthest', [np.inf, 3.4e38, 1e30])
@pytest.mark.parametrize('empty', [np.inf, np.nan, 0.0, 3.4e38])
def test_a_driver_without_a_farthest_range_gets_the_measured_one(tmp_path, farthest, empty):
    def message_at(now):
        message = scan(limits=(0.0, farthest))(now)
        message.ranges[::20] = empty
        return message

    found, text = proposal(tmp_path, {'/scan': (SCAN, message_at)})
    assert 4.2 < found['scan'].geometry['range_max'] <= 6
    assert f'the driver says 0 to {farthest:g} m, 0.62 to 4.18 m were measured' in text
    assert decode(found['scan'], message_at(START_NS)).returned.sum() == 171


@pytest.mark.parametrize('empty', [np.inf, np.nan, 0.0])
@pytest.mark.parametrize(('bins', 'apart', 'bearings'), [
    (360, 1.0, 360), (360, 1.33, 180), (720, 1.0, 360), (1440, 0.4, 360), (360, 2.0, 180),
    (180, 5.0, 60),
])
def test_bins_that_no_beam_hits_are_not_taken_for_free_space(
    tmp_path, bins, apart, bearings, empty
):
    """A room is closed for the model too where a driver has more bins than the lidar beams."""
    def message_at(now):
        message = scan(bins, -pi, 2 * pi / bins)(now)
        first = now // 10**8 % 7 / 7 * apart  # the beams of each turn are elsewhere
        hit = np.arange(first, 360, apart)
        message.ranges[:] = empty
        message.ranges[(hit / 360 * bins).astype(int)] = 3 + np.sin(np.radians(hit))
        return message

    found, text = proposal(tmp_path, {'/scan': (SCAN, message_at)})
    assert found['scan'].shape == (bearings,)
    assert ('are more than the lidar has beams' in text) == (bearings < min(bins, 360))
    assert decode(found['scan'], message_at(START_NS)).returned.mean() > 0.98


def test_a_driver_without_a_farthest_range_that_sees_nothing_is_no_sensor(tmp_path):
    def message_at(now):
        message = scan(limits=(0.0, np.inf))(now)
        message.ranges[:] = np.inf
        return message

    found, text = proposal(tmp_path, {'/scan': (SCAN, message_at), '/seen': (SCAN, scan())})
    assert set(found) == {'seen'}
    assert '#   /scan (' in text
    assert 'record where something is within range' in text


@pytest.mark.parametrize('first', [-pi, 0.0])
@pytest.mark.parametrize('direction', [1, -1])
def test_a_scan_all_around_is_a_whole_circle_however_it_turns(tmp_path, first, direction):
    found, _ = proposal(
        tmp_path, {'/scan': (SCAN, scan(720, first * direction, direction * pi / 360))}
    )
    assert found['scan'].shape == (360,)
    assert found['scan'].geometry['angle_max'] - found['scan'].geometry['angle_min'] == \
        pytest.approx(2 * pi)
    measured = decode(found['scan'], scan(720, first * direction, direction * pi / 360)(START_NS))
    assert measured.returned.all()


def test_images_keep_their_proportions_and_are_never_enlarged():
    for height, width in ((375, 1242), (480, 640), (1080, 1920), (2048, 2048), (1200, 400)):
        _, rows, columns = image_shape(height, width)
        assert columns / rows == pytest.approx(width / height, rel=0.1)
        assert 2000 < rows * columns < 9000
    assert image_shape(24, 32) == (3, 24, 32)
    assert image_shape(4, 5000) == (3, 4, 512)


def test_a_spinning_lidar_has_no_more_rows_than_rings(tmp_path):
    points = rays(np.linspace(-15, 15, 16), np.arange(-180, 180, 0.5))
    found, _ = proposal(tmp_path, {'/velodyne_points': (CLOUD, cloud(points))})
    spec = found['velodyne_points']
    assert spec.shape[0] <= 16
    assert spec.geometry['axes'] == 'body'
    assert spec.geometry['azimuth_max'] == pytest.approx(pi)
    assert radians(-17) < spec.geometry['elevation_min'] < radians(-14)
    assert decode(spec, cloud(points)(START_NS)).returned.all()


@pytest.mark.parametrize('middle', [0, 90, 170, -120])
def test_a_lidar_that_sees_a_part_of_the_circle_is_found_wherever_it_looks(tmp_path, middle):
    points = rays(np.linspace(-10, 10, 32), np.linspace(middle - 40, middle + 40, 200))
    found, _ = proposal(tmp_path, {'/lidar/points': (CLOUD, cloud(points))})
    geometry = found['lidar'].geometry
    assert radians(78) < geometry['azimuth_max'] - geometry['azimuth_min'] < radians(84)
    off = (geometry['azimuth_max'] + geometry['azimuth_min']) / 2 - radians(middle)
    assert cos(off) > cos(radians(1))
    assert decode(found['lidar'], cloud(points)(START_NS)).returned.mean() > 0.9


def test_axes_are_told_from_the_frames_name_or_the_points(tmp_path):
    body = rays(np.linspace(-20, 20, 40), np.linspace(-30, 30, 60)).reshape(40, 60, 3)[::-1, ::-1]
    optical = np.stack([-body[..., 1], -body[..., 2], body[..., 0]], axis=-1)
    found, _ = proposal(tmp_path, {
        '/a/points': (CLOUD, cloud(body)), '/b/points': (CLOUD, cloud(optical, 'camera')),
        '/c/points': (CLOUD, cloud(optical, 'c_optical_frame')),
    })
    assert [found[name].geometry['axes'] for name in 'abc'] == ['body', 'optical', 'optical']
    as_body = replace(found['b'], geometry={**found['b'].geometry, 'axes': 'body'})
    views = [
        decode(spec, cloud(points)(START_NS)).values
        for spec, points in ((as_body, body), (found['b'], optical), (found['c'], optical))
    ]
    assert np.allclose(views[0], views[1], atol=1e-4)


def test_a_proposed_range_image_stands_upright(tmp_path):
    """What is low and to the left in the world is at the bottom left of the array."""
    points = rays(np.linspace(-20, 20, 60), np.linspace(-40, 40, 120), distance=8.0)
    left, up = points[:, 1] > 0, points[:, 2] > 0
    points[left & ~up] *= 0.5
    found, _ = proposal(tmp_path, {'/points': (CLOUD, cloud(points))})
    values = decode(found['points'], cloud(points)(START_NS)).values
    rows, columns = values.shape
    assert values[rows - 2, 2] == pytest.approx(4)
    assert values[1, 2] == values[1, columns - 3] == values[rows - 2, columns - 3] \
        == pytest.approx(8)


def test_the_compressed_topic_is_proposed_by_its_base(tmp_path):
    path = write_drive(tmp_path / 'jpeg', seconds=0.5, compressed_images=True)
    with Bag(path) as bag:
        sensors = yaml.safe_load(propose(bag))['sensors']
    assert sensors[0]['topic'] == 'camera/image_raw'


def test_what_cannot_be_used_is_listed_with_the_reason(tmp_path):
    found, text = proposal(tmp_path, {
        '/scan': (SCAN, scan()),
        '/depth/image': (IMAGE, image(8, 8, '16UC1', 2)),
        '/odd/image': (IMAGE, image(8, 8, 'purple')),
        '/odd/points': (CLOUD, cloud(np.full((4, 3), np.nan))),
        '/odd/scan': (SCAN, scan(stamp=0)),
        '/upside/scan': (SCAN, scan(limits=(5.0, 1.0))),
    })
    assert set(found) == {'scan'}
    for topic in ('/depth/image', '/odd/image', '/odd/points', '/odd/scan', '/upside/scan'):
        (reason,) = [line for line in text.splitlines() if line.startswith(f'#   {topic} (')]
        assert len(reason.split(': ', 1)[1]) > 10
    assert 'a depth image' in text
    assert 'stamps in its headers are zero' in text


def test_a_bag_without_any_sensor_is_an_error_that_says_why(tmp_path):
    string = message_types()['std_msgs/msg/String']
    topics = {'/said': ('std_msgs/msg/String', lambda _: string(data='x'))}
    with Bag(write(tmp_path / 'bag', topics)) as bag, \
            pytest.raises(BagError, match=r'no sensor in it: /said .*no kind of sensor'):
        propose(bag)


def test_stamps_far_from_the_time_of_receipt_are_cautioned_against(tmp_path):
    _, text = proposal(tmp_path, {'/scan': (SCAN, scan(stamp=START_NS - 60 * 10**9))})
    assert 'CAUTION: its stamps are 6' in text


def test_a_scanner_whose_beams_vary_a_little_is_one_scanner(tmp_path):
    def varying(now):
        beams = 340 + now // 10**8 % 7 * 5
        message = scan(beams, -pi, 2 * pi / beams)(now)
        message.ranges[:] = 2.5
        return message

    found, text = proposal(tmp_path, {'/scan': (SCAN, varying)})
    assert 'CAUTION' not in text
    assert 'its beams vary, 340 to 370: each scan is read by its own' in text
    assert decode(found['scan'], varying(START_NS)).returned.mean() > 0.9


def test_beams_that_change_are_cautioned_against(tmp_path):
    def changing(now):
        return scan(181 if now < START_NS + 500_000_000 else 90)(now)
    _, text = proposal(tmp_path, {'/scan': (SCAN, changing)})
    assert 'CAUTION: its beams change' in text


@pytest.mark.parametrize(('topic', 'name'), [
    ('/camera/image_raw', 'camera'), ('/front/camera/image_raw/compressed', 'front_camera'),
    ('/scan', 'scan'), ('/points', 'points'), ('/depth/points', 'depth'),
    ('/Robot-1/LIDAR/points', 'robot_1_lidar'), ('/2d/scan', 'sensor_2d_scan'), ('/_', 'sensor'),
])
def test_names_come_from_topics(topic, name):
    assert name_of(topic) == name
    SensorSpec(name, 'laser_scan', 'scan', '', (3,))


def test_two_topics_of_one_name_are_told_apart(tmp_path):
    found, _ = proposal(tmp_path, {
        '/front/image_raw': (IMAGE, image(8, 8)), '/front/points': (CLOUD, cloud(
            rays(np.linspace(-5, 5, 16), np.linspace(-40, 40, 50)))),
    })
    assert sorted(found) == ['front', 'front_2']


def test_a_reconstruction_of_a_proposed_sensor_is_a_message_that_decodes(proposed):
    for spec in proposed[1]:
        cells = np.ones(spec.spatial_shape, np.bool_)
        value = 0.5 if spec.kind == 'image' else 1.5
        values = np.full(spec.shape, value, np.float32)
        measurement = Measurement(values, cells, cells, START_NS, 'f')
        decoded = decode(spec, encode(spec, measurement, CLASSES))
        assert np.allclose(decoded.values, measurement.values, atol=0.01), spec.name
        assert decoded.stamp_ns == START_NS

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The robot drives without hitting anything, and its messages are right."""

from __future__ import annotations

import math

import numpy as np
import pytest

from m2vae_ros.sensors.kinds import decode, validate
from m2vae_ros.simulation.driving import RADIUS
from m2vae_ros.simulation.faults import Transmission
from m2vae_ros.simulation.native_messages import observe, PLAIN_CLASSES
from m2vae_ros.simulation.robot import Robot, SENSORS
from m2vae_ros.simulation.sensing import Noise
from m2vae_ros.simulation.world import World

NO_NOISE = Noise(image=0, exposure=0, scan=0, depth=0, lost=0)
CAMERA, LIDAR, DEPTH = SENSORS


@pytest.mark.parametrize('seed', [0, 1, 2, 3, 2_000_000, 2_000_001])
def test_a_minute_of_driving_hits_nothing_and_gets_somewhere(seed):
    world = World(seed)
    robot = Robot(world)
    poses = []
    for _ in range(1200):
        robot.step(0.05)
        poses.append(robot.pose)
    positions = np.array(poses)[:, :2]
    assert world.clearance(positions).min() > RADIUS
    assert np.linalg.norm(np.diff(positions, axis=0), axis=1).sum() > 8


def test_the_drive_does_not_depend_on_the_size_of_its_steps():
    in_one_step, in_many = Robot(World(4)), Robot(World(4))
    in_one_step.step(3.0)
    for _ in range(100):
        in_many.step(0.03)
    assert in_one_step.pose == pytest.approx(in_many.pose, abs=1e-6)


def test_a_step_back_in_time_is_rejected():
    with pytest.raises(ValueError, match=r'-0\.1'):
        Robot(World(0)).step(-0.1)


def test_the_same_seeds_are_the_same_drive_and_the_same_noise():
    def drive(seed):
        robot = Robot(World(5), seed)
        robot.step(2.0)
        return robot.pose, robot.image(), robot.ranges(), robot.cloud()

    for first, same, other in zip(drive(1), drive(1), drive(2), strict=True):
        np.testing.assert_array_equal(first, same)
        assert not np.array_equal(first, other)


@pytest.mark.parametrize('spec', SENSORS, ids=lambda spec: spec.name)
def test_the_robots_messages_fit_their_specs(spec):
    validate(spec)
    robot = Robot(World(0))
    measurement = decode(spec, observe(robot, spec.name, 1_000_000_001, PLAIN_CLASSES))
    assert measurement.stamp_ns == 1_000_000_001
    assert measurement.frame_id == spec.frame_id
    assert measurement.values.shape == spec.shape
    assert measurement.valid.mean() > 0.95


def test_the_robot_has_no_sensor_of_another_name():
    with pytest.raises(ValueError, match='sonar'):
        observe(Robot(World(0)), 'sonar', 1, PLAIN_CLASSES)


def test_lidar_and_depth_camera_agree_on_what_is_ahead():
    """Both see the same wall; the lidar is 0.1 m behind the depth camera and 0.2 m below."""
    differences = []
    for seed in range(8):
        robot = Robot(World(seed), noise=NO_NOISE)
        robot.step(3.0)
        scan = decode(LIDAR, observe(robot, 'lidar', 1, PLAIN_CLASSES))
        image = decode(DEPTH, observe(robot, 'depth', 1, PLAIN_CLASSES))
        if image.returned[6:8, 31:33].all() and scan.returned[89:91].all():
            differences.append(scan.values[89:91].mean() - image.values[6:8, 31:33].mean())
    assert len(differences) >= 4
    assert np.median(differences) == pytest.approx(0.1, abs=0.05)


def test_left_is_left_for_every_sensor():
    """If the lidar sees something nearer on the left, so does the depth camera."""
    robot = Robot(World(3), noise=NO_NOISE)
    pairs = []
    for _ in range(60):
        robot.step(1.0)
        scan = decode(LIDAR, observe(robot, 'lidar', 1, PLAIN_CLASSES)).values
        depth = decode(DEPTH, observe(robot, 'depth', 1, PLAIN_CLASSES)).values[6]
        # Bearings 76..89 lie to the right of the axis and 90..103 to its left, in -28..28 deg.
        pairs.append((scan[90:104].mean() - scan[76:90].mean(),
                      depth[8:32].mean() - depth[32:56].mean()))
    by_lidar, by_depth = np.array(pairs).T
    assert np.corrcoef(by_lidar, by_depth)[0, 1] > 0.8


def test_a_perfect_lidar_loses_no_return_and_a_bad_one_the_given_share():
    perfect = Robot(World(0), noise=NO_NOISE)
    assert np.isfinite(perfect.ranges()).all()
    bad = Robot(World(0), noise=Noise(lost=0.3))
    ranges = np.concatenate([bad.ranges() for _ in range(20)])
    # REP-117: +inf means that nothing returned, NaN that the measurement failed.
    assert np.isposinf(ranges).mean() == pytest.approx(0.24, abs=0.03)
    assert np.isnan(ranges).mean() == pytest.approx(0.06, abs=0.02)
    worse = Robot(World(0), noise=Noise(lost=0.95))  # so that both beams of a cell may fail
    message = observe(worse, 'lidar', 1, PLAIN_CLASSES)
    measurement = decode(LIDAR, message)
    assert not measurement.returned.all()
    assert not measurement.valid.all()
    assert message.angle_min + 359 * message.angle_increment == pytest.approx(message.angle_max)


def test_a_cloud_has_nan_where_nothing_returned():
    cloud = Robot(World(0), noise=Noise(lost=0.5)).cloud()
    lost = np.isnan(cloud)
    assert (lost.all(axis=-1) == lost.any(axis=-1)).all()
    assert 0.45 < lost.mean() < 0.7


def test_noise_blurs_without_shifting():
    clean = Robot(World(6), noise=NO_NOISE)
    noisy = Robot(World(6), noise=Noise(image=8.0, exposure=0.0, lost=0.0))
    difference = noisy.image().astype(float) - clean.image()
    assert difference.std() == pytest.approx(8.0, rel=0.1)
    assert abs(difference.mean()) < 0.2
    errors = noisy.ranges() - clean.ranges()
    assert 0.005 < errors.std() < 0.02


@pytest.mark.parametrize('field', ['image', 'exposure', 'scan', 'depth', 'lost'])
@pytest.mark.parametrize('value', [-0.1, math.inf, math.nan])
def test_an_impossible_noise_is_rejected_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        Noise(**{field: value})


def test_a_silenced_sensor_sends_nothing_until_it_is_revived():
    transmission = Transmission(np.random.default_rng(0))
    assert transmission.stamp(1_000) is not None
    transmission.silent = True
    assert [transmission.stamp(now) for now in range(2_000, 9_000, 1_000)] == [None] * 7
    transmission.silent = False
    assert transmission.stamp(9_000) == 9_000


def test_the_given_share_of_messages_is_lost():
    transmission = Transmission(np.random.default_rng(0), lost=0.25)
    lost = [transmission.stamp(now) is None for now in range(0, 2_000_000, 1_000)]
    assert np.mean(lost) == pytest.approx(0.25, abs=0.03)


def test_jittered_stamps_lie_in_the_past_and_increase():
    transmission = Transmission(np.random.default_rng(0), jitter=0.02)
    times = np.arange(1, 2_000) * 33_000_000
    stamps = np.array([transmission.stamp(int(now)) for now in times])
    assert (np.diff(stamps) > 0).all()
    assert (stamps <= times).all()
    assert np.mean(times - stamps) == pytest.approx(0.02e9 * math.sqrt(2 / math.pi), rel=0.1)


def test_stamps_follow_a_clock_that_is_set_back():
    transmission = Transmission(np.random.default_rng(0))
    assert transmission.stamp(5_000_000_000) == 5_000_000_000
    assert transmission.stamp(1_000_000_000) == 1_000_000_000


@pytest.mark.parametrize(('fault', 'value'), [('lost', 1.5), ('lost', -0.1), ('jitter', -1.0)])
def test_an_impossible_fault_is_rejected_by_name(fault, value):
    with pytest.raises(ValueError, match=fault):
        Transmission(np.random.default_rng(0), **{fault: value})

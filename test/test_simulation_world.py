# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A world follows from its seed, an object's look from its class, a range from geometry."""

from __future__ import annotations

from itertools import combinations
import math

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from m2vae_ros.simulation.raycasting import (
    measure,
    objects_around,
    photograph,
    Pinhole,
    scan,
)
from m2vae_ros.simulation.world import Body, OBJECT_CLASSES, Pose, ROOM_TYPES, World

CAMERA = Pinhole(48, 64, 32 / math.tan(0.6))
seeds = st.integers(0, 3_000_000)


def free_pose(world, rng):
    while True:
        x, y = rng.uniform((0, 0), world.size)
        if world.clearance(np.array([x, y])) > 0.3:
            return Pose(x, y, rng.uniform(-math.pi, math.pi))


def empty_world():
    world = World(0)
    world.blocks = world.objects = world.bodies = ()
    return world


def inside(body, points):
    """Return which points (..., 3) are in a body, from its shape's definition."""
    offset = points[..., :2] - (body.x, body.y)
    z = points[..., 2]
    if body.shape == 'box':
        cosine, sine = math.cos(body.yaw), math.sin(body.yaw)
        along = np.abs(offset @ (cosine, sine)) <= body.half_sides[0]
        return along & (np.abs(offset @ (-sine, cosine)) <= body.half_sides[1]) & (
            (z >= 0) & (z <= body.height))
    distance, radius = np.hypot(*np.moveaxis(offset, -1, 0)), body.half_sides[0]
    if body.shape == 'ball':
        return distance**2 + (z - radius) ** 2 <= radius**2
    reach = radius * (1 - z / body.height) if body.shape == 'cone' else radius
    return (distance <= reach) & (z >= 0) & (z <= body.height)


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_the_same_seed_is_the_same_world(seed):
    assert World(seed).bodies == World(seed).bodies
    assert World(seed).size == World(seed).size
    assert World(seed).bodies != World(seed + 1).bodies


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_a_room_has_some_objects_with_gaps_that_the_robot_can_pass(seed):
    world = World(seed)
    assert min(world.size) >= 5
    assert max(world.size) <= 9
    assert 4 <= len(world.objects) <= 8
    for a, b in combinations(world.objects, 2):
        # Each treats one of the two as round, so neither is larger than the true gap.
        gaps = (
            body.distance(np.array([other.x, other.y])) - other.radius
            for body, other in [(a, b), (b, a)]
        )
        assert max(gaps) >= 0.75


def test_a_class_determines_colour_and_shape():
    bodies = [body for seed in range(60) for body in World(seed).objects]
    colours = np.array([kind.colour for kind in OBJECT_CLASSES])
    for index, kind in enumerate(OBJECT_CLASSES):
        members = [body for body in bodies if body.class_name == kind.name]
        assert len(members) >= 10
        assert {body.shape for body in members} == {kind.shape}
        distances = np.linalg.norm(
            np.array([body.colour for body in members])[:, None] - colours, axis=-1)
        assert (distances.argmin(axis=1) == index).all()
    assert len({kind.shape for kind in OBJECT_CLASSES}) >= 4


def test_a_room_type_determines_the_height_and_the_colour_of_its_walls():
    worlds = [World(seed) for seed in range(60)]
    assert {world.room_type.name for world in worlds} == {kind.name for kind in ROOM_TYPES}
    for world in worlds:
        assert world.wall_height == pytest.approx(world.room_type.wall_height, abs=0.05)
        brightest = max(world.wall_colours, key=sum)
        assert brightest == pytest.approx(world.room_type.wall_colour, abs=0.04)


def test_a_scan_of_an_empty_room_measures_its_walls():
    world = empty_world()
    width, depth = world.size
    bearings = np.array([0, math.pi / 2, math.pi, -math.pi / 2, math.atan2(depth - 2, width - 1)])
    ranges, hit = scan(world, 1.0, 2.0, 0.25, bearings)
    corner = math.hypot(width - 1, depth - 2)
    assert ranges == pytest.approx([width - 1, depth - 2, 1, 2, corner])
    assert (hit == -1).all()


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_the_cameras_row_at_the_lidars_height_sees_the_scan(seed):
    """The camera's renderer and the planar scan compute the same ranges in two ways."""
    world = World(seed)
    pose = free_pose(world, np.random.default_rng(seed))
    camera = Pinhole(1, 64, CAMERA.focal_length)  # its only row is horizontal
    depth, _ = measure(world, pose, 0.25, camera)
    _, left = camera.slopes()
    ranges, _ = scan(world, pose.x, pose.y, 0.25, pose.heading + np.arctan(left))
    np.testing.assert_allclose(depth[0] * np.hypot(1, left), ranges, rtol=1e-3)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_what_the_camera_measures_is_the_first_surface_on_its_ray(seed):
    """Marching along every ray hits nothing before the depth, and something at it."""
    world = World(seed)
    pose = free_pose(world, np.random.default_rng(seed))
    depth, _ = measure(world, pose, 0.45, CAMERA)
    up, left = CAMERA.slopes()
    cosine, sine = math.cos(pose.heading), math.sin(pose.heading)
    ahead = np.stack(np.broadcast_arrays(
        cosine - sine * left[None, :], sine + cosine * left[None, :], up[:, None]), axis=-1)
    origin = np.array([pose.x, pose.y, 0.45])
    far = np.minimum(depth, 12.0)

    def solid(t):
        points = origin + t[..., None] * ahead
        outside = (points[..., :2] < 0).any(-1) | (points[..., :2] > world.size).any(-1)
        full = (points[..., 2] < 0) | (outside & (points[..., 2] < world.wall_height))
        for body in world.bodies:
            full |= inside(body, points)
        return full & ~(outside & (points[..., 2] >= world.wall_height))

    for share in np.linspace(0.02, 0.98, 25):
        within = origin + (share * far)[..., None] * ahead
        in_room = ((within[..., :2] > 0) & (within[..., :2] < world.size)).all(-1)
        early = solid(share * far) & in_room & (share * far < far - 0.02)
        assert early.mean() < 0.002  # grazing rays, float32
    hit = np.isfinite(depth)
    assert solid(far + 0.01)[hit].mean() > 0.98  # a ray may leave a thin edge within 1 cm


@pytest.mark.parametrize('kind', OBJECT_CLASSES, ids=lambda kind: kind.name)
def test_an_object_ahead_is_seen_in_its_colour(kind):
    world = empty_world()
    half = kind.radius[0]
    height = 2 * half if kind.shape == 'ball' else kind.height[0]
    body = Body(kind.name, kind.shape, 3.0, 2.0, 0.3, (half, half), height, kind.colour)
    world.objects = world.bodies = (body,)
    image = photograph(world, Pose(1.5, 2.0, 0.0), 0.45, CAMERA)
    without = photograph(empty_world(), Pose(1.5, 2.0, 0.0), 0.45, CAMERA)
    changed = np.abs(image - without).max(axis=-1) > 0.05
    assert changed.sum() >= 40
    seen = image[changed].mean(axis=0)
    cosine = seen @ kind.colour / np.linalg.norm(seen) / np.linalg.norm(kind.colour)
    assert cosine > 0.94


def test_only_objects_that_are_near_and_not_hidden_are_around_the_robot():
    world = empty_world()

    def barrel(x):
        return Body('barrel', 'cylinder', x, 2.0, 0.0, (0.3, 0.3), 0.9, (0.8, 0.1, 0.1))

    near, hidden, far = barrel(2.5), barrel(3.5), barrel(4.9)
    world.bodies = world.objects = (near, hidden)
    assert objects_around(world, Pose(1.0, 2.0, 0.0)) == (near,)
    world.bodies = world.objects = (far,)
    assert objects_around(world, Pose(1.0, 2.0, 0.0)) == ()
    assert objects_around(world, Pose(1.0, 2.0, 0.0), radius=4.0) == (far,)

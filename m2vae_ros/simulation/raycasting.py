# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Where rays meet a world: closed forms, no marching.

Two kinds of rays: a planar fan at one height (a lidar) and the pixels of a level pinhole camera,
for which all pixels of a column share one vertical plane, so that walls, boxes and cylinders cost
one intersection a column.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.simulation.world import Body, LIDAR_HEIGHT, Pose, Reals, World

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]
Image = NDArray[np.float32]  # (rows, columns) or (rows, columns, 3)

_SKY = np.array([0.80, 0.86, 0.92], np.float32)
_SKIRTING_HEIGHT = 0.10
_SKIRTING = np.float32(0.35)  # of the wall's brightness
_HAZE = np.array([0.62, 0.64, 0.66], np.float32)
_HAZE_DISTANCE = 14.0  # m


def _room_exit(world: World, x: float, y: float, directions: Reals) -> tuple[Reals, Indices]:
    """Return for rays (n, 2) from inside of the room where they meet which of its four walls."""
    width, depth = world.size
    towards = np.where(np.abs(directions) < 1e-9, 1e-9, directions)
    along_x = np.where(towards[:, 0] > 0, width - x, -x) / towards[:, 0]
    along_y = np.where(towards[:, 1] > 0, depth - y, -y) / towards[:, 1]
    first_x = along_x < along_y
    wall = np.where(first_x, towards[:, 0] > 0, 2 + (towards[:, 1] > 0))
    return np.where(first_x, along_x, along_y), wall


def _box_crossing(
    body: Body, half_sides: tuple[float, float], x: float, y: float, directions: Reals
) -> tuple[Reals, Reals, Reals]:
    """Return entry, exit (inf, -inf on a miss) and cosine of incidence, for rays (n, 2)."""
    cosine, sine = math.cos(body.yaw), math.sin(body.yaw)
    to_box = np.array([[cosine, sine], [-sine, cosine]])
    origin = to_box @ (x - body.x, y - body.y)
    local = directions @ to_box.T
    local = np.where(np.abs(local) < 1e-9, 1e-9, local)
    sides = np.array(half_sides)
    first = (-sides - np.sign(local) * origin) / np.abs(local)
    last = (sides - np.sign(local) * origin) / np.abs(local)
    enter, leave = first.max(axis=1), last.min(axis=1)
    miss = (enter >= leave) | (leave <= 0)
    face = np.abs(local)[np.arange(len(local)), first.argmax(axis=1)]
    normal = face / np.hypot(directions[:, 0], directions[:, 1])
    return np.where(miss, np.inf, enter), np.where(miss, -np.inf, leave), normal


def _circle_crossing(
    body: Body, radius: float, x: float, y: float, directions: Reals
) -> tuple[Reals, Reals, Reals]:
    """Return entry, exit (inf, -inf on a miss) and cosine of incidence, for rays (n, 2)."""
    to_centre = (body.x - x, body.y - y)
    squared = np.einsum('nc,nc->n', directions, directions)
    ahead = directions @ to_centre
    inside = ahead**2 - squared * (to_centre[0] ** 2 + to_centre[1] ** 2 - radius**2)
    root = np.sqrt(np.maximum(inside, 0))
    miss = (inside <= 0) | (ahead + root <= 0)
    enter = np.where(miss, np.inf, (ahead - root) / squared)
    leave = np.where(miss, -np.inf, (ahead + root) / squared)
    normal = root / (np.sqrt(squared) * max(radius, 1e-9))
    return enter, leave, normal


def _crossing(
    body: Body, half_sides: tuple[float, float], x: float, y: float, directions: Reals
) -> tuple[Reals, Reals, Reals]:
    if body.shape == 'box':
        return _box_crossing(body, half_sides, x, y, directions)
    return _circle_crossing(body, half_sides[0], x, y, directions)


def scan(
    world: World, x: float, y: float, z: float, bearings: Reals
) -> tuple[Reals, Indices]:
    """
    Measure from a point in the free space of a world along level rays.

    Parameters
    ----------
    world
        What is looked at.
    x, y, z
        Where from, metres.
    bearings
        Directions in the map, radians, shape (n,).

    Returns
    -------
    tuple
        Ranges in metres and the indices of the bodies that were hit (-1: a wall of the room),
        each of shape (n,).

    """
    directions = np.stack([np.cos(bearings), np.sin(bearings)], axis=1)
    ranges, _ = _room_exit(world, x, y, directions)
    hit = np.full(len(bearings), -1)
    for index, body in enumerate(world.bodies):
        half_sides = body.half_sides_at(z)
        if half_sides[0] <= 0:
            continue
        enter, _, _ = _crossing(body, half_sides, x, y, directions)
        nearer = enter < ranges
        ranges = np.where(nearer, enter, ranges)
        hit[nearer] = index
    return ranges, hit


def objects_around(world: World, pose: Pose, radius: float = 3.5) -> tuple[Body, ...]:
    """
    Return the objects in the robot's surroundings, in the world's order.

    These are the objects that one of 360 beams around the robot, in the lidar's plane, meets
    first and within the radius (metres).
    """
    bearings = np.linspace(-math.pi, math.pi, 360, endpoint=False)
    ranges, hit = scan(world, pose.x, pose.y, LIDAR_HEIGHT, bearings)
    seen = np.unique(hit[(ranges <= radius) & (hit >= len(world.blocks))])
    return tuple(world.bodies[index] for index in seen)


@dataclass(frozen=True)
class Pinhole:
    """
    A level pinhole camera: its size in pixels and its focal length, the optical axis central.

    With the optical depth t of a pixel, it sees the point `t * (1, slope of its column to the
    left, slope of its row upwards)`.
    """

    rows: int
    columns: int
    focal_length: float  # pixels

    def slopes(self) -> tuple[Reals, Reals]:
        """Return what a row climbs and a column goes to the left for each metre ahead."""
        up = ((self.rows - 1) / 2 - np.arange(self.rows)) / self.focal_length
        left = ((self.columns - 1) / 2 - np.arange(self.columns)) / self.focal_length
        return up, left


@dataclass
class _Canvas:
    """What has been seen so far by each pixel; colour None where only depth is wanted."""

    up: Image  # (rows, 1)
    left: Reals  # (columns,)
    directions: Reals  # (columns, 2), in the map
    reach: Image  # (1, columns), optical depth of the room's walls
    wall: Indices  # (columns,), which of the room's walls
    depth: Image
    incidence: Image
    colour: Image | None = None

    def paint(self, window: slice, t: Image, incidence: Image, seen: Mask, colour: Image) -> None:
        """Paint a surface over the columns of a window where it is seen and the nearest."""
        front = seen & (t < self.depth[:, window])
        np.copyto(self.depth[:, window], t, where=front)
        np.copyto(self.incidence[:, window], incidence, where=front)
        if self.colour is not None:
            np.copyto(self.colour[:, window], colour, where=front[..., None])


def photograph(world: World, pose: Pose, z: float, camera: Pinhole) -> Image:
    """
    Return RGB in 0..1, shape (rows, columns, 3), of a world seen by a level camera.

    Parameters
    ----------
    world
        What is looked at.
    pose, z
        The camera's place in the map and its height; it looks along the heading.
    camera
        Its size and focal length.

    """
    canvas = _look_at_room(world, pose, z, camera)
    colour = canvas.colour = _room_colours(world, pose, z, canvas)
    _look_at_bodies(world, pose, z, canvas)
    colour *= (0.45 + 0.55 * canvas.incidence)[..., None]
    colour += (_HAZE - colour) * (1 - np.exp(canvas.depth / -_HAZE_DISTANCE))[..., None]
    colour[np.isinf(canvas.depth)] = _SKY
    return colour


def measure(world: World, pose: Pose, z: float, camera: Pinhole) -> tuple[Image, Image]:
    """
    Return optical depth (metres, inf where nothing is met) and cosine of incidence by pixel.

    The parameters are those of `photograph`.
    """
    canvas = _look_at_room(world, pose, z, camera)
    _look_at_bodies(world, pose, z, canvas)
    return canvas.depth, canvas.incidence


def _look_at_room(world: World, pose: Pose, z: float, camera: Pinhole) -> _Canvas:
    """Begin a canvas with floor, walls and what is above them."""
    up_slopes, left = camera.slopes()
    up = up_slopes.astype(np.float32)[:, None]
    cosine, sine = math.cos(pose.heading), math.sin(pose.heading)
    directions = np.stack([cosine - sine * left, sine + cosine * left], axis=1)
    exits, wall = _room_exit(world, pose.x, pose.y, directions)
    reach = exits.astype(np.float32)[None, :]
    floor = _floor_depth(z, up)
    over = np.where(z + reach * up > world.wall_height, np.float32(np.inf), reach)
    facing = np.abs(np.where(wall < 2, directions[:, 0], directions[:, 1]))
    facing /= np.hypot(directions[:, 0], directions[:, 1])
    down = np.broadcast_to(-up / np.hypot(1, up), over.shape)
    incidence = np.where(floor < reach, down, facing.astype(np.float32))
    return _Canvas(up, left, directions, reach, wall, np.minimum(floor, over), incidence)


def _floor_depth(z: float, up: Image) -> Image:
    """Return the floor's optical depth by row, inf from the horizon upwards."""
    return np.where(up < 0, np.float32(-z) / np.minimum(up, np.float32(-1e-9)), np.float32(np.inf))


def _room_colours(world: World, pose: Pose, z: float, canvas: _Canvas) -> Image:
    """Return the unlit colours of walls and floor, (rows, columns, 3)."""
    inwards = np.array([0, math.pi, math.pi / 2, -math.pi / 2])
    light = 1 + 0.08 * np.cos(world.light - inwards)
    walls = (np.array(world.wall_colours) * light[:, None])[canvas.wall].astype(np.float32)
    skirting = z + canvas.reach * canvas.up < _SKIRTING_HEIGHT
    colour = np.where(skirting[..., None], _SKIRTING * walls, walls)
    below = canvas.up[:, 0] < 0
    t = np.minimum(_floor_depth(z, canvas.up[below]), canvas.reach)
    x, y = canvas.directions.astype(np.float32).T
    shade = world.floor_shade(pose.x + t * x, pose.y + t * y)
    floor = np.array(world.floor_colour, np.float32) * shade[..., None]
    colour[below] = np.where((t < canvas.reach)[..., None], floor, colour[below])
    return colour


def _look_at_bodies(world: World, pose: Pose, z: float, canvas: _Canvas) -> None:
    for body in world.bodies:
        window = _columns_of(body, pose, canvas.left)
        if window.start < window.stop:
            if body.shape in ('box', 'cylinder'):
                _look_at_prism(body, pose, z, canvas, window)
            else:
                _look_at_curved(body, pose, z, canvas, window)


def _columns_of(body: Body, pose: Pose, left: Reals) -> slice:
    """Return the columns in which a body may be seen."""
    x, y = body.x - pose.x, body.y - pose.y
    cosine, sine = math.cos(pose.heading), math.sin(pose.heading)
    ahead, aside = cosine * x + sine * y, cosine * y - sine * x
    distance, radius = math.hypot(ahead, aside), body.radius
    if ahead + radius < 0:
        return slice(0, 0)
    if distance <= 1.05 * radius:
        return slice(0, len(left))
    azimuth, half = math.atan2(aside, ahead), math.asin(radius / distance)
    if abs(azimuth) - half >= math.pi / 2:
        return slice(0, 0)
    leftmost = math.tan(min(azimuth + half, 1.55))
    rightmost = math.tan(max(azimuth - half, -1.55))
    first = np.searchsorted(-left, -leftmost)
    return slice(int(first), int(np.searchsorted(-left, -rightmost, side='right')))


def _look_at_prism(body: Body, pose: Pose, z: float, canvas: _Canvas, window: slice) -> None:
    """Paint the side and the top of a box or a cylinder."""
    crossing = _crossing(body, body.half_sides, pose.x, pose.y, canvas.directions[window])
    enter, leave, normal = (part.astype(np.float32)[None, :] for part in crossing)
    with np.errstate(invalid='ignore'):  # a level ray that misses: inf * 0
        height = z + enter * canvas.up
    colour = np.array(body.colour, np.float32)
    seen = (height >= 0) & (height <= body.height)
    paint: Image = colour
    if body.class_name == 'wall':
        paint = np.where((height < _SKIRTING_HEIGHT)[..., None], _SKIRTING * colour, colour)
    t = np.broadcast_to(enter, height.shape)
    canvas.paint(window, t, np.broadcast_to(normal, height.shape), seen, paint)
    if body.height < z:
        top = np.broadcast_to(_floor_depth(z - body.height, canvas.up), height.shape)
        steep = np.broadcast_to(-canvas.up / np.hypot(1, canvas.up), height.shape)
        canvas.paint(window, top, steep, (top > enter) & (top < leave), colour)


def _look_at_curved(body: Body, pose: Pose, z: float, canvas: _Canvas, window: slice) -> None:
    """Paint a ball or a cone, pixel by pixel."""
    directions = canvas.directions[window]
    to_centre = np.array([body.x - pose.x, body.y - pose.y])
    ahead = (directions @ to_centre).astype(np.float32)[None, :]
    squared = np.einsum('nc,nc->n', directions, directions).astype(np.float32)[None, :]
    up, radius = canvas.up, body.half_sides[0]
    distance = float(to_centre @ to_centre)
    if body.shape == 'ball':
        rise = radius - z
        a = squared + up**2
        b = ahead + rise * up
        c = distance + rise**2 - radius**2
    else:  # |horizontal offset| = slope * (height - z): a cone around the vertical
        slope, below_tip = radius / body.height, body.height - z
        a = squared - (slope * up) ** 2
        b = ahead - slope**2 * below_tip * up
        c = distance - (slope * below_tip) ** 2
    inside = b**2 - a * c
    root = np.sqrt(np.maximum(inside, 0))
    t = (b - root) / a
    height = z + t * up
    seen = (inside > 0) & (t > 0) & (height >= 0) & (height <= body.height)
    length = np.sqrt(squared + up**2)
    if body.shape == 'ball':
        incidence = root / (length * radius)
    else:
        lateral = np.maximum(slope * (body.height - height), 1e-6)
        radial = (ahead - t * squared) / lateral  # direction against the horizontal normal
        incidence = np.clip((radial - slope * up) / (length * math.hypot(1, slope)), 0, 1)
    colour = np.array(body.colour, np.float32)
    canvas.paint(window, t, incidence.astype(np.float32), seen, colour)

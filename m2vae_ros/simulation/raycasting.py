# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Where rays meet a world, in closed form.

There are two kinds of rays: a fan in the horizontal plane of a lidar, and the pixels of a level
pinhole camera. All pixels of a column of the latter share a vertical plane, so walls, boxes and
cylinders cost one intersection a column.
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
_SKIRTING_HEIGHT = 0.10  # m, of the dark skirting board along the walls
_SKIRTING = np.float32(0.35)  # its brightness, relative to the wall's
_HAZE = np.array([0.62, 0.64, 0.66], np.float32)
_HAZE_DISTANCE = 14.0  # m


def _room_exit(world: World, x: float, y: float, directions: Reals) -> tuple[Reals, Indices]:
    """Return distance and index of the wall that each ray (n, 2) from inside the room hits."""
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
    entry, exit_ = first.max(axis=1), last.min(axis=1)
    miss = (entry >= exit_) | (exit_ <= 0)
    face = np.abs(local)[np.arange(len(local)), first.argmax(axis=1)]
    normal = face / np.hypot(directions[:, 0], directions[:, 1])
    return np.where(miss, np.inf, entry), np.where(miss, -np.inf, exit_), normal


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
    entry = np.where(miss, np.inf, (ahead - root) / squared)
    exit_ = np.where(miss, -np.inf, (ahead + root) / squared)
    normal = root / (np.sqrt(squared) * max(radius, 1e-9))
    return entry, exit_, normal


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
    Measure ranges along horizontal rays, from a point in the free space of a world.

    Parameters
    ----------
    world
        The world to measure in.
    x, y, z
        The point, metres.
    bearings
        Directions in the map, radians, ``(n,)``.

    Returns
    -------
    ranges
        Metres, ``(n,)``.
    hit
        Indices of the bodies that were hit, -1 for a wall of the room, ``(n,)``.

    """
    directions = np.stack([np.cos(bearings), np.sin(bearings)], axis=1)
    ranges, _ = _room_exit(world, x, y, directions)
    hit = np.full(len(bearings), -1)
    for index, body in enumerate(world.bodies):
        half_sides = body.half_sides_at(z)
        if half_sides[0] <= 0:
            continue
        entry, _, _ = _crossing(body, half_sides, x, y, directions)
        nearer = entry < ranges
        ranges = np.where(nearer, entry, ranges)
        hit[nearer] = index
    return ranges, hit


def objects_around(world: World, pose: Pose, radius: float = 3.5) -> tuple[Body, ...]:
    """
    Return the objects around the robot, in the world's order.

    An object is around the robot if one of 360 beams, in the lidar's plane, hits it first and
    within the radius (metres).
    """
    bearings = np.linspace(-math.pi, math.pi, 360, endpoint=False)
    ranges, hit = scan(world, pose.x, pose.y, LIDAR_HEIGHT, bearings)
    seen = np.unique(hit[(ranges <= radius) & (hit >= len(world.blocks))])
    return tuple(world.bodies[index] for index in seen)


@dataclass(frozen=True)
class Pinhole:
    """
    A level pinhole camera, its optical axis through the image's centre.

    A pixel with optical depth t sees the point `t * (1, left, up)`, forward, left and up of the
    camera, where `left` and `up` are the slopes of its column and its row.
    """

    rows: int
    columns: int
    focal_length: float  # pixels

    def slopes(self) -> tuple[Reals, Reals]:
        """Return the slopes: metres up of each row, and left of each column, a metre ahead."""
        up = ((self.rows - 1) / 2 - np.arange(self.rows)) / self.focal_length
        left = ((self.columns - 1) / 2 - np.arange(self.columns)) / self.focal_length
        return up, left


@dataclass
class _Canvas:
    """What each pixel has seen so far; colour is None if only depth is measured."""

    up: Image  # (rows, 1)
    left: Reals  # (columns,)
    directions: Reals  # (columns, 2), in the map
    reach: Image  # (1, columns), optical depth of the room's wall
    wall: Indices  # (columns,), which of the room's walls
    depth: Image
    incidence: Image
    colour: Image | None = None

    def paint(self, window: slice, t: Image, incidence: Image, seen: Mask, colour: Image) -> None:
        """Paint a surface over a window of columns, where it is seen and nearer than the rest."""
        front = seen & (t < self.depth[:, window])
        np.copyto(self.depth[:, window], t, where=front)
        np.copyto(self.incidence[:, window], incidence, where=front)
        if self.colour is not None:
            np.copyto(self.colour[:, window], colour, where=front[..., None])


def photograph(world: World, pose: Pose, z: float, camera: Pinhole) -> Image:
    """
    Return the image of a world by a level camera, RGB in 0..1, ``(rows, columns, 3)``.

    Parameters
    ----------
    world
        The world to look at.
    pose, z
        The camera's pose in the map and its height, metres; it looks along the heading.
    camera
        The camera.

    """
    canvas = _render_room(world, pose, z, camera)
    colour = canvas.colour = _room_colours(world, pose, z, canvas)
    _render_bodies(world, pose, z, canvas)
    colour *= (0.45 + 0.55 * canvas.incidence)[..., None]
    colour += (_HAZE - colour) * (1 - np.exp(canvas.depth / -_HAZE_DISTANCE))[..., None]
    colour[np.isinf(canvas.depth)] = _SKY
    return colour


def measure(world: World, pose: Pose, z: float, camera: Pinhole) -> tuple[Image, Image]:
    """
    Return each pixel's optical depth (metres, inf where nothing is hit) and cosine of incidence.

    The parameters are those of `photograph`.
    """
    canvas = _render_room(world, pose, z, camera)
    _render_bodies(world, pose, z, canvas)
    return canvas.depth, canvas.incidence


def _render_room(world: World, pose: Pose, z: float, camera: Pinhole) -> _Canvas:
    """Return a canvas with floor and walls, and depth inf above the walls."""
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
    """Return the floor's optical depth in each row, inf from the horizon upwards."""
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


def _render_bodies(world: World, pose: Pose, z: float, canvas: _Canvas) -> None:
    for body in world.bodies:
        window = _columns_of(body, pose, canvas.left)
        if window.start < window.stop:
            if body.shape in ('box', 'cylinder'):
                _render_prism(body, pose, z, canvas, window)
            else:
                _render_curved(body, pose, z, canvas, window)


def _columns_of(body: Body, pose: Pose, left: Reals) -> slice:
    """Return the columns in which a body can be seen."""
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


def _render_prism(body: Body, pose: Pose, z: float, canvas: _Canvas, window: slice) -> None:
    """Paint the side and the top of a box or a cylinder."""
    crossing = _crossing(body, body.half_sides, pose.x, pose.y, canvas.directions[window])
    entry, exit_, normal = (part.astype(np.float32)[None, :] for part in crossing)
    with np.errstate(invalid='ignore'):  # a horizontal ray that misses: inf * 0
        height = z + entry * canvas.up
    colour = np.array(body.colour, np.float32)
    seen = (height >= 0) & (height <= body.height)
    paint: Image = colour
    if body.class_name == 'wall':
        paint = np.where((height < _SKIRTING_HEIGHT)[..., None], _SKIRTING * colour, colour)
    t = np.broadcast_to(entry, height.shape)
    canvas.paint(window, t, np.broadcast_to(normal, height.shape), seen, paint)
    if body.height < z:
        top = np.broadcast_to(_floor_depth(z - body.height, canvas.up), height.shape)
        steep = np.broadcast_to(-canvas.up / np.hypot(1, canvas.up), height.shape)
        canvas.paint(window, top, steep, (top > entry) & (top < exit_), colour)


def _render_curved(body: Body, pose: Pose, z: float, canvas: _Canvas, window: slice) -> None:
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
        radial = (ahead - t * squared) / lateral  # the ray against the horizontal normal
        incidence = np.clip((radial - slope * up) / (length * math.hypot(1, slope)), 0, 1)
    colour = np.array(body.colour, np.float32)
    canvas.paint(window, t, incidence.astype(np.float32), seen, colour)

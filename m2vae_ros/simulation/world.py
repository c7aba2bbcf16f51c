# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
A small indoor world: one room with walls and objects of a few classes, made from a seed.

Metres and radians, z up, the floor at z = 0. An object's class determines its shape, size and
colour, up to small jitter, and a room's type its size, the height of its walls and its colours. So
what one sensor sees tells something about what the others see.
"""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.floating[Any]]
Colour = tuple[float, float, float]

LIDAR_HEIGHT = 0.25  # m, of the lidar's plane
MIN_GAP = 0.75  # m, between two objects, or an object and a wall, for the robot to pass


class Pose(NamedTuple):
    """A pose in the map: metres, and radians counter-clockwise from the x axis."""

    x: float
    y: float
    heading: float


@dataclass(frozen=True)
class ObjectClass:
    """A class of objects: its shape, its ranges of sizes in metres, its colour."""

    name: str
    shape: str  # 'cylinder', 'box', 'cone' or 'ball'
    radius: tuple[float, float]  # of a box: half of its longer side
    height: tuple[float, float]
    colour: Colour  # RGB in 0..1


OBJECT_CLASSES = (
    ObjectClass('pole', 'cylinder', (0.05, 0.07), (1.35, 1.65), (0.95, 0.82, 0.10)),
    ObjectClass('barrel', 'cylinder', (0.29, 0.36), (0.80, 0.95), (0.78, 0.10, 0.10)),
    ObjectClass('crate', 'box', (0.32, 0.42), (0.33, 0.40), (0.12, 0.25, 0.80)),
    ObjectClass('cabinet', 'box', (0.24, 0.30), (1.15, 1.35), (0.08, 0.48, 0.20)),
    ObjectClass('cone', 'cone', (0.30, 0.36), (0.70, 0.82), (1.00, 0.48, 0.05)),
    ObjectClass('ball', 'ball', (0.29, 0.36), (0.0, 0.0), (0.62, 0.15, 0.65)),
)


@dataclass(frozen=True)
class Body:
    """A solid that stands on the floor: an object, or a block of the walls."""

    class_name: str
    shape: str
    x: float
    y: float
    yaw: float  # of a box: the direction of its first side
    half_sides: tuple[float, float]  # of a round body: its radius, twice
    height: float
    colour: Colour

    @property
    def radius(self) -> float:
        """Radius of the circle around the footprint, metres."""
        return math.hypot(*self.half_sides) if self.shape == 'box' else self.half_sides[0]

    def half_sides_at(self, z: float) -> tuple[float, float]:
        """Half sides (round: the radius, twice) of the cross-section at height z; 0 above it."""
        if not 0 <= z <= self.height:
            return 0.0, 0.0
        scale = 1.0
        if self.shape == 'cone':
            scale = 1.0 - z / self.height
        elif self.shape == 'ball':
            scale = math.sqrt(max(0.0, 1.0 - (z / self.half_sides[0] - 1.0) ** 2))
        return self.half_sides[0] * scale, self.half_sides[1] * scale

    def distance(self, points: Reals) -> Reals:
        """Horizontal distance of points (..., 2) to the footprint; negative inside."""
        offset = points - (self.x, self.y)
        distance: Reals = np.hypot(offset[..., 0], offset[..., 1])
        if self.shape != 'box':
            return distance - self.half_sides[0]
        cosine, sine = math.cos(self.yaw), math.sin(self.yaw)
        along = np.abs(cosine * offset[..., 0] + sine * offset[..., 1]) - self.half_sides[0]
        across = np.abs(cosine * offset[..., 1] - sine * offset[..., 0]) - self.half_sides[1]
        distance = np.hypot(np.maximum(along, 0), np.maximum(across, 0))
        distance += np.minimum(np.maximum(along, across), 0)
        return distance


_CELL = 0.04  # m, size of a cell of the grids of `clearance_near` and `floor_shade`


@dataclass(frozen=True)
class RoomType:
    """A type of room: ranges of its shorter and longer side in metres, its walls, its floor."""

    name: str
    shorter: tuple[float, float]
    longer: tuple[float, float]
    wall_height: float
    wall_colour: Colour
    floor_colour: Colour


ROOM_TYPES = (
    RoomType('store', (5.0, 6.0), (5.0, 6.0), 1.05, (0.84, 0.44, 0.33), (0.78, 0.68, 0.56)),
    RoomType('gallery', (5.0, 6.0), (7.6, 9.0), 1.40, (0.92, 0.82, 0.52), (0.58, 0.47, 0.40)),
    RoomType('hall', (7.4, 8.6), (7.4, 8.6), 1.80, (0.30, 0.44, 0.62), (0.46, 0.47, 0.50)),
)


def _jitter(rng: np.random.Generator, colour: Reals | Colour, amount: float) -> Colour:
    red, green, blue = np.clip(np.asarray(colour) + rng.uniform(-amount, amount, 3), 0, 1)
    return float(red), float(green), float(blue)


class World:
    """
    A room, 5 to 9 m a side, with 5 to 8 objects where they fit, determined by its seed.

    The room is the rectangle from (0, 0) to `size`. A block as high as the walls may fill a corner
    (so the room is an L), reach into the room as an interior wall, or stand in it as a pillar.

    Parameters
    ----------
    seed
        Non-negative; the same seed makes the same world on every machine.

    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        rng = np.random.default_rng([seed, 1])
        self.room_type = ROOM_TYPES[rng.integers(len(ROOM_TYPES))]
        sides = [rng.uniform(*self.room_type.shorter), rng.uniform(*self.room_type.longer)]
        width, depth = (float(side) for side in rng.permutation(sides))
        self.size = (width, depth)
        self.wall_height = self.room_type.wall_height + float(rng.uniform(-0.04, 0.04))
        self.floor_colour = _jitter(rng, self.room_type.floor_colour, 0.03)
        # Walls at x = 0, x = width, y = 0, y = depth; the shorter ones of a gallery are darker.
        along_x = along_y = 1.0
        if self.room_type.name == 'gallery':
            along_x, along_y = (1.0, 0.75) if width > depth else (0.75, 1.0)
        walls = np.array(self.room_type.wall_colour)
        self.wall_colours = tuple(
            _jitter(rng, walls * shade, 0.03) for shade in (along_y, along_y, along_x, along_x)
        )
        self.light = float(rng.uniform(-math.pi, math.pi))  # direction that the light comes from
        self.blocks = self._place_block(rng, _jitter(rng, walls * 0.85, 0.03))
        self.objects = self._place_objects(rng)
        self.bodies = self.blocks + self.objects
        columns, rows = (np.arange(-0.5, side + 0.5, _CELL) for side in self.size)
        grid = np.stack(np.meshgrid(columns, rows), axis=-1)
        self._clearance = self.clearance(grid)
        self._shade = (0.55 + 0.45 * np.clip(self._clearance / 0.35, 0, 1)).astype(np.float32)

    def _place_block(self, rng: np.random.Generator, colour: Colour) -> tuple[Body, ...]:
        kind = rng.choice(['none', 'corner', 'wall', 'pillar'], p=[0.25, 0.3, 0.3, 0.15])
        (width, depth), out = self.size, 0.5  # blocks at a wall reach out of the room by this
        if kind == 'none':
            return ()
        if kind == 'pillar':
            x, y = rng.uniform(0.35, 0.65, 2) * self.size
            half_x = half_y = float(rng.uniform(0.2, 0.3))
        else:
            share = rng.uniform(0.25, 0.45, 2)
            if kind == 'wall':  # thin, from one of the room's walls into the room
                length, half = float(rng.uniform(0.3, 0.5)), 0.1
                if rng.random() < 0.5:
                    half_x, half_y = half, (length * depth + out) / 2
                    x, y = float(rng.uniform(0.35, 0.65)) * width, length * depth - half_y
                else:
                    half_x, half_y = (length * width + out) / 2, half
                    x, y = length * width - half_x, float(rng.uniform(0.35, 0.65)) * depth
            else:
                half_x, half_y = (share * self.size + out) / 2
                x, y = share * self.size - (half_x, half_y)
            if rng.random() < 0.5:
                x = width - x
            if rng.random() < 0.5:
                y = depth - y
        sides = (float(half_x), float(half_y))
        return (Body('wall', 'box', float(x), float(y), 0.0, sides, self.wall_height, colour),)

    def _place_objects(self, rng: np.random.Generator) -> tuple[Body, ...]:
        count = int(rng.integers(5, 9))
        placed: list[Body] = []
        for _ in range(60 * count):
            body = self._propose(rng)
            centre = np.array([body.x, body.y])
            to_walls = float(self._distance_to_walls(centre)) - body.radius
            if not (-0.02 <= to_walls <= 0.15 or to_walls >= MIN_GAP):
                continue
            gaps = [float(other.distance(centre)) - body.radius for other in placed]
            if min(gaps, default=MIN_GAP) >= MIN_GAP:
                placed.append(body)
            if len(placed) == count:
                break
        return tuple(placed)

    def _propose(self, rng: np.random.Generator) -> Body:
        kind = OBJECT_CLASSES[rng.integers(len(OBJECT_CLASSES))]
        half = float(rng.uniform(*kind.radius))
        ratio = float(rng.uniform(0.7, 0.95)) if kind.shape == 'box' else 1.0
        sides = (half, half * ratio)
        height = 2 * half if kind.shape == 'ball' else float(rng.uniform(*kind.height))
        yaw = float(rng.uniform(-math.pi, math.pi))
        x, y = (float(value) for value in rng.uniform(0, self.size))
        if rng.random() < 0.3:  # against a wall
            reach = (math.hypot(*sides) if kind.shape == 'box' else half) + 0.05
            if rng.random() < 0.5:
                x = reach if x < self.size[0] / 2 else self.size[0] - reach
            else:
                y = reach if y < self.size[1] / 2 else self.size[1] - reach
        colour = _jitter(rng, kind.colour, 0.05)
        return Body(kind.name, kind.shape, x, y, yaw, sides, height, colour)

    def _distance_to_walls(self, points: Reals) -> Reals:
        width, depth = self.size
        x, y = points[..., 0], points[..., 1]
        nearest: Reals = np.minimum(np.minimum(x, width - x), np.minimum(y, depth - y))
        for block in self.blocks:
            nearest = np.minimum(nearest, block.distance(points))
        return nearest

    def clearance(self, points: Reals) -> Reals:
        """Distance of points (..., 2) to the nearest wall or object; negative inside."""
        nearest = self._distance_to_walls(points)
        for body in self.objects:
            nearest = np.minimum(nearest, body.distance(points))
        return nearest

    def _cells(self, x: Reals, y: Reals) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        rows, columns = self._clearance.shape
        column = ((x + (0.5 + _CELL / 2)) * (1 / _CELL)).astype(np.int32)
        row = ((y + (0.5 + _CELL / 2)) * (1 / _CELL)).astype(np.int32)
        return np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1)

    def clearance_near(self, x: Reals, y: Reals) -> Reals:
        """Return `clearance` from a lookup in a grid: never more than it, up to 6 cm less."""
        looked_up: Reals = self._clearance[self._cells(x, y)]
        return looked_up - 0.03

    def floor_shade(self, x: Reals, y: Reals) -> NDArray[np.float32]:
        """Return how bright the floor is, 0..1: darker next to walls and objects."""
        return self._shade[self._cells(x, y)]

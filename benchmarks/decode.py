# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Measure the time of decoding beside that of the array operations that it cannot do without.

A cloud is compared with one ``np.isfinite`` and one ``np.arctan2`` over it, an image with one
``cv2.resize`` to the model's size by area. All calls are measured in turn and the medians taken,
so that the ratios hold on a busy machine.

    python benchmarks/decode.py
"""

from __future__ import annotations

from collections.abc import Callable
import statistics
import time
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from m2vae_ros.sensors.kinds import decode
from m2vae_ros.specs import SensorSpec

ROUNDS = 200
CAMERA = SensorSpec('camera', 'image', 'camera/image_raw', 'camera_optical_frame', (3, 48, 64))
LIDAR = SensorSpec(
    'lidar', 'laser_scan', 'scan', 'laser', (180,),
    {'angle_min': -np.pi, 'angle_max': np.pi, 'range_min': 0.1, 'range_max': 10.0},
)


def range_image(shape: tuple[int, int], axes: str) -> SensorSpec:
    """Return the spec of a spinning LiDAR (body axes) or of a depth camera (optical axes)."""
    azimuth, low, high = (np.pi, -0.44, 0.06) if axes == 'body' else (0.57, -0.45, 0.45)
    geometry = {
        'azimuth_min': -azimuth, 'azimuth_max': azimuth, 'elevation_min': low,
        'elevation_max': high, 'range_min': 0.2, 'range_max': 100.0, 'axes': axes,
    }
    return SensorSpec('depth', 'point_cloud', 'depth/points', 'frame', shape, geometry)


def message(**fields: Any) -> SimpleNamespace:
    """Return an object with a message's fields."""
    header = SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=0), frame_id='frame')
    return SimpleNamespace(header=header, **fields)


def cloud(points: NDArray[np.float32]) -> SimpleNamespace:
    """Return a cloud message of points (rows, columns, 4) of x, y, z, intensity."""
    rows, columns, _ = points.shape
    fields = [
        SimpleNamespace(name=name, offset=4 * i, datatype=7, count=1)
        for i, name in enumerate(('x', 'y', 'z', 'intensity'))
    ]
    return message(
        height=rows, width=columns, fields=fields, is_bigendian=False, point_step=16,
        row_step=16 * columns, data=points.tobytes(),
    )


def spinning(rings: int, points: int) -> NDArray[np.float32]:
    """Return the points of a spinning LiDAR in a wavy round room, ring by ring, (1, points, 4)."""
    rng = np.random.default_rng(0)
    elevation, azimuth = np.meshgrid(
        np.linspace(0.035, -0.43, rings), np.linspace(np.pi, -np.pi, points), indexing='ij'
    )
    distance = np.minimum(20 + 3 * np.sin(5 * azimuth), 1.7 / np.maximum(-elevation, 1e-3))
    distance = distance * rng.normal(1, 0.005, distance.shape)
    return np.stack([
        distance * np.cos(elevation) * np.cos(azimuth),
        distance * np.cos(elevation) * np.sin(azimuth),
        distance * np.sin(elevation),
        np.ones_like(distance),
    ], axis=-1).reshape(1, -1, 4).astype(np.float32)


def depth_camera(rows: int, columns: int) -> NDArray[np.float32]:
    """Return the organised points of a depth camera that sees a wavy wall above a floor."""
    v, u = np.mgrid[:rows, :columns]
    right, down = (u / columns - 0.5) * 1.2, (v / rows - 0.5) * 0.9
    depth = np.minimum(4 + np.sin(8 * right), 1.0 / np.maximum(down, 1e-3))
    return np.stack([depth * right, depth * down, depth, depth], axis=-1).astype(np.float32)


def medians(*calls: Callable[[], Any]) -> list[float]:
    """Return the median time of each call in microseconds; the calls take turns."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, seconds in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
    return [1e6 * statistics.median(seconds) for seconds in times]


def report_clouds() -> None:
    """Print a line per cloud: beside operations over the message, and over separate columns."""
    print(f'{"cloud":34}{"decode us":>10}{"over it us":>12}{"ratio":>7}{"in columns us":>15}'
          f'{"ratio":>7}')
    shuffled = np.random.default_rng(1).permutation(spinning(64, 1782), axis=1)
    for name, points, shape, axes in (
        ('114048 points, ring by ring', spinning(64, 1782), (16, 128), 'body'),
        ('114048 points, ring by ring', spinning(64, 1782), (64, 512), 'body'),
        ('114048 points, shuffled', shuffled, (16, 128), 'body'),
        ('640 x 480 organised', depth_camera(480, 640), (12, 64), 'optical'),
        ('640 x 480 organised', depth_camera(480, 640), (48, 64), 'optical'),
        ('80 x 60 organised', depth_camera(60, 80), (12, 64), 'optical'),
    ):
        spec, msg = range_image(shape, axes), cloud(points)
        flat = np.frombuffer(msg.data, np.float32).reshape(-1, 4)
        x, y, xyz = flat[:, 0].copy(), flat[:, 1].copy(), flat[:, :3].copy()
        decoding, finite, angle, xyz_finite, xy_angle = medians(
            lambda s=spec, m=msg: decode(s, m),
            lambda p=flat: np.isfinite(p),
            lambda p=flat: np.arctan2(p[:, 1], p[:, 0]),
            lambda p=xyz: np.isfinite(p),
            lambda x=x, y=y: np.arctan2(y, x),
        )
        title = f'{name} -> {shape[0]} x {shape[1]}'
        over_it, in_columns = finite + angle, xyz_finite + xy_angle
        print(f'{title:34}{decoding:10.0f}{over_it:12.0f}{decoding / over_it:7.2f}'
              f'{in_columns:15.0f}{decoding / in_columns:7.2f}')


def report_images() -> None:
    """Print a line per encoding of a VGA image."""
    print(f'\n{"VGA image -> 48 x 64":34}{"decode us":>10}{"resize us":>12}{"ratio":>7}')
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (480, 640, 4), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 5)
    for name, channels in (('rgb8', 3), ('bgr8', 3), ('rgba8', 4), ('mono8', 1)):
        pixels = np.ascontiguousarray(smooth[..., :channels].squeeze())
        msg = message(
            height=480, width=640, encoding=name, is_bigendian=0, step=640 * channels,
            data=pixels.tobytes(),
        )
        print_image(name, msg, pixels)
    for extension, name in (('.jpg', 'jpeg'), ('.png', 'png')):
        encoded = cv2.imencode(extension, smooth[..., :3])[1]
        msg = message(format=name, data=encoded.tobytes())
        print_image(name, msg, np.ascontiguousarray(smooth[..., :3]))


def print_image(name: str, msg: SimpleNamespace, pixels: NDArray[np.uint8]) -> None:
    """Print the line of one image."""
    decoding, resize = medians(
        lambda: decode(CAMERA, msg),
        lambda: cv2.resize(pixels, (64, 48), interpolation=cv2.INTER_AREA),
    )
    print(f'{name:34}{decoding:10.0f}{resize:12.0f}{decoding / resize:7.2f}')


def report_scan() -> None:
    """Print the time of one scan."""
    ranges = np.random.default_rng(0).uniform(0.2, 12, 897).astype(np.float32)
    msg = message(
        angle_min=-np.pi, angle_max=np.pi, angle_increment=0.007, range_min=0.0, range_max=200.0,
        ranges=ranges,
    )
    (decoding,) = medians(lambda: decode(LIDAR, msg))
    print(f'\n{"scan of 897 beams -> 180":34}{decoding:10.0f}')


if __name__ == '__main__':
    report_clouds()
    report_images()
    report_scan()

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Messages of cameras, scanners and lidars, made for tests."""

from __future__ import annotations

from math import cos, pi, sin

import numpy as np

from m2vae_ros.bags.writer import BagWriter
from support.bag_files import CLASSES, START_NS


def write(path, topics):
    """Write a bag of ten messages a topic; topics: name -> (type, function of the stamp)."""
    with BagWriter(path) as writer:
        for topic, (kind, _) in topics.items():
            writer.add_topic(topic, kind)
        for index in range(10):
            now = START_NS + index * 100_000_000
            for topic, (_, message_at) in topics.items():
                writer.write(topic, now, message_at(now))
    return path


def header(now, frame='frame'):
    sec, nanosec = divmod(now, 10**9)
    return CLASSES.Header(stamp=CLASSES.Time(sec=sec, nanosec=nanosec), frame_id=frame)


def image(height, width, encoding='mono8', pixel=1, frame='cam'):
    """Return a function that makes black images, of ``pixel`` bytes a pixel, at a stamp."""
    return lambda now: CLASSES.Image(
        header=header(now, frame), height=height, width=width, encoding=encoding, is_bigendian=0,
        step=pixel * width, data=np.zeros(height * width * pixel, np.uint8),
    )


def scan(n=181, first=-pi / 2, increment=pi / 180, limits=(0.0, 60.0), stamp=None):
    """Return a function that makes scans of n beams from bearing ``first`` on, at a stamp."""
    return lambda now: CLASSES.LaserScan(
        header=header(now if stamp is None else stamp, 'laser'), angle_min=first,
        angle_max=first + (n - 1) * increment, angle_increment=increment, time_increment=0.0,
        scan_time=0.1, range_min=limits[0], range_max=limits[1],
        ranges=np.linspace(0.6, 4.2, n).astype(np.float32), intensities=np.zeros(0, np.float32),
    )


def cloud(points, frame='velodyne'):
    """Return a function that makes clouds of (n, 3) or (rows, columns, 3) points, at a stamp."""
    points = np.asarray(points, '<f4')
    height, width = points.shape[:2] if points.ndim == 3 else (1, len(points))
    return lambda now: CLASSES.PointCloud2(
        header=header(now, frame), height=height, width=width,
        fields=[CLASSES.PointField(name=name, offset=4 * i, datatype=7, count=1)
                for i, name in enumerate('xyz')],
        is_bigendian=False, point_step=12, row_step=12 * width,
        data=points.reshape(-1).view(np.uint8), is_dense=True,
    )


def rays(elevations, azimuths, distance=5.0):
    """Return a point for each elevation and azimuth (degrees), in body axes, (n, 3)."""
    return distance * np.array([
        [cos(up) * cos(left), cos(up) * sin(left), sin(up)]
        for up in np.radians(elevations) for left in np.radians(azimuths)
    ])

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The shape that fits the images of a camera."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import log
from typing import Any

from m2vae_ros.bags.proposed_geometry import CELLS, Layout, SIZE_MULTIPLE, UnusableTopic
from m2vae_ros.sensors.compressed_image import decompress
from m2vae_ros.sensors.messages import InvalidMessage

_AREA_WEIGHT = 0.1  # weight of a wrong number of cells; that of wrong proportions is 1
_DEPTH_ENCODINGS = ('16UC1', '32FC1')  # REP-118


def propose_image(messages: Sequence[Any], _: str) -> Layout:
    """Return shape, geometry and remarks for the images of a topic; the frame does not matter."""
    sizes: Counter[tuple[int, int]] = Counter()
    encodings = set()
    failure = None
    for message in messages:
        try:
            height, width = _image_size(message)
            sizes[height, width] += 1
            encodings.add(message.format if hasattr(message, 'format') else message.encoding)
        except InvalidMessage as error:
            failure = error
    if failure and not sizes:
        raise failure
    if encodings & set(_DEPTH_ENCODINGS):
        raise UnusableTopic(
            f'a depth image ({", ".join(sorted(encodings))}): a model reads it as a PointCloud2'
        )
    (height, width), _count = sizes.most_common(1)[0]
    remarks = [f'{width} x {height} pixels, {", ".join(sorted(encodings))}']
    if len(sizes) > 1:
        remarks.append('CAUTION: its images have several sizes: ' + ', '.join(
            f'{columns} x {rows}' for rows, columns in sorted(sizes)
        ))
    return image_shape(height, width), {}, remarks


def _image_size(message: Any) -> tuple[int, int]:
    """Return rows and columns of an image message, compressed or not."""
    if hasattr(message, 'format'):
        pixels, _ = decompress(message)
        return int(pixels.shape[0]), int(pixels.shape[1])
    if message.height < 1 or message.width < 1:
        raise InvalidMessage('empty_image', f'{message.width} x {message.height} pixels')
    return int(message.height), int(message.width)


def image_shape(height: int, width: int) -> tuple[int, int, int]:
    """Return colours, rows and columns for images of this size; they are never enlarged."""
    if height * width <= CELLS:
        return 3, height, width
    candidates = [
        (rows, columns)
        for rows in range(SIZE_MULTIPLE, min(height, CELLS) + 1, SIZE_MULTIPLE)
        for columns in range(SIZE_MULTIPLE, min(width, CELLS) + 1, SIZE_MULTIPLE)
        if rows * columns <= 2 * CELLS
    ] or [(min(height, SIZE_MULTIPLE), min(width, CELLS // SIZE_MULTIPLE))]

    def misfit(size: tuple[int, int]) -> float:
        rows, columns = size
        return (
            abs(log(columns / rows * height / width))
            + _AREA_WEIGHT * abs(log(rows * columns / CELLS))
        )

    return 3, *min(candidates, key=misfit)

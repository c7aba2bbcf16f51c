# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
CompressedImage -> pixels, from jpeg and png.

What the file claims is checked before OpenCV sees it; see `image_file`.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from m2vae_ros.sensors.colour_conversion import mosaic_in
from m2vae_ros.sensors.image_file import check_file, file_kind, MAX_PIXELS, only_pixels
from m2vae_ros.sensors.messages import bytes_of, fields_of, InvalidMessage

# Channel order: the indices of red, green and blue among an image's channels.
RGB, BGR, GREY = (0, 1, 2), (2, 1, 0), (0, 0, 0)

_TYPE = 'sensor_msgs/msg/CompressedImage'
_FLAGS = {'jpeg': cv2.IMREAD_COLOR, 'png': cv2.IMREAD_UNCHANGED}


def decompress(
    message: Any, max_pixels: int = MAX_PIXELS
) -> tuple[NDArray[Any], tuple[int, int, int]]:
    """
    Return the pixels, (rows, columns[, channels]), and their channel order.

    Parameters
    ----------
    message
        The CompressedImage.
    max_pixels
        How many pixels it may have.

    Raises
    ------
    InvalidMessage
        ``message_type``, ``field_type``, ``encoding``, ``data_size``, ``truncated``, ``damaged``,
        ``image_header``, ``image_size`` or ``scans``.

    """
    text, data = fields_of(message, _TYPE, format=str, data=object)
    encoded = bytes_of(_TYPE, data)
    if encoded.size == 0:
        raise InvalidMessage('data_size', 'data is empty: must hold a jpeg or png file')
    content = encoded.tobytes()
    kind = file_kind(content)
    if kind is None:
        raise InvalidMessage(
            'encoding', f'format {text!r}, data starts with {content[:8].hex()}: must be jpeg '
            f'or png'
        )
    check_file(content, max_pixels)
    if kind == 'png':
        encoded = np.frombuffer(only_pixels(content), np.uint8)
    mosaic = mosaic_in(text)
    flags = cv2.IMREAD_UNCHANGED if mosaic else _FLAGS[kind]
    try:
        pixels = cv2.imdecode(encoded, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise InvalidMessage('data_size', f'OpenCV cannot decode {text!r}: {error}') from error
    if pixels is None:
        raise InvalidMessage('truncated', f'OpenCV cannot decode {len(data)} bytes of {text!r}')
    if pixels.ndim == 2 and mosaic:  # where it was compressed in colour, it has channels
        mosaic.check(text, pixels.shape[1], pixels.shape[0])
        return mosaic.to_rgb(pixels), RGB
    if pixels.ndim == 2:
        return pixels, GREY
    # OpenCV decodes to BGR. image_transport names the order of what it compressed:
    # 'rgb8; jpeg compressed bgr8' is standard; in 'rgb8; jpeg compressed rgb8' red and blue are
    # swapped.
    return pixels, RGB if 'compressed rgb' in text else BGR

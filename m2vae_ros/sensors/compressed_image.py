# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
CompressedImage -> pixels, from jpeg and png.

A file of a few hundred bytes may claim an image of gigabytes, so the claimed size is checked
before OpenCV allocates memory for it.
"""

from __future__ import annotations

import re
from typing import Any

import cv2
from numpy.typing import NDArray

from m2vae_ros.sensors.messages import bytes_of, fields_of, InvalidMessage

# Channel order: the indices of red, green and blue among an image's channels.
RGB, BGR, GREY = (0, 1, 2), (2, 1, 0), (0, 0, 0)

_TYPE = 'sensor_msgs/msg/CompressedImage'
_MAX_PIXELS = 2**26  # 8192 x 8192
_JPEG_START, _JPEG_END = b'\xff\xd8', b'\xff\xd9'
_PNG_START, _PNG_END = b'\x89PNG\r\n\x1a\n', b'IEND\xaeB\x60\x82'
# A marker with a length, which includes its own two bytes; what is between markers is skipped.
_JPEG_SEGMENT = re.compile(rb'\xff([\x02-\xcf\xda-\xfe])(..)', re.DOTALL)
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15


def decompress(message: Any) -> tuple[NDArray[Any], tuple[int, int, int]]:
    """
    Return the pixels, (rows, columns[, channels]), and their channel order.

    Raises
    ------
    InvalidMessage
        ``message_type``, ``field_type``, ``encoding``, ``data_size``, ``truncated`` or
        ``image_size``.

    """
    text, data = fields_of(message, _TYPE, format=str, data=object)
    encoded = bytes_of(_TYPE, data)
    if encoded.size == 0:
        raise InvalidMessage('data_size', 'data is empty: must hold a jpeg or png file')
    content = encoded.tobytes()
    if content.startswith(_JPEG_START):
        size, ending, flags = _jpeg_size(content), _JPEG_END, cv2.IMREAD_COLOR
    elif content.startswith(_PNG_START):
        size, ending, flags = _png_size(content), _PNG_END, cv2.IMREAD_UNCHANGED
    else:
        raise InvalidMessage(
            'encoding', f'format {text!r}, data starts with {content[:8].hex()}: must be jpeg '
            f'or png'
        )
    if size is None or not content.rstrip(b'\0').endswith(ending):  # drivers pad with zeros
        raise InvalidMessage(
            'truncated', f'{len(data)} bytes of {text!r} lack the image size or the end of the '
            f'file: must be a whole file'
        )
    if not 0 < size[0] * size[1] <= _MAX_PIXELS:
        raise InvalidMessage(
            'image_size', f'{size[0]} x {size[1]} pixels: must be 1 to {_MAX_PIXELS}'
        )
    try:
        pixels = cv2.imdecode(encoded, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise InvalidMessage('data_size', f'OpenCV cannot decode {text!r}: {error}') from error
    if pixels is None:
        raise InvalidMessage('truncated', f'OpenCV cannot decode {len(data)} bytes of {text!r}')
    if pixels.ndim == 2:
        return pixels, GREY
    # OpenCV decodes to BGR. image_transport names the order of what it compressed:
    # 'rgb8; jpeg compressed bgr8' is standard; in 'rgb8; jpeg compressed rgb8' red and blue are
    # swapped.
    return pixels, RGB if 'compressed rgb' in text else BGR


def _png_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height of a png; their place is fixed (PNG specification, 11.2.2)."""
    if len(content) < 24 or content[12:16] != b'IHDR':
        return None
    return int.from_bytes(content[16:20], 'big'), int.from_bytes(content[20:24], 'big')


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height of a jpeg, from its first frame header (ITU-T T.81, B.2.2)."""
    position = len(_JPEG_START)
    while segment := _JPEG_SEGMENT.search(content, position):
        if segment[1][0] in _JPEG_FRAMES:
            header = content[segment.end():segment.end() + 5]
            if len(header) < 5:
                return None
            return int.from_bytes(header[3:5], 'big'), int.from_bytes(header[1:3], 'big')
        position = segment.start(2) + int.from_bytes(segment[2], 'big')
    return None

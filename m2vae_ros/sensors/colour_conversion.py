# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Bayer and YUV images -> RGB by OpenCV: encodings of sensor_msgs whose samples are no colours."""

from __future__ import annotations

from dataclasses import dataclass
import re
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from m2vae_ros.sensors.messages import InvalidMessage

_BAYER = {
    'rggb': cv2.COLOR_BayerRGGB2RGB, 'bggr': cv2.COLOR_BayerBGGR2RGB,
    'gbrg': cv2.COLOR_BayerGBRG2RGB, 'grbg': cv2.COLOR_BayerGRBG2RGB,
}
_BAYER_NAME = re.compile(r'bayer_(rggb|bggr|gbrg|grbg)(8|16)\b')
_LEAST_MOSAIC = 4  # pixels a side, from which a colour is interpolated


@dataclass(frozen=True)
class Conversion:
    """
    How the samples of an encoding lie in an Image, and which code of OpenCV makes them RGB.

    Parameters
    ----------
    code
        Of ``cv2.cvtColor``.
    sample, channels
        Type and number of the samples of a pixel, in a row.
    planes
        Rows of the data for two rows of the image: 3 where a plane of colours follows.
    even
        How many pixels of a row, and how many rows, share a colour.

    """

    code: int
    sample: str
    channels: int = 1
    planes: int = 2
    even: tuple[int, int] = (1, 1)

    def rows(self, height: int) -> int:
        """Return the rows of the data for the rows of an image."""
        return height * self.planes // 2

    def check(self, encoding: str, width: int, height: int) -> None:
        """Raise InvalidMessage if an image of this size cannot have the encoding."""
        if width % self.even[0] or height % self.even[1]:
            raise InvalidMessage(
                'image_size', f'{width} x {height} pixels of {encoding}: must be multiples of '
                f'{self.even[0]} x {self.even[1]}, which share a colour',
            )
        if encoding.startswith('bayer') and min(width, height) < _LEAST_MOSAIC:
            raise InvalidMessage(
                'image_size', f'{width} x {height} pixels of {encoding}: must be at least '
                f'{_LEAST_MOSAIC} x {_LEAST_MOSAIC}',
            )

    def to_rgb(self, samples: NDArray[Any]) -> NDArray[Any]:
        """Return RGB pixels, ``(rows, columns, 3)``, of the sample's type."""
        if self.planes == 6:
            samples = _with_shared_colours(samples)
        rgb: NDArray[Any] = cv2.cvtColor(np.ascontiguousarray(samples), self.code)
        return rgb


_UYVY = Conversion(cv2.COLOR_YUV2RGB_UYVY, 'u1', channels=2, even=(2, 1))
_YUYV = Conversion(cv2.COLOR_YUV2RGB_YUY2, 'u1', channels=2, even=(2, 1))
_YUV = {
    'yuv422': _UYVY,
    'uyvy': _UYVY,
    'yuv422_yuy2': _YUYV,
    'yuyv': _YUYV,
    'nv12': Conversion(cv2.COLOR_YUV2RGB_NV12, 'u1', planes=3, even=(2, 2)),
    'nv21': Conversion(cv2.COLOR_YUV2RGB_NV21, 'u1', planes=3, even=(2, 2)),
    'nv24': Conversion(cv2.COLOR_YUV2RGB_NV12, 'u1', planes=6, even=(2, 2)),
}
ENCODINGS = (*(f'bayer_{pattern}{bits}' for pattern in _BAYER for bits in (8, 16)), *_YUV)


def conversion_of(encoding: str) -> Conversion | None:
    """Return how an encoding of sensor_msgs becomes RGB; None where it is not converted here."""
    mosaic = _BAYER_NAME.fullmatch(encoding)
    if mosaic:
        return Conversion(_BAYER[mosaic[1]], 'u1' if mosaic[2] == '8' else 'u2')
    return _YUV.get(encoding)


def mosaic_in(text: str) -> Conversion | None:
    """Return the conversion of the Bayer image that a format of a CompressedImage begins with."""
    mosaic = _BAYER_NAME.match(text.strip())
    return None if mosaic is None else conversion_of(mosaic[0])


def _with_shared_colours(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return NV12 of NV24, whose plane of colours has one for each pixel."""
    height, width = samples.shape[0] // 3, samples.shape[1]
    colours = np.ascontiguousarray(samples[height:]).reshape(height, width, 2)
    shared = cv2.resize(colours, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.concatenate([samples[:height], shared.reshape(height // 2, width)])

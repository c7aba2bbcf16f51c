# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Image and CompressedImage <-> RGB in 0..1 at the model's size.

Geometry of the spec: none. The array is ``(3, rows, columns)``. To shrink an image, the mean over
each pixel's area is taken; it is enlarged bilinearly; its aspect ratio is not kept. Alpha is
dropped, and a grey image becomes three equal channels.

Scale: 8-bit images are divided by 255, ``mono16`` and ``16UC1`` by 65535, the full scale of their
type whatever the camera's bit depth, so the brightness of an object does not depend on the rest
of the scene. ``32FC1`` must be in 0..1 already; its NaN and inf pixels are not valid, nor is a
resized pixel that one of them is part of. Depth images (REP-118: metres in 32FC1, millimetres in
16UC1) are better converted to clouds.

Rows are read by ``step``, so they may be padded, and in both byte orders. Bayer and YUV images are
converted by OpenCV (`colour_conversion`), what it does not know by cv_bridge, which gets packed
rows in native byte order, since it misreads others.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from m2vae_ros.sensors.colour_conversion import conversion_of
from m2vae_ros.sensors.colour_conversion import ENCODINGS as CONVERTED
from m2vae_ros.sensors.compressed_image import BGR, decompress, GREY, RGB
from m2vae_ros.sensors.geometry import check_dimensions, check_keys
from m2vae_ros.sensors.image_file import check_pixels, MAX_PIXELS
from m2vae_ros.sensors.messages import (
    bytes_of,
    check_measurement,
    fields_of,
    header_of,
    InvalidMessage,
    MessageClasses,
    stamp_and_frame,
)
from m2vae_ros.specs import Measurement, SensorSpec

MESSAGE_TYPE = 'sensor_msgs/msg/Image'

# Encoding -> type of a sample, number of channels, channel order.
_ENCODINGS: dict[str, tuple[str, int, tuple[int, int, int]]] = {
    'rgb8': ('u1', 3, RGB),
    'bgr8': ('u1', 3, BGR),
    'rgba8': ('u1', 4, RGB),
    'bgra8': ('u1', 4, BGR),
    'mono8': ('u1', 1, GREY),
    'mono16': ('u2', 1, GREY),
    '16UC1': ('u2', 1, GREY),
    '32FC1': ('f4', 1, GREY),
    'rgb16': ('u2', 3, RGB),
    'bgr16': ('u2', 3, BGR),
    'rgba16': ('u2', 4, RGB),
    'bgra16': ('u2', 4, BGR),
    '8UC1': ('u1', 1, GREY),
    '8UC3': ('u1', 3, BGR),  # as OpenCV, which these names are from, orders colours
    '8UC4': ('u1', 4, BGR),
    '16UC3': ('u2', 3, BGR),
}
_CONVERTED_BY_CV_BRIDGE = ('bayer_', 'yuv', 'nv')


def validate(spec: SensorSpec) -> None:
    """
    Check that the spec describes an image.

    Raises
    ------
    ValueError
        If its shape is not (3, rows, columns), or its geometry has a key.

    """
    check_keys(spec, ())
    check_dimensions(spec, ('3', 'rows', 'columns'))
    if spec.shape[0] != 3:
        raise ValueError(
            f'sensor {spec.name}: shape {spec.shape} must start with 3 (red, green, blue)'
        )


def decode(spec: SensorSpec, message: Any, *, max_pixels: int = MAX_PIXELS) -> Measurement:
    """
    Return the image in the spec's size.

    A message with a field ``format`` is a CompressedImage, any other an Image.

    Parameters
    ----------
    spec
        The camera.
    message
        The image.
    max_pixels
        How many pixels it may have.

    Raises
    ------
    InvalidMessage
        ``message_type``, ``field_type``, ``encoding``, ``cv_bridge`` (not installed, but needed),
        ``empty_image``, ``step``, ``data_size``, ``truncated``, ``damaged``, ``image_header``,
        ``image_size``, ``scans``, ``value_range`` or ``no_valid_pixel``.

    """
    validate(spec)
    stamp_ns, frame_id = stamp_and_frame(message)
    read = decompress if hasattr(message, 'format') else _pixels_of
    pixels, order = read(message, max_pixels)
    if pixels.dtype == np.float32:
        pixels = _checked_floats(pixels)
    small = _resized(pixels, *spec.spatial_shape)
    planes = small.reshape(*spec.spatial_shape, -1).transpose(2, 0, 1)
    values = planes[list(order)].astype(np.float32, order='C')
    if pixels.dtype != np.float32:
        values *= np.float32(1 / np.iinfo(pixels.dtype).max)
    valid = np.ones(spec.spatial_shape, np.bool_)
    if pixels.dtype == np.float32:
        valid = np.isfinite(values[0])
        values[:, ~valid] = 0
        np.minimum(values, 1, out=values)  # a mean of ones may exceed 1 by rounding
        if not valid.any():
            raise InvalidMessage(
                'no_valid_pixel', 'no pixel of the resized image is finite: must have one'
            )
    return Measurement(values, valid, valid.copy(), stamp_ns, frame_id)


def encode(spec: SensorSpec, measurement: Measurement, classes: MessageClasses) -> Any:
    """
    Return the Image (rgb8) of a measurement; pixels that are not valid are black.

    Values outside 0..1 saturate, as in a camera: a decoder's mean may lie a little outside.

    Raises
    ------
    ValueError
        If the measurement's shapes are not the spec's, or a valid value is not finite.

    """
    check_measurement(spec, measurement, measurement.valid)
    values = np.where(measurement.valid, measurement.values, np.float32(0)).clip(0, 1)
    pixels = np.rint(values * np.float32(255)).astype(np.uint8).transpose(1, 2, 0)
    _, rows, columns = spec.shape
    return classes.Image(
        header=header_of(measurement, classes),
        height=rows,
        width=columns,
        encoding='rgb8',
        is_bigendian=0,
        step=3 * columns,
        data=classes.uint8_sequence(pixels),
    )


def _pixels_of(
    message: Any, max_pixels: int
) -> tuple[NDArray[Any], tuple[int, int, int]]:
    """Return the pixels of an Image, (rows, columns[, channels]), and their channel order."""
    height, width, encoding, is_bigendian, step, data = fields_of(
        message, MESSAGE_TYPE, height=int, width=int, encoding=str, is_bigendian=bool, step=int,
        data=object,
    )
    data = bytes_of(MESSAGE_TYPE, data)
    if encoding in _ENCODINGS:
        sample, channels, order = _ENCODINGS[encoding]
        pixels = _native_pixels(
            height, width, step, data, sample, channels, is_bigendian, max_pixels
        )
        return pixels, order
    conversion = conversion_of(encoding)
    if conversion is not None:
        conversion.check(encoding, width, height)
        samples = _native_pixels(
            conversion.rows(height), width, step, data, conversion.sample, conversion.channels,
            is_bigendian, max_pixels * conversion.planes // 2,
        )
        return conversion.to_rgb(samples), RGB
    if not encoding.lower().startswith(_CONVERTED_BY_CV_BRIDGE):
        raise InvalidMessage(
            'encoding',
            f'{encoding!r} is unknown: must be one of {", ".join((*_ENCODINGS, *CONVERTED))}',
        )
    try:
        from cv_bridge import CvBridge
    except ImportError as error:
        raise InvalidMessage(
            'cv_bridge',
            f'{encoding} images need cv_bridge ({error}): apt install ros-$ROS_DISTRO-cv-bridge, '
            f'or pip install cv-bridge',
        ) from error
    bridge = CvBridge()
    try:
        sample, channels = bridge.encoding_to_dtype_with_channels(encoding)
        pixels = _native_pixels(
            height, width, step, data, sample, channels, is_bigendian, max_pixels
        )
        packed = SimpleNamespace(
            height=height, width=width, encoding=encoding, step=pixels.nbytes // height,
            is_bigendian=int(sys.byteorder == 'big'), data=pixels.tobytes(),
        )
        return np.asarray(bridge.imgmsg_to_cv2(packed, 'rgb8')), RGB
    except InvalidMessage:
        raise
    except Exception as error:
        raise InvalidMessage(
            'encoding', f'this cv_bridge cannot convert {encoding!r} to rgb8: {error}'
        ) from error


def _native_pixels(
    height: int,
    width: int,
    step: int,
    data: NDArray[np.uint8],
    sample: str,
    channels: int,
    is_bigendian: bool,
    max_pixels: int,
) -> NDArray[Any]:
    """Return the pixels in native byte order, as a view of the data where possible."""
    if height < 1 or width < 1:
        raise InvalidMessage('empty_image', f'{width} x {height} pixels: must have at least one')
    dtype = np.dtype(sample).newbyteorder('>' if is_bigendian else '<')
    pixel_size = dtype.itemsize * channels
    if step < width * pixel_size or step > len(data):
        raise InvalidMessage(
            'step',
            f'step is {step}: must be at least {width} pixels of {pixel_size} bytes and at most '
            f'the {len(data)} bytes of data',
        )
    if step * height != len(data):
        raise InvalidMessage(
            'data_size', f'data has {len(data)} bytes: must be step {step} * height {height}'
        )
    check_pixels(width, height, max_pixels)
    shape, strides = (height, width), (step, pixel_size)
    if channels > 1:
        shape, strides = (*shape, channels), (*strides, dtype.itemsize)  # type: ignore[assignment]
    pixels: NDArray[Any] = np.ndarray(shape, dtype, data, 0, strides)
    if dtype.itemsize == 1:
        return pixels
    return np.ascontiguousarray(pixels, dtype.newbyteorder('='))


def _checked_floats(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the pixels with NaN for those that are not finite; the others must be in 0..1."""
    finite = np.isfinite(pixels)
    if not finite.any():
        raise InvalidMessage(
            'no_valid_pixel', f'none of {pixels.size} pixels is finite: must have one'
        )
    low, high = pixels[finite].min(), pixels[finite].max()
    if low < 0 or high > 1:
        raise InvalidMessage(
            'value_range',
            f'32FC1 pixels from {low} to {high}: must be in 0..1 (a depth image is better '
            f'converted to a cloud)',
        )
    return np.where(finite, pixels, np.float32(np.nan))


def _resized(pixels: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    height, width = pixels.shape[:2]
    if (height, width) == (rows, columns):
        return pixels
    shrinks = rows <= height and columns <= width
    resized: NDArray[Any] = cv2.resize(
        pixels, (columns, rows), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return resized

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
What a JPEG or PNG file claims, checked before it is decoded.

A file of a few hundred kilobytes may claim an image of gigabytes, hold a thousand scans that each
pass over the whole image, or text that inflates to gigabytes. All of it is bounded by one number,
the pixels that an image may have: the file, what it decodes to and the samples that its scans pass
over may have 4 bytes for each of them, as an 8-bit image with alpha has.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
import re
from struct import Struct
from zlib import crc32

from m2vae_ros.sensors.messages import InvalidMessage

#: Pixels of the largest image that is decoded where nobody waits, as from a bag: 8192 x 8192.
MAX_PIXELS = 2**26

_BYTES_PER_PIXEL = 4
_HEADER_ALLOWANCE = 2**16  # bytes, of a file whose image is small
_LIMIT = 'for each pixel of the limit (parameter max_image_pixels of the node):'

_STARTS = {'jpeg': b'\xff\xd8', 'png': b'\x89PNG\r\n\x1a\n'}
_JPEG_END, _PNG_END = b'\xff\xd9', b'IEND\xaeB\x60\x82'
# A marker with a length, which includes its own two bytes; what is between markers is skipped.
_JPEG_SEGMENT = re.compile(rb'\xff([\x02-\xcf\xda-\xfe])(..)', re.DOTALL)
# The marker after the data of a scan, in which 00 follows FF, and markers D0 to D7 are restarts.
_JPEG_AFTER_SCAN = re.compile(rb'\xff[\x02-\xcf\xd8-\xfe]')
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15
_HUFFMAN_FRAMES = frozenset((0xC0, 0xC1, 0xC2))  # each block takes a bit at least
_PROGRESSIVE_FRAMES = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_SCAN, _SCAN_START = 0xDA, b'\xff\xda'
_MAX_SEGMENTS = 256  # before the first scan, and after it; libjpeg writes some 20
_MAX_PADDING = 4096  # bytes before a marker
_MAX_SCANS = 32  # libjpeg writes 10 for a progressive colour image

_PNG_HEADER = Struct('>I4sIIBB')  # length, IHDR, width, height, bit depth, colour type
_PNG_HEADER_END = 33  # start of the file, and IHDR with its check sum
_PNG_CHUNK = Struct('>I4s')  # length, type
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> samples of a pixel
_PALETTE = 3  # colour type; decodes to 4 channels at most
_COMPRESSED_TEXT = frozenset((b'zTXt', b'iTXt', b'iCCP'))
_PIXEL_CHUNKS = frozenset((b'IHDR', b'PLTE', b'tRNS', b'IDAT', b'IEND'))
_MAX_INFLATION = 1032  # of deflate, bytes for one byte (zlib's technical details)
_MAX_CHUNKS = 2**15  # libpng writes chunks of 8 kB


def file_kind(content: bytes) -> str | None:
    """Return ``jpeg`` or ``png``, as a file begins; None for others."""
    return next((kind for kind, start in _STARTS.items() if content.startswith(start)), None)


def check_file(content: bytes, max_pixels: int) -> None:
    """
    Check that a jpeg or png file is whole and cheap to decode.

    Parameters
    ----------
    content
        The file.
    max_pixels
        How many pixels the image may have.

    Raises
    ------
    InvalidMessage
        ``truncated``, ``damaged``, ``image_header``, ``image_size`` or ``scans``.

    """
    if len(content) > _BYTES_PER_PIXEL * max_pixels + _HEADER_ALLOWANCE:
        raise InvalidMessage(
            'image_size', f'a file of {len(content)} bytes: must have at most '
            f'{_BYTES_PER_PIXEL} {_LIMIT} {max_pixels}'
        )
    if file_kind(content) == 'jpeg':
        _check_jpeg(content, max_pixels)
        return
    _check_png(content, max_pixels)
    if not content.endswith(_PNG_END) and not content.rstrip(b'\0').endswith(_PNG_END):
        raise _truncated(content, 'the end of the file')  # drivers pad with zeros


def only_pixels(content: bytes) -> bytes:
    """
    Return a png file, that `check_file` found well, without what its pixels do not need.

    libpng complains on the standard error of each chunk that it does not like, of which there may
    be thousands in a file.
    """
    view, position = memoryview(content), 8
    kept = [view[:position]]
    while position < len(content):
        length, kind = _PNG_CHUNK.unpack_from(content, position)
        end = position + _PNG_CHUNK.size + length + 4
        if kind in _PIXEL_CHUNKS:
            kept.append(view[position:end])
        if kind == b'IEND':
            break
        position = end
    return content if sum(map(len, kept)) == len(content) else b''.join(kept)


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """
    Check the size of an image.

    Raises
    ------
    InvalidMessage
        ``image_size``.

    """
    if not 0 < width * height <= max_pixels:
        raise InvalidMessage(
            'image_size', f'{width} x {height} pixels: must be 1 to {max_pixels} (parameter '
            f'max_image_pixels of the node)'
        )


def _check_decoded(width: int, height: int, decoded: int, max_pixels: int) -> None:
    if decoded > _BYTES_PER_PIXEL * max_pixels:
        raise InvalidMessage(
            'image_size', f'{width} x {height} pixels decode to {decoded} bytes: must be at most '
            f'{_BYTES_PER_PIXEL} {_LIMIT} {max_pixels}'
        )


def _truncated(content: bytes, lacks: str) -> InvalidMessage:
    return InvalidMessage(
        'truncated', f'{len(content)} bytes lack {lacks}: must be a whole file'
    )


def _check_jpeg(content: bytes, max_pixels: int) -> None:
    """Check the segments before the first scan, and the scans (ITU-T T.81, B)."""
    samples, progressive, position = None, False, 2
    for _ in range(_MAX_SEGMENTS):
        segment = _JPEG_SEGMENT.search(content, position, position + _MAX_PADDING)
        if segment is None:
            raise _truncated(content, 'the image size')
        start = segment.start(2)
        position = start + int.from_bytes(segment[2], 'big')
        if segment[1][0] in _JPEG_FRAMES:
            samples = _samples(content, start, max_pixels)
            progressive = segment[1][0] in _PROGRESSIVE_FRAMES
            if segment[1][0] in _HUFFMAN_FRAMES and 8 * len(content) < sum(samples.values()) // 64:
                raise _truncated(content, 'a bit for each block of the image')
        elif segment[1][0] == _SCAN:
            break
    else:
        raise InvalidMessage(
            'image_header', f'{_MAX_SEGMENTS} segments before the first scan: must be fewer'
        )
    if samples is None or start + 3 > len(content):
        raise _truncated(content, 'the image size')
    if progressive or content[start + 2] < len(samples):  # else there is one scan
        _check_scans(content, start, samples, max_pixels)


def _samples(content: bytes, start: int, max_pixels: int) -> dict[int, int]:
    """Return component -> its samples, from the frame header at a place (T.81, B.2.2)."""
    header = content[start:start + 8]
    if len(header) < 8:
        raise _truncated(content, 'the image size')
    height, width, count = int.from_bytes(header[3:5], 'big'), int.from_bytes(
        header[5:7], 'big'), header[7]
    check_pixels(width, height, max_pixels)
    components = content[start + 8:start + 8 + 3 * count]
    factors = {
        component: (factor >> 4, factor & 15)
        for component, factor in zip(components[::3], components[1::3], strict=False)
    }
    if not 0 < len(factors) == count or not all(
        1 <= factor <= 4 for both in factors.values() for factor in both
    ):
        raise InvalidMessage(
            'image_header', f'components of a jpeg, {components.hex()}: must be one or more, each '
            f'once, with sampling factors of 1 to 4'
        )
    columns = ceil(width / (8 * max(across for across, _ in factors.values())))
    rows = ceil(height / (8 * max(down for _, down in factors.values())))
    samples = {
        component: 64 * columns * across * rows * down
        for component, (across, down) in factors.items()
    }
    _check_decoded(width, height, sum(samples.values()), max_pixels)
    return samples


def _check_scans(
    content: bytes, start: int, samples: Mapping[int, int], max_pixels: int
) -> None:
    """
    Check the scans; the header of the first, its length, is at ``start`` (T.81, B.2.3).

    Each passes over all samples of its components, however few bytes it has.
    """
    scans, passed, is_scan = 0, 0, True
    for _ in range(_MAX_SEGMENTS):
        end = start + int.from_bytes(content[start:start + 2], 'big')
        if is_scan:
            scans += 1
            components = content[start + 3:start + 3 + 2 * content[start + 2]:2]
            passed += sum(samples.get(component, 0) for component in components)
            if scans > _MAX_SCANS or passed > _BYTES_PER_PIXEL * max_pixels:
                raise InvalidMessage(
                    'scans', f'{scans} scans over {passed} samples: must be at most {_MAX_SCANS} '
                    f'over {_BYTES_PER_PIXEL} {_LIMIT} {max_pixels}'
                )
        marker = _JPEG_AFTER_SCAN.search(content, end)
        if marker is not None and marker[0] == _JPEG_END:
            return  # whatever follows, as a driver's buffer may: viewers ignore it
        if marker is None or marker.end() + 3 > len(content):
            raise _truncated(content, 'the end of the file')
        is_scan, start = marker[0] == _SCAN_START, marker.end()
    raise InvalidMessage(
        'image_header', f'{_MAX_SEGMENTS} segments after the first scan: must be fewer'
    )


def _check_png(content: bytes, max_pixels: int) -> None:
    """Check the header and all chunks (PNG specification, 5.3 and 11.2.2)."""
    if len(content) < _PNG_HEADER_END or content[12:16] != b'IHDR':
        raise _truncated(content, 'the image size')
    length, _, width, height, depth, colour = _PNG_HEADER.unpack_from(content, 8)
    check_pixels(width, height, max_pixels)
    checksum = int.from_bytes(content[_PNG_HEADER_END - 4:_PNG_HEADER_END], 'big')
    if length != 13 or checksum != crc32(content[12:_PNG_HEADER_END - 4]) \
            or colour not in _PNG_CHANNELS:
        raise InvalidMessage(
            'image_header', f'the header of a png, {content[8:_PNG_HEADER_END].hex()}, is damaged'
        )
    channels = _PNG_CHANNELS[colour]
    pixel_size = (4 if colour == _PALETTE else channels) * (2 if depth == 16 else 1)
    image, text = _chunk_lengths(content)
    _check_decoded(
        width, height, width * height * pixel_size + _MAX_INFLATION * text, max_pixels
    )
    if _MAX_INFLATION * (image + 1) < height * ceil(width * channels * depth / 8):
        raise _truncated(content, 'the pixels of the image')


def _chunk_lengths(content: bytes) -> tuple[int, int]:
    """Return how many bytes of a PNG are compressed pixels, and compressed text."""
    image, text, position = 0, 0, _PNG_HEADER_END
    last = len(content) - _PNG_CHUNK.size - 4  # a chunk ends with its check sum
    for _ in range(_MAX_CHUNKS):
        if position > last:
            raise _truncated(content, 'the end of the file')
        length, kind = _PNG_CHUNK.unpack_from(content, position)
        position += _PNG_CHUNK.size + length + 4
        if position > len(content):
            raise _truncated(content, f'the end of a chunk {kind!r} of {length} bytes')
        checksum = int.from_bytes(content[position - 4:position], 'big')
        if checksum != crc32(memoryview(content)[position - length - 8:position - 4]):
            raise InvalidMessage('damaged', f'a chunk {kind!r} of {length} bytes is damaged')
        if kind == b'IDAT':
            image += length
        elif kind in _COMPRESSED_TEXT:
            text += length
        elif kind == b'IEND':
            return image, text
    raise InvalidMessage('image_header', f'more than {_MAX_CHUNKS} chunks in a png')

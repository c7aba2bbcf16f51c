# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Clouds in any layout, packed value by value."""

from __future__ import annotations

import struct
from types import SimpleNamespace

CODES = {1: 'b', 2: 'B', 3: 'h', 4: 'H', 5: 'i', 6: 'I', 7: 'f', 8: 'd'}  # by datatype
FLOAT32, FLOAT64 = 7, 8


def packed_cloud(
    points, *, names='xyz', datatypes=None, gaps=None, height=1, row_padding=0, big=False
):
    """
    Return the PointCloud2 of (x, y, z) points, packed value by value.

    Parameters
    ----------
    points
        As many as fill the rows.
    names
        Fields in order; those that are not x, y or z are filled with 1.
    datatypes
        Of each field.
    gaps
        Bytes before each field and at the end.
    height
        Rows of an organised cloud.
    row_padding
        Bytes at the end of each row.
    big
        Whether the bytes are big endian.

    """
    datatypes = datatypes or [FLOAT32] * len(names)
    gaps = gaps or [0] * (len(names) + 1)
    order, fields, offset = '<>'[big], [], 0
    for name, datatype, gap in zip(names, datatypes, gaps, strict=False):
        offset += gap
        fields.append(SimpleNamespace(name=name, offset=offset, datatype=datatype, count=1))
        offset += struct.calcsize(order + CODES[datatype])
    step, width = offset + gaps[-1], len(points) // height
    row_step = width * step + row_padding
    data = bytearray(b'\x7f' * (row_step * height))
    for i, point in enumerate(points):
        start = i // width * row_step + i % width * step
        values = dict(zip('xyz', point, strict=True))
        for field in fields:
            struct.pack_into(
                order + CODES[field.datatype], data, start + field.offset,
                values.get(field.name, 1),
            )
    return SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=2, nanosec=9), frame_id='here'),
        height=height, width=width, fields=fields, is_bigendian=big, point_step=step,
        row_step=row_step, data=bytes(data), is_dense=True,
    )

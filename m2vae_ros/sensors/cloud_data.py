# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The points in the bytes of a PointCloud2, in any layout.

What drivers write wrongly, and what their readers (RViz, PCL) do not need, is not judged: the
``row_step`` of a cloud of a single row, whose bytes say how long the row is; and ``is_bigendian``
where floating-point coordinates are lengths only if read little-endian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.sensors.messages import bytes_of, fields_of, InvalidMessage

FLOAT32 = 7  # PointField.FLOAT32
_MESSAGE_TYPE = 'sensor_msgs/msg/PointCloud2'
_DATATYPES = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', FLOAT32: 'f4', 8: 'f8'}
_NATIVE_FLOAT32 = np.dtype(np.float32)
_Place = tuple[int, np.dtype[Any]]  # offset and type of a field
_LENGTHS = (1e-6, 1e6)  # m; most coordinates of a cloud lie between, most misread ones do not


@dataclass(frozen=True, eq=False)
class _Cloud:
    """What a PointCloud2 says of its bytes, and the bytes."""

    height: int
    width: int
    point_step: int
    row_step: int
    is_bigendian: bool
    fields: dict[str, tuple[int, int]]  # name -> offset, datatype
    buffer: NDArray[np.uint8]

    @classmethod
    def of(cls, message: Any) -> _Cloud:
        height, width, fields, is_bigendian, point_step, row_step, data = fields_of(
            message, _MESSAGE_TYPE, height=int, width=int, fields=Sequence, is_bigendian=bool,
            point_step=int, row_step=int, data=object,
        )
        buffer = bytes_of(_MESSAGE_TYPE, data)
        if height < 1 or width < 1 or buffer.size == 0:
            raise InvalidMessage(
                'empty_cloud',
                f'{height} x {width} points in {buffer.size} bytes: must have at least one'
            )
        by_name = {}
        for field in fields:
            name, offset, datatype = fields_of(
                field, 'sensor_msgs/msg/PointField', name=str, offset=int, datatype=int
            )
            by_name[name] = offset, datatype
        if height == 1 and buffer.size == width * point_step:
            row_step = buffer.size
        return cls(height, width, point_step, row_step, is_bigendian, by_name, buffer)

    def place(self, name: str) -> _Place:
        """Return where a field is."""
        offset, datatype = self.fields[name]
        if datatype not in _DATATYPES:
            raise InvalidMessage(
                'datatype',
                f'field {name} has datatype {datatype}: must be one of {sorted(_DATATYPES)}'
            )
        dtype = np.dtype(('>' if self.is_bigendian else '<') + _DATATYPES[datatype])
        if not 0 <= offset <= self.point_step - dtype.itemsize:
            raise InvalidMessage(
                'point_step',
                f'field {name} takes bytes {offset} to {offset + dtype.itemsize}: must end within '
                f'point_step {self.point_step}'
            )
        return offset, dtype

    def coordinate_places(self) -> list[_Place]:
        """Return where x, y and z are."""
        missing = [name for name in 'xyz' if name not in self.fields]
        if missing:
            raise InvalidMessage(
                'fields',
                f'no field {", ".join(missing)}, only {sorted(self.fields)}: must have x, y, z'
            )
        return [self.place(name) for name in 'xyz']

    def check_size(self) -> None:
        """Check that the bytes are as many as the rows take."""
        size, row_size = self.buffer.size, self.width * self.point_step
        if self.height == 1 and not row_size <= self.row_step == size:
            raise InvalidMessage(
                'data_size',
                f'data has {size} bytes: must be {self.width} points * point_step '
                f'{self.point_step}'
            )
        if not row_size <= self.row_step <= size:
            raise InvalidMessage(
                'row_step',
                f'row_step is {self.row_step}: must be at least {self.width} points * point_step '
                f'{self.point_step} and at most the {size} bytes of data'
            )
        if self.row_step * self.height != size:
            raise InvalidMessage(
                'data_size',
                f'data has {size} bytes: must be row_step {self.row_step} * height {self.height}'
            )

    def read(self, places: Sequence[_Place]) -> NDArray[np.float32]:
        """Return the values of fields, ``(points, fields)``."""
        values = np.empty((self.height, self.width, len(places)), np.float32)
        with np.errstate(over='ignore', invalid='ignore'):
            for column, (offset, dtype) in enumerate(places):
                values[..., column] = np.ndarray(
                    (self.height, self.width), dtype, self.buffer, offset,
                    (self.row_step, self.point_step),
                )
        return values.reshape(-1, len(places))


def coordinates_of(message: Any) -> tuple[NDArray[np.float32], int, int, int]:
    """
    Return an array (points, columns), row after row, and which of its columns are x, y and z.

    Raises
    ------
    InvalidMessage
        ``message_type``, ``field_type``, ``empty_cloud``, ``fields``, ``datatype``,
        ``point_step``, ``row_step`` or ``data_size``.

    """
    cloud = _Cloud.of(message)
    places = cloud.coordinate_places()
    cloud.check_size()
    if cloud.row_step == cloud.width * cloud.point_step and cloud.point_step % 4 == 0 and all(
        dtype == _NATIVE_FLOAT32 and offset % 4 == 0 for offset, dtype in places
    ):
        x, y, z = (offset // 4 for offset, _ in places)
        first, last = min(x, y, z), max(x, y, z)
        floats = cloud.buffer.view(np.float32).reshape(-1, cloud.point_step // 4)
        # OpenCV transposes four columns faster than three.
        return floats[:, first:max(last + 1, first + 4)], x - first, y - first, z - first
    points = cloud.read(places)
    if cloud.is_bigendian and _are_misread(points, places):
        swapped = cloud.read([(offset, dtype.newbyteorder()) for offset, dtype in places])
        if not _are_misread(swapped, places):
            points = swapped
    return points, 0, 1, 2


def field_of(message: Any, name: str) -> NDArray[np.float32] | None:
    """
    Return the values of a field, ``(points,)``, row after row; None if a cloud has no such field.

    Raises
    ------
    InvalidMessage
        As `coordinates_of` does.

    """
    cloud = _Cloud.of(message)
    if name not in cloud.fields:
        return None
    place = cloud.place(name)
    cloud.check_size()
    return cloud.read([place])[:, 0]


def are_points(coordinates: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which of ``(points, 3)`` count: those that are finite and off the origin."""
    return np.logical_and(np.isfinite(coordinates).all(axis=1), coordinates.any(axis=1))


def _are_misread(points: NDArray[np.float32], places: Sequence[_Place]) -> bool:
    """Return whether most floating-point coordinates are no lengths: of the wrong byte order."""
    if any(dtype.kind != 'f' for _, dtype in places):
        return False
    sizes = np.abs(points[np.isfinite(points) & (points != 0)])
    are_lengths = (sizes > _LENGTHS[0]) & (sizes < _LENGTHS[1])
    return bool(2 * np.count_nonzero(are_lengths) < sizes.size)

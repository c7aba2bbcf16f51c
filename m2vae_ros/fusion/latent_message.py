# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
A latent as a PointCloud2, and back.

The cloud has one row and one point per latent dimension. Its fields are ``mean`` and
``log_variance`` (float32) and ``sensors`` (uint32, the same in every point), where bit ``i`` is
set if the model's ``i``-th sensor was fused. A latent has no frame, so the header's is empty.
Only this file knows the layout. Messages are built with whatever classes are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.sensors.messages import MessageClasses

LATENT_TYPE = 'sensor_msgs/msg/PointCloud2'
_UINT32, _FLOAT32 = 6, 7  # sensor_msgs/PointField
_FIELDS = (
    ('mean', _FLOAT32, 'f4'),
    ('log_variance', _FLOAT32, 'f4'),
    ('sensors', _UINT32, 'u4'),
)
_POINT = np.dtype([(name, kind) for name, _, kind in _FIELDS])
MAX_SENSORS = 32  # bits of the field ``sensors``


@dataclass(frozen=True, eq=False)
class Latent:
    """
    A posterior q(z|x_S) as it is published.

    Parameters
    ----------
    stamp_ns
        Newest stamp of the measurements that were fused, nanoseconds.
    mean, log_variance
        float32 ``(latent,)``.
    sensors
        Bit ``i`` is set if the model's ``i``-th sensor was fused.

    """

    stamp_ns: int
    mean: NDArray[np.float32]
    log_variance: NDArray[np.float32]
    sensors: int

    def subset(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return which sensors were fused, given the names of the model's sensors in order."""
        return tuple(name for bit, name in enumerate(names) if self.sensors >> bit & 1)


def sensors_mask(subset: Sequence[str], names: Sequence[str]) -> int:
    """Return a subset as a bit mask; ``names`` are the model's sensors in order."""
    return sum(1 << names.index(name) for name in subset)


def latent_to_message(latent: Latent, classes: MessageClasses) -> Any:
    """Return the PointCloud2 that carries a latent."""
    points = np.empty(len(latent.mean), _POINT)
    points['mean'] = latent.mean
    points['log_variance'] = latent.log_variance
    points['sensors'] = latent.sensors
    sec, nanosec = divmod(latent.stamp_ns, 10**9)
    return classes.PointCloud2(
        header=classes.Header(stamp=classes.Time(sec=sec, nanosec=nanosec), frame_id=''),
        height=1, width=len(points), fields=list(_point_fields(classes)),
        is_bigendian=sys.byteorder == 'big', point_step=_POINT.itemsize, row_step=points.nbytes,
        data=classes.uint8_sequence(points.view(np.uint8)), is_dense=True,
    )


def latent_from_message(message: Any) -> Latent:
    """
    Read a message that the node published on ``~/latent``.

    Parameters
    ----------
    message
        A sensor_msgs/PointCloud2 of rclpy or of rosbags.

    Raises
    ------
    ValueError
        If a field is missing or of another datatype, or the data have another size than the
        message says.

    """
    order = '>' if message.is_bigendian else '<'
    fields = {field.name: field for field in message.fields}
    for name, datatype, _ in _FIELDS:
        if name not in fields or fields[name].datatype != datatype:
            raise ValueError(
                f'must have the field {name!r} of datatype {datatype}, '
                f'has {[(f.name, f.datatype) for f in message.fields]}'
            )
    size = message.width * message.height * message.point_step
    if len(message.data) != size or size == 0:
        raise ValueError(
            f'data has {len(message.data)} bytes: must be width * height * point_step = {size}, '
            f'and not 0'
        )
    layout: Any = {
        'names': [name for name, _, _ in _FIELDS],
        'formats': [order + kind for _, _, kind in _FIELDS],
        'offsets': [fields[name].offset for name, _, _ in _FIELDS],
        'itemsize': message.point_step,
    }
    points = np.frombuffer(message.data, np.dtype(layout))
    stamp = message.header.stamp
    return Latent(
        stamp_ns=stamp.sec * 10**9 + stamp.nanosec,
        mean=points['mean'].astype(np.float32),
        log_variance=points['log_variance'].astype(np.float32),
        sensors=int(points['sensors'][0]),
    )


@lru_cache
def _point_fields(classes: MessageClasses) -> tuple[Any, ...]:
    return tuple(
        classes.PointField(name=name, offset=4 * i, datatype=datatype, count=1)
        for i, (name, datatype, _) in enumerate(_FIELDS)
    )

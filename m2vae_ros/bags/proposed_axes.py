# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Which axes clouds have: told from the name of their frame and from where their points lie.

By REP-103 x looks forward and z up, but in a frame whose name says ``optical`` z looks forward.
Drivers do not always name their frame so; and a cloud whose points all have z > 0 may as well be
one without the ground, or of a lidar that sees a hemisphere.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

_OPTICAL_FRAME = 'optical'
# Words of frames of vehicles, maps and lidars; all of these have body axes.
_BODY_FRAME = re.compile(
    r'(?:^|[^a-z])(?:base|base_?link|base_?footprint|footprint|chassis|vehicle|ego|body|robot|map|'
    r'odom|world|earth|utm|enu|imu|gnss|gps|ins|os\d?|vlp\d*|hdl\d*|vls\d*|pandar\w*|at128|'
    r'mid\d+)(?:$|[^a-z])|lidar|laser|velodyne|ouster|livox|hesai|robosense|rslidar|lslidar'
)
# Frames of cameras, whatever they are mounted on, have either axes.
_CAMERA_FRAME = re.compile(r'cam|depth|colou?r|rgb|infra|stereo|kinect|realsense|zed|tof')
_MAX_BEHIND = 0.005  # share of a camera's points that may be noise behind it
_WIDEST_VIEW = np.radians(70)  # between a camera's axis and the corners of its view
_MAX_OUTSIDE = 0.01  # share of the points outside of the widest view
_MIN_ON_A_SIDE = 0.01  # share of a camera's points to the left, and to the right
_HOLLOW = 0.6  # of the view, without points around the axis: a ring around it, as a lidar's
_MIN_AROUND = 0.1  # share of the points on each side of the axis that make a ring of them


def axes_of(points: NDArray[np.float32], frame_id: str) -> tuple[str, list[str]]:
    """
    Return ``body`` or ``optical``, and remarks where frame and points disagree.

    Parameters
    ----------
    points
        Points of several clouds, ``(points, 3)``, metres.
    frame_id
        Frame of the clouds.

    """
    frame = frame_id.lower()
    if _OPTICAL_FRAME in frame:
        behind = float((points[:, 2] <= 0).mean())
        if behind <= 2 * _MAX_BEHIND:
            return 'optical', []
        return 'body', [
            f'CAUTION: its frame is called {frame_id}, yet {100 * behind:.0f} % of the points lie '
            f'behind the camera if z looks forward: body is proposed'
        ]
    looks_optical = _may_be_a_camera(points)
    if _BODY_FRAME.search(frame) and not _CAMERA_FRAME.search(frame):
        return 'body', [
            f'CAUTION: its points look as if z looked forward, as for a camera, yet its frame '
            f'is called {frame_id}: if z does, axes must be optical'
        ] if looks_optical else []
    return ('optical' if looks_optical else 'body'), []


def _may_be_a_camera(points: NDArray[np.float32]) -> bool:
    """Return whether points lie in a camera's field of view around z, not in one along x."""
    x, y, z = points.T.astype(np.float64)
    right, down = float((x > 0).mean()), float((y > 0).mean())
    if (z <= 0).mean() > _MAX_BEHIND or not _MIN_ON_A_SIDE < right < 1 - _MIN_ON_A_SIDE:
        return False
    first, last = np.quantile(np.arctan2(np.hypot(x, y), z), [_MAX_OUTSIDE, 1 - _MAX_OUTSIDE])
    is_ring = first > _HOLLOW * last and all(
        _MIN_AROUND < side < 1 - _MIN_AROUND for side in (right, down)
    )
    return bool(last < _WIDEST_VIEW and not is_ring)

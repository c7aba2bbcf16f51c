# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Measurements and reconstructions as small pictures for a page, in ``data:`` URLs."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO

from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
import numpy as np
from numpy.typing import NDArray

from m2vae_ros.sensors.laser_scan import bearings
from m2vae_ros.specs import Measurement, SensorSpec

RANGE_COLOURS = 'viridis'
# Visible on light and on dark pages.
_DOT_COLOUR, _TRUTH_COLOUR, _ROBOT_COLOUR = '#2f7fc1', '#9a9a9a', '#d1495b'
_INCHES, _DPI = 2.0, 110
_NO_RETURN_RGBA = (0.5, 0.5, 0.5, 0.15)


def picture(
    spec: SensorSpec, seen: Measurement, *, farthest: float, truth: Measurement | None = None
) -> str:
    """
    Return a PNG of a measurement as a ``data:`` URL.

    Parameters
    ----------
    spec
        The sensor.
    seen
        What to show: an image in its colours, a range image in those of `RANGE_COLOURS`, a scan
        from above with the robot in the middle and forward up.
    farthest
        Range in metres of the last colour, and of the edge of a scan's picture.
    truth
        For a scan: its measurement, drawn in grey beneath.

    """
    if spec.kind == 'laser_scan':
        return _data_url(_from_above(spec, seen, farthest, truth))
    file = BytesIO()
    imsave(file, _pixels(spec, seen, farthest), format='png')
    return _data_url(file.getvalue())


def gradient() -> str:
    """Return the colours of ranges, from near to far, as a CSS gradient."""
    colours = colormaps[RANGE_COLOURS](np.linspace(0, 1, 9))
    stops = ', '.join(
        f'rgb({", ".join(str(round(255 * part)) for part in colour[:3])})' for colour in colours
    )
    return f'linear-gradient(to right, {stops})'


def _pixels(spec: SensorSpec, seen: Measurement, farthest: float) -> NDArray[np.float32]:
    if spec.kind == 'image':
        pixels: NDArray[np.float32] = np.clip(seen.values.transpose(1, 2, 0), 0, 1)
        return np.ascontiguousarray(pixels)
    coloured = colormaps[RANGE_COLOURS](np.clip(seen.values / farthest, 0, 1)).astype(np.float32)
    return np.where(seen.returned[..., None], coloured, np.array(_NO_RETURN_RGBA, np.float32))


def _from_above(
    spec: SensorSpec, seen: Measurement, farthest: float, truth: Measurement | None
) -> bytes:
    figure = Figure(figsize=(_INCHES, _INCHES), dpi=_DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis('off')
    axes.set_xlim(-farthest, farthest)
    axes.set_ylim(-farthest, farthest)
    for measured, colour, size in ((truth, _TRUTH_COLOUR, 9), (seen, _DOT_COLOUR, 5)):
        if measured is not None:
            angles = bearings(spec)[measured.returned]
            ranges = measured.values[measured.returned]
            axes.scatter(
                -ranges * np.sin(angles), ranges * np.cos(angles), s=size, color=colour, lw=0
            )
    axes.plot(0, 0, marker='^', color=_ROBOT_COLOUR, markersize=7)
    file = BytesIO()
    figure.savefig(file, format='png', dpi=_DPI, transparent=True)
    return file.getvalue()


def _data_url(png: bytes) -> str:
    return f'data:image/png;base64,{b64encode(png).decode()}'

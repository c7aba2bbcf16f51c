# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The page's charts as SVG; their text has the page's colour, in light and dark mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
import re
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
import numpy as np
from numpy.typing import NDArray

from m2vae_ros.evaluation.findings import SubsetFindings, Timeline

# Based on Okabe and Ito's colours, which the colour-blind can tell apart, on light and on dark.
COLOURS = ('#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9', '#8c8c00', '#7f7f7f')
_INK = '#010203'  # stands for the page's text colour until the SVG is written
_STYLE = {
    'font.size': 10.5, 'svg.fonttype': 'none', 'svg.hashsalt': 'm2vae_ros',
    'text.color': _INK, 'axes.labelcolor': _INK, 'axes.edgecolor': _INK, 'xtick.color': _INK,
    'ytick.color': _INK, 'axes.spines.top': False, 'axes.spines.right': False,
    'legend.frameon': False, 'axes.grid': True, 'grid.color': '#8080804d',
}


def trajectory(timeline: Timeline) -> str:
    """Return a chart of the latents in their first two principal axes, coloured by time."""
    with _chart(4.6, 4.0) as (axes, to_svg):
        x, y = timeline.plane.T
        axes.plot(x, y, color='#80808080', lw=0.7, zorder=1)
        dots = axes.scatter(x, y, c=timeline.seconds, s=12, cmap='viridis', lw=0, zorder=2)
        axes.figure.colorbar(dots, ax=axes, label='time, s')
        for axis, name, share in zip(
            (axes.set_xlabel, axes.set_ylabel), ('first', 'second'), timeline.explained,
            strict=True,
        ):
            axis(f'{name} principal axis ({share:.0%} of the variance)')
    return to_svg()


def gain(timeline: Timeline, names: Sequence[str]) -> str:
    """Return a chart of the information that each sensor gave beyond the others, over time."""
    with _chart(4.8, 3.2) as (axes, to_svg):
        for column, name in enumerate(names):
            if not has_numbers(timeline.gain[:, column]):
                continue
            axes.plot(
                timeline.gain_seconds, timeline.gain[:, column],
                color=COLOURS[column % len(COLOURS)], lw=1.2, marker='.', markersize=3, label=name,
            )
        axes.set_ylim(bottom=0)
        axes.set_xlabel('time, s')
        axes.set_ylabel('information, nats')
        axes.legend(ncols=min(3, len(names)), loc='lower left', bbox_to_anchor=(0, 1))
    return to_svg()


def presence(timeline: Timeline, names: Sequence[str]) -> str:
    """Return a chart of the times at which each sensor was fused."""
    with _chart(4.8, 0.9 + 0.3 * len(names)) as (axes, to_svg):
        for column, name in enumerate(names):
            seconds = timeline.seconds[timeline.fused[:, column]]
            axes.eventplot(
                seconds, lineoffsets=-column, linelengths=0.7, linewidths=1,
                color=COLOURS[column % len(COLOURS)], label=name,
            )
        axes.set_yticks([-column for column in range(len(names))], list(names))
        axes.set_ylim(0.5 - len(names), 0.5)  # a sensor that was never fused has its row, too
        axes.set_xlabel('time, s')
        axes.grid(visible=False)
    return to_svg()


def calibration(subsets: Sequence[SubsetFindings]) -> str:
    """Return a chart of observed over nominal coverage of each subset's posterior."""
    with _chart(4.6, 3.8) as (axes, to_svg):
        axes.plot([0, 1], [0, 1], color='#808080', lw=1, ls='--')
        covered = [found for found in subsets if found.coverage]
        for index, found in enumerate(covered):
            levels = [0.0, *sorted(found.coverage), 1.0]
            observed = [0.0, *(found.coverage[level] for level in levels[1:-1]), 1.0]
            axes.plot(
                levels, observed, marker='o', markersize=4, lw=1.2,
                color=COLOURS[index % len(COLOURS)], ls='-' if index < len(COLOURS) else ':',
                label=' + '.join(found.subset),
            )
        axes.set_xlabel('probability of the region')
        axes.set_ylabel('share of references in it')
        axes.legend(fontsize=8.5, loc='upper left')
    return to_svg()


@contextmanager
def _chart(width: float, height: float) -> Iterator[tuple[Any, Callable[[], str]]]:
    """Yield axes of a size in inches, and a function that returns their chart as SVG."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout='constrained')
        FigureCanvasSVG(figure)

        def to_svg() -> str:
            with rc_context(_STYLE):
                file = StringIO()
                figure.savefig(file, format='svg', transparent=True, metadata={'Date': None})
            svg = file.getvalue()
            svg = svg[svg.index('<svg'):].replace(_INK, 'currentColor')
            return re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.DOTALL)

        yield figure.add_subplot(), to_svg


def has_numbers(values: NDArray[np.float64]) -> bool:
    """Return whether any value is finite."""
    return bool(np.isfinite(values).any())

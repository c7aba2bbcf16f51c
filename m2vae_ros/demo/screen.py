# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The demo's live table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich import box
from rich.table import Table

from m2vae_ros.demo.drive import Passage, Phase, PHASES
from m2vae_ros.node.observer import Arrival
from m2vae_ros.vae.subsets import Subset

_RECENT = 2.0  # s that the table's rates and latencies look back


def screen(
    phase: Phase, passages: Sequence[Passage], arrivals: Sequence[Arrival], names: Subset
) -> Table:
    """Return the table as it is now: a row for each phase, its sensors, rate, delay and gap."""
    table = Table(title='What is fused while sensors die and come back', box=box.SIMPLE_HEAD)
    table.add_column('phase', min_width=11)
    for name in names:
        table.add_column(name, min_width=6)
    for title in ('latents', 'Hz', 'delay ms', 'gap s'):
        table.add_column(title, justify='right')
    if not passages:
        table.add_row(phase.title, *('...' for _ in names), str(len(arrivals)))
    for passage in passages:
        table.add_row(*_row(passage, names))
    for later in PHASES[len(passages):]:
        table.add_row(later.title, style='dim')
    return table


def _row(passage: Passage, names: Subset) -> list[str]:
    if not passage.arrivals:
        return [passage.phase.title]
    newest = passage.arrivals[-1]
    fused = newest.latent.subset(names)
    recent = [
        one for one in passage.arrivals if newest.steady_ns - one.steady_ns < _RECENT * 1e9
    ]
    span = (newest.steady_ns - recent[0].steady_ns) * 1e-9
    rate = (len(recent) - 1) / span if span else 0.0
    delay = float(np.median([one.latency_ns for one in recent])) * 1e-6
    return [
        passage.phase.title,
        *(
            '[red]silent[/]' if name in passage.phase.silent
            else '[green]fused[/]' if name in fused else '[yellow]missed[/]'
            for name in names
        ),
        str(len(passage.arrivals)),
        f'{rate:.1f}',
        f'{delay:.0f}',
        f'{passage.longest_gap():.2f}',
    ]

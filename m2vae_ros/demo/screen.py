# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The demo's live table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich import box
from rich.table import Table

from m2vae_ros.demo.drive import Phase, PhaseRecord, PHASES
from m2vae_ros.node.observer import Arrival
from m2vae_ros.vae.subsets import Subset

_WINDOW = 2.0  # s, over which the table's rates and delays are measured


def phase_table(
    phase: Phase, records: Sequence[PhaseRecord], arrivals: Sequence[Arrival], names: Subset
) -> Table:
    """Return the current table: a row for each phase with its sensors, rate, delay and gap."""
    table = Table(title='What is fused while sensors die and come back', box=box.SIMPLE_HEAD)
    table.add_column('phase', min_width=11)
    for name in names:
        table.add_column(name, min_width=6)
    for title in ('latents', 'Hz', 'delay ms', 'gap s'):
        table.add_column(title, justify='right')
    if not records:
        table.add_row(phase.title, *('...' for _ in names), str(len(arrivals)))
    for record in records:
        table.add_row(*_row(record, names))
    for later in PHASES[len(records):]:
        table.add_row(later.title, style='dim')
    return table


def _row(record: PhaseRecord, names: Subset) -> list[str]:
    if not record.arrivals:
        return [record.phase.title]
    newest = record.arrivals[-1]
    fused = newest.latent.subset(names)
    recent = [
        arrival for arrival in record.arrivals
        if newest.steady_ns - arrival.steady_ns < _WINDOW * 1e9
    ]
    span = (newest.steady_ns - recent[0].steady_ns) * 1e-9
    rate = (len(recent) - 1) / span if span else 0.0
    delay = float(np.median([arrival.latency_ns for arrival in recent])) * 1e-6
    return [
        record.phase.title,
        *(
            '[red]silent[/]' if name in record.phase.silent
            else '[green]fused[/]' if name in fused else '[yellow]missed[/]'
            for name in names
        ),
        str(len(record.arrivals)),
        f'{rate:.1f}',
        f'{delay:.0f}',
        f'{record.longest_gap():.2f}',
    ]

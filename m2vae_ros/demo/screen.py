# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The demo's live table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.table import Table

from m2vae_ros.demo.drive import Passage, Phase, PHASES
from m2vae_ros.node.observer import Arrival
from m2vae_ros.vae.subsets import Subset

_RECENT = 2.0  # s that the table's rates and latencies look back


def screen(
    phase: Phase, passages: Sequence[Passage], arrivals: Sequence[Arrival], names: Subset
) -> Table:
    """Return the table as it is now: a row for each phase, its sensors, rate, delay and gap."""
    table = Table(title='m2vae_ros demo: what is fused while sensors die and come back')
    table.add_column('phase')
    for name in names:
        table.add_column(name, justify='center')
    table.add_column('fused', min_width=sum(map(len, names)) + 2 * len(names))
    for title in ('latents', 'Hz', 'delay ms', 'longest gap s'):
        table.add_column(title, justify='right')
    if not passages:
        table.add_row(phase.title, *('...' for _ in names), f'{len(arrivals)} latents so far')
    for passage in passages:
        table.add_row(*_row(passage, names))
    for later in PHASES[len(passages):]:
        table.add_row(later.title, style='dim')
    return table


def _row(passage: Passage, names: Subset) -> list[str]:
    speaking = [
        '[red]silent[/]' if name in passage.phase.silent else '[green]live[/]' for name in names
    ]
    if not passage.arrivals:
        return [passage.phase.title, *speaking]
    newest = passage.arrivals[-1]
    recent = [
        one for one in passage.arrivals if newest.steady_ns - one.steady_ns < _RECENT * 1e9
    ]
    span = (newest.steady_ns - recent[0].steady_ns) * 1e-9
    rate = (len(recent) - 1) / span if span else 0.0
    delay = float(np.median([one.latency_ns for one in recent])) * 1e-6
    return [
        passage.phase.title,
        *speaking,
        ' + '.join(newest.latent.subset(names)),
        str(len(passage.arrivals)),
        f'{rate:.1f}',
        f'{delay:.0f}',
        f'{passage.longest_gap():.2f}',
    ]

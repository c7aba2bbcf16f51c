# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Which options fuse the sensors of a recording that seldom are; tried before they are said."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.fusion.options import SynchronizerOptions
from m2vae_ros.fusion.timing_proposal import complete_share, ENOUGH, number_text, propose

_LONGEST_NS = 120_000_000_000  # of the middle of a recording, that is judged
_WORTH_TELLING = 0.1  # by which a cure must raise the share


def find_cure(
    times: Mapping[str, NDArray[np.int64]], options: Mapping[str, float], *,
    clock: str = 'receive', offsets: Mapping[str, float] | None = None,
) -> str:
    """
    Return what to add to the command line, and what it fuses; empty = nothing is needed, or helps.

    Parameters
    ----------
    times
        Sensor -> the `Times` of its measurements, ``(measurements, 3)``.
    options
        Options of `Synchronizer`.
    clock
        ``receive`` or ``header``.
    offsets
        Sensor -> seconds that its stamps are ahead.

    """
    offsets = offsets or {}
    chosen = SynchronizerOptions.from_dict(options)
    received = _of_the_middle({name: each[:, [1, 0]] for name, each in times.items()})
    if len(received) < 2:
        return ''
    present = _share(received, chosen, offsets, clock)
    if present >= ENOUGH:
        return ''
    tried = []
    proposal = propose(received, chosen, offsets)
    if proposal is not None and proposal.changes:
        share = _share(received, proposal.options, proposal.offsets, clock)
        tried.append((share, flags(proposal.changes)))
    if clock == 'receive':
        tried.append((_share(received, chosen, offsets, 'header'), '--clock header'))
        if proposal is not None and sum('.' in name for name in proposal.changes) > 1:
            tried.reverse()  # it is not one clock that is off, but that of the recording
    share, cure = max(tried, default=(0.0, ''), key=lambda each: each[0])
    if share < present + _WORTH_TELLING and share < ENOUGH:
        return ''
    return (
        f'with {cure}, {share:.0%} of the messages of the slowest sensor are fused with all '
        f'others, not {present:.0%}'
    )


def flags(changes: Mapping[str, float]) -> str:
    """Return options of the synchronizer, and ``<sensor>.offset``, as options of a command."""
    return ' '.join(
        f'--offset {name.removesuffix(".offset")}={number_text(value)}' if name.endswith('.offset')
        else f'--{name.replace("_", "-")} {number_text(value)}'
        for name, value in changes.items()
    )


def _share(
    received: Mapping[str, NDArray[np.int64]], options: SynchronizerOptions,
    offsets: Mapping[str, float], clock: str,
) -> float:
    if clock == 'header':
        received = {
            name: np.stack([each[:, 0], each[:, 0] - round(offsets.get(name, 0.0) * 1e9)], 1)
            for name, each in received.items()
        }
    share = complete_share(received, options, offsets)
    return 0.0 if np.isnan(share) else share


def _of_the_middle(times: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    """Return the sensors that have messages, with those that came in the middle."""
    times = {name: each[each[:, 0] > 0] for name, each in times.items() if (each[:, 0] > 0).any()}
    if not times:
        return {}
    first = min(int(each[:, 1].min()) for each in times.values())
    last = max(int(each[:, 1].max()) for each in times.values())
    begin = (first + last - _LONGEST_NS) // 2
    found = {
        name: each[(each[:, 1] >= begin) & (each[:, 1] <= begin + _LONGEST_NS)]
        for name, each in times.items()
    }
    return {name: each for name, each in found.items() if len(each)}

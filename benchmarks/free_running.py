# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Fuse random free-running sensors with the options that are proposed for them.

Two to five sensors of 0.5 to 60 Hz with any phase, 0 to 0.5 s of delay and up to 20 ms of jitter
run in simulated time. From the first part of each draw the options are proposed; the share of the
slowest sensor's messages that leave in complete sets is measured on the rest, with the defaults
and with what was proposed. Where the defaults are not enough, there must be a proposal.

    python benchmarks/free_running.py [--draws 300]
"""

from __future__ import annotations

import argparse
import json
import random

import numpy as np
from numpy.typing import NDArray

from m2vae_ros.fusion.options import SynchronizerOptions
from m2vae_ros.fusion.timing_proposal import complete_share, ENOUGH, propose

_START = 1_000_000_000_000_000
_MESSAGES = 60  # of the slowest sensor, in each part
_Times = dict[str, NDArray[np.int64]]


def main() -> int:
    """Print the results as JSON; return 0 if every draw is fused or told how to be."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n\n')[0])
    parser.add_argument('--draws', type=int, default=300)
    draws = [run(seed) for seed in range(parser.parse_args().draws)]
    proposed = sorted(draw['proposed'] for draw in draws)
    silent = [draw for draw in draws if draw['defaults'] < ENOUGH and not draw['changes']]
    worst = sorted(draws, key=lambda draw: draw['proposed'])[:5]
    print(json.dumps({
        'draws': len(draws),
        'least_share_with_proposed': round(proposed[0], 4),
        'draws_below_0.97_with_proposed': sum(share < ENOUGH for share in proposed),
        'draws_fused_by_the_defaults': sum(draw['defaults'] >= ENOUGH for draw in draws),
        'draws_neither_fused_nor_told': len(silent),
        'worst': worst,
    }, indent=1))
    return int(bool(silent) or proposed[0] < ENOUGH)


def run(seed: int) -> dict[str, object]:
    """Return the shares of one draw, and what is proposed to change."""
    rng = random.Random(seed)
    rates = [0.5 * 120 ** rng.random() for _ in range(rng.randint(2, 5))]
    seconds = 2 * _MESSAGES / min(rates)
    times = {f'sensor{index}': stream(rng, 1 / rate, seconds) for index, rate in enumerate(rates)}
    middle = _START + round(seconds * 0.5e9)
    options = SynchronizerOptions()
    proposal = propose(part(times, _START, middle), options)
    rest = part(times, middle, _START + round(seconds * 1e9))
    defaults = complete_share(rest, options)
    changes = {} if proposal is None else dict(proposal.changes)
    share = defaults
    if proposal is not None:
        share = complete_share(rest, proposal.options, proposal.offsets)
    return {
        'seed': seed, 'rates': [round(rate, 2) for rate in rates], 'defaults': defaults,
        'proposed': share, 'changes': changes,
    }


def stream(rng: random.Random, period: float, seconds: float) -> NDArray[np.int64]:
    """Return the stamps and arrivals of a sensor."""
    generator = np.random.default_rng(rng.randrange(2**32))
    stamps = rng.uniform(0, period) + period * np.arange(int(seconds / period))
    delay, jitter = rng.uniform(0, 0.5), rng.uniform(0, 0.02)
    stamps += np.clip(generator.normal(0, jitter / 3, len(stamps)), -jitter, jitter)
    arrivals = stamps + delay + np.abs(generator.normal(0, jitter / 3, len(stamps)))
    arrivals = np.maximum.accumulate(arrivals)  # of one topic they stay in order
    return _START + np.round(1e9 * np.stack([stamps, arrivals], 1)).astype(np.int64)


def part(times: _Times, start: int, end: int) -> _Times:
    """Return what arrives in a part of the time."""
    return {name: each[(each[:, 1] >= start) & (each[:, 1] < end)]
            for name, each in times.items()}


if __name__ == '__main__':
    raise SystemExit(main())

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""How a model is evaluated on a bag."""

from __future__ import annotations

from dataclasses import dataclass

from m2vae_ros.samples.cache import CLOCKS


@dataclass(frozen=True)
class EvaluationOptions:
    """
    How a model is evaluated on a bag.

    Parameters
    ----------
    samples
        Fused sets, evenly spread over the bag, on which errors, bounds and information gains are
        measured; latents are those of all sets.
    likelihood_samples
        Of these, how many have their likelihoods estimated.
    draws
        Importance draws behind each likelihood.
    calibration_samples
        Of the complete ones, how many judge the calibration.
    moments
        Moments that the report shows.
    clock
        What the synchroniser takes for the time: receive (when a message was recorded, as a live
        node would see it) or header (its own stamp, for bags whose stamps are of another time).
    device
        Where the latents are inferred: auto, cpu, cuda or cuda:N. On the CPU they have the same
        bits as those of a live node.
    threads
        CPU threads of one inference, the node's parameter of that name.
    seed
        Of all draws.

    """

    samples: int = 200
    likelihood_samples: int = 48
    draws: int = 64
    calibration_samples: int = 24
    moments: int = 6
    clock: str = 'receive'
    device: str = 'auto'
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        least = {'samples': 2, 'likelihood_samples': 2, 'draws': 2, 'calibration_samples': 1,
                 'moments': 1, 'threads': 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ValueError(
                    f'--{name.replace("_", "-")} {getattr(self, name)}: must be {low} or more'
                )
        if self.clock not in CLOCKS:
            raise ValueError(f'--clock {self.clock}: must be one of {", ".join(CLOCKS)}')

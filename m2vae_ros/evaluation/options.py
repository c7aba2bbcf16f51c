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
        Fused sets, evenly spaced over the bag, on which errors, bounds and information gains are
        measured; latents are written for all sets.
    likelihood_samples
        How many of these sets have their likelihoods estimated.
    draws
        Importance draws for each likelihood.
    calibration_samples
        How many of the sets with all sensors the calibration is measured on.
    moments
        Moments that the report shows.
    clock
        Time of the synchroniser: receive (when a message was recorded, as in a live node) or
        header (its own stamp, for bags whose stamps are not of the time of recording).
    device
        Where the latents are inferred: auto, cpu, cuda or cuda:N. On the CPU they have the same
        bits as those of a live node.
    threads
        CPU threads of one inference, as the node's parameter of this name.
    seed
        Seed of all random draws.

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
        minima = {'samples': 2, 'likelihood_samples': 2, 'draws': 2, 'calibration_samples': 1,
                  'moments': 1, 'threads': 1}
        for name, minimum in minima.items():
            if getattr(self, name) < minimum:
                raise ValueError(
                    f'--{name.replace("_", "-")} {getattr(self, name)}: must be {minimum} or more'
                )
        if self.clock not in CLOCKS:
            raise ValueError(f'--clock {self.clock}: must be one of {", ".join(CLOCKS)}')

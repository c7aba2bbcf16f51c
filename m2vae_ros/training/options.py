# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The options of a training, checked."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

from m2vae_ros.vae.terms import required_subsets

ORDERINGS = ('all', 'sampled')
_RANGES = {
    **dict.fromkeys(('steps', 'batch_size', 'validate_every'), (1, inf)),
    **dict.fromkeys(('patience', 'devices', 'nodes'), (0, inf)),
    **dict.fromkeys(('alpha', 'beta', 'beta_norm', 'gamma', 'joint_prior_weight'), (0, inf)),
    'warm_up': (0, 1),
    'seed': (0, 2**32 - 1),
}  # option -> smallest and largest value


@dataclass(frozen=True)
class TrainingOptions:
    """
    How a model is trained.

    Parameters
    ----------
    objective
        Objective to maximise: vae, jvae, jmvae or m2vae.
    orderings
        For m2vae: all (every subset in every step), or sampled (in every step the subsets of one
        random ordering of the sensors; for many sensors).
    alpha
        Weight of a posterior's divergence from the posteriors that lack one of its sensors.
    beta
        Weight of a posterior's divergence from the prior.
    beta_norm
        In place of beta: a subset's beta is this times its data size over the latent size.
    gamma
        Weight of the reconstructions from single sensors.
    joint_prior_weight
        Further factor, besides beta, of the divergence from the prior, for subsets of two sensors
        and more.
    steps
        Optimiser steps.
    batch_size
        Samples in a step, in each process; at most as many as there are.
    learning_rate
        Peak learning rate of AdamW; it rises over the first 5 % of the steps and falls to 0 by a
        cosine.
    warm_up
        Share of the steps over which alpha and beta rise from 0, so that decoders learn before
        the divergences close the latent space.
    validate_every
        Steps from one validation and checkpoint to the next.
    patience
        Validations without a better bound after which training ends with the weights of the best
        one. 0 = train all steps and take the last weights.
    seed
        Seed of weights, order of samples, orderings and latent samples.
    precision
        Precision by Lightning's name: 32-true, bf16-mixed, 16-mixed.
    accelerator
        Accelerator by Lightning's name: auto, cpu, gpu.
    devices
        Processes on this host, a GPU each; 0 = 1, or as many as torchrun started.
    nodes
        Number of hosts; 0 = 1, or as many as torchrun started.

    """

    objective: str = 'm2vae'
    orderings: str = 'all'
    alpha: float = 1.0
    beta: float = 1.0
    beta_norm: float | None = None
    gamma: float = 1.0
    joint_prior_weight: float = 1.0
    steps: int = 6000
    batch_size: int = 64
    learning_rate: float = 1e-3
    warm_up: float = 0.4
    validate_every: int = 250
    patience: int = 0
    seed: int = 0
    precision: str = '32-true'
    accelerator: str = 'auto'
    devices: int = 0
    nodes: int = 0

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and low <= value <= high):
                rule = f'at least {low}' if high == inf else f'from {low} to {high}'
                raise ValueError(f'training option {name}: {value!r} must be {rule}')
        if not (isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(
                f'training option learning_rate: {self.learning_rate!r} must be above 0'
            )
        required_subsets(self.objective, ('any',))
        for name, known in (
            ('orderings', ORDERINGS),
            ('precision', ('32-true', 'bf16-mixed', '16-mixed')),
            ('accelerator', ('auto', 'cpu', 'gpu')),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f'training option {name}: {getattr(self, name)!r} must be one of '
                    f'{", ".join(known)}'
                )
        if self.orderings == 'sampled' and self.objective != 'm2vae':
            raise ValueError(f'orderings are sampled for m2vae only, not for {self.objective}')
        if self.beta_norm is not None and self.beta != 1:
            raise ValueError(f'beta {self.beta} and beta_norm {self.beta_norm}: give one of them')

    def describe_objective(self) -> dict[str, Any]:
        """Return the objective's name and knobs, as the model's header has them."""
        knobs = ('orderings', 'alpha', 'beta', 'beta_norm', 'gamma', 'joint_prior_weight')
        return {'name': self.objective, **{name: getattr(self, name) for name in knobs}}

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The training loop: Lightning drives, the bound of `vae.objectives` is what it maximises."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from random import Random
from typing import Any, TypedDict
import warnings

import lightning
from lightning.pytorch.callbacks import TQDMProgressBar
import torch
from torch import Tensor

from m2vae_ros.learning.dataset import Batch, SampleDataset
from m2vae_ros.vae.model import Architecture, M2VAE
from m2vae_ros.vae.objectives import bound, normalised_beta
from m2vae_ros.vae.subsets import Subset
from m2vae_ros.vae.terms import reconstructions, required_subsets

# The logarithm of the noise has some units to go while weights move by hundredths: at their rate
# it would lag behind the errors for thousands of steps, and hold back sensors with few numbers.
_NOISE_RATE = 20


ORDERINGS = ('all', 'sampled')


class Knobs(TypedDict):
    """Knobs of an objective, see `vae.objectives.bound`."""

    alpha: float
    beta: float | dict[Subset, float]
    gamma: float
    joint_prior_weight: float


@dataclass(frozen=True)
class TrainingOptions:
    """
    How a model is trained.

    Parameters
    ----------
    objective
        What is maximised: vae, jvae, jmvae or m2vae.
    orderings
        Of m2vae: all (every subset in every step), or sampled (the subsets of one random
        ordering of the sensors in every step, for many sensors).
    alpha
        Weight of the divergence of a posterior from those that lack one of its sensors.
    beta
        Weight of the divergence of a posterior from the prior.
    beta_norm
        Instead of beta: a subset's beta is this times its data size over the latent size.
    gamma
        Weight of the reconstructions from single sensors.
    joint_prior_weight
        Weight, on top of beta, of the prior's divergence for two sensors and more.
    steps
        Optimiser steps.
    batch_size
        Samples a step.
    learning_rate
        Highest learning rate of AdamW; it rises over the first 5 % and falls to 0 by a cosine.
    warm_up
        Share of the steps over which alpha and beta rise from 0, so that decoders learn before
        the divergences close the latent space.
    seed
        Of weights, order, orderings and latent samples.
    precision
        Lightning's name: 32-true, bf16-mixed, 16-mixed.
    accelerator
        Lightning's name: auto, cpu, gpu.

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
    seed: int = 0
    precision: str = '32-true'
    accelerator: str = 'auto'

    def __post_init__(self) -> None:
        rules = {
            'steps': self.steps >= 1,
            'batch_size': self.batch_size >= 1,
            'learning_rate': self.learning_rate > 0,
            'warm_up': 0 <= self.warm_up <= 1,
            'alpha': self.alpha >= 0,
            'beta': self.beta >= 0,
            'beta_norm': self.beta_norm is None or self.beta_norm >= 0,
            'gamma': self.gamma >= 0,
            'joint_prior_weight': self.joint_prior_weight >= 0,
        }
        for name, holds in rules.items():
            if not holds:
                raise ValueError(f'training option {name}: {getattr(self, name)!r} out of range')
        required_subsets(self.objective, ('any',))
        if self.orderings not in ORDERINGS:
            raise ValueError(
                f'training option orderings: {self.orderings!r} must be one of '
                f'{", ".join(ORDERINGS)}'
            )
        if self.orderings == 'sampled' and self.objective != 'm2vae':
            raise ValueError(f'orderings are sampled for m2vae only, not for {self.objective}')
        if self.beta_norm is not None and self.beta != 1:
            raise ValueError(f'beta {self.beta} and beta_norm {self.beta_norm}: give one of them')

    def describe_objective(self) -> dict[str, Any]:
        """Return the objective's name and knobs, as the model's header has them."""
        chosen = ('orderings', 'alpha', 'beta', 'beta_norm', 'gamma', 'joint_prior_weight')
        return {'name': self.objective, **{name: getattr(self, name) for name in chosen}}


class BoundMaximisation(lightning.LightningModule):  # type: ignore[misc]
    """
    One step of training: the bound of a batch, per measured number, made as large as can be.

    Parameters
    ----------
    model
        What is trained.
    options
        How.

    """

    def __init__(self, model: M2VAE, options: TrainingOptions) -> None:
        super().__init__()
        self.model = model
        self.options = options
        sizes = {spec.name: prod(spec.shape) for spec in model.sensors}
        self._size = sum(sizes.values())
        self._beta: dict[Subset, float] = {}  # where it differs between the subsets
        if options.beta_norm is not None:
            self._beta = normalised_beta(options.beta_norm, sizes, model.latent_size)
        self._orderings = Random(options.seed)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Return the loss: minus the bound per sample and number."""
        objective, names = self.options.objective, self.model.names
        sampled = self.options.orderings == 'sampled'
        ordering = self._orderings.sample(names, len(names)) if sampled else None
        posteriors, log_likelihoods = self.model(
            batch.sensors,
            available=batch.available,
            reconstruct=reconstructions(objective, names, ordering=ordering),
        )
        value = bound(
            objective, posteriors, log_likelihoods, names=names, ordering=ordering,
            available=batch.available,
            **self.knobs(self._warmed_up()),
        ).mean()
        self.log('bound', value, prog_bar=True)
        largest = self.model.trained_subsets[-1]
        self.log('kl', posteriors[largest].kl_from_standard().mean(), prog_bar=True)
        return -value / self._size

    def knobs(self, warmed_up: float = 1.0) -> Knobs:
        """Return the objective's knobs, those that the warm-up raises scaled by its share."""
        return Knobs(
            alpha=warmed_up * self.options.alpha,
            beta={subset: warmed_up * beta for subset, beta in self._beta.items()}
            or warmed_up * self.options.beta,
            gamma=self.options.gamma,
            joint_prior_weight=self.options.joint_prior_weight,
        )

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Skip nothing silently: a bound that is not finite ends the training."""
        value = self.trainer.callback_metrics.get('bound')
        if value is not None and not bool(value.isfinite()):
            raise ValueError(
                f'the bound became {value.item()} at step {self.global_step}: lower '
                f'learning_rate ({self.options.learning_rate})'
            )

    def configure_optimizers(self) -> Any:
        """Return AdamW with one rise and one fall of its learning rate."""
        rate = self.options.learning_rate
        noise = [weight for name, weight in self.model.named_parameters() if 'log_noise' in name]
        others = [
            weight for name, weight in self.model.named_parameters() if 'log_noise' not in name
        ]
        optimizer = torch.optim.AdamW(
            [
                {'params': others, 'lr': rate, 'weight_decay': 1e-4},
                {'params': noise, 'lr': _NOISE_RATE * rate, 'weight_decay': 0.0},
            ]
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            [rate, _NOISE_RATE * rate],
            total_steps=self.options.steps + 1,
            pct_start=0.05,
            div_factor=10,
            final_div_factor=100,
        )
        return {
            'optimizer': optimizer,
            'lr_scheduler': {'scheduler': schedule, 'interval': 'step'},
        }

    def _warmed_up(self) -> float:
        """Return how far the warm-up has come, 0..1."""
        rise = self.options.warm_up * self.options.steps
        return min(1.0, self.global_step / rise) if rise else 1.0


def train(
    dataset: SampleDataset,
    options: TrainingOptions,
    architecture: Architecture | None = None,
    *,
    progress: bool = True,
) -> M2VAE:
    """
    Train a model for the sensors of a dataset.

    Parameters
    ----------
    dataset
        Training samples; they also give the normalisation.
    options
        How to train.
    architecture
        Sizes of the networks.
    progress
        Show a progress bar.

    Returns
    -------
    M2VAE
        On the CPU, in evaluation mode, with the encoders that the objective trains.

    Raises
    ------
    ValueError
        If there are fewer samples than one batch, or the training diverges.
    KeyboardInterrupt
        At Ctrl-C.

    """
    if len(dataset) < options.batch_size:
        raise ValueError(
            f'{len(dataset)} samples: fewer than one batch of {options.batch_size}; record more '
            f'or choose a smaller batch_size'
        )
    lightning.seed_everything(options.seed, verbose=False)
    names = tuple(spec.name for spec in dataset.sensors)
    model = M2VAE(dataset.sensors, architecture, required_subsets(options.objective, names))
    dataset.fit_normalisation(model)
    trainer = lightning.Trainer(
        max_steps=options.steps,
        accelerator=options.accelerator,
        devices=1,
        precision=options.precision,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
        callbacks=[TQDMProgressBar(refresh_rate=20)] if progress else [],
    )
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='.*does not have many workers.*')
        warnings.filterwarnings('ignore', message='.*LeafSpec.*')
        try:
            trainer.fit(
                BoundMaximisation(model, options),
                dataset.loader(options.batch_size, shuffle_seed=options.seed),
            )
        except SystemExit:  # what Lightning makes of a Ctrl-C
            raise KeyboardInterrupt from None
    return model.cpu().eval()

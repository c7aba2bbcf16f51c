# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The bound of `vae.objectives` as what Lightning makes as large as can be."""

from __future__ import annotations

from math import prod
from random import Random
from typing import Any

import lightning
import torch
from torch import Tensor

from m2vae_ros.samples.dataset import Batch
from m2vae_ros.training.options import TrainingOptions
from m2vae_ros.vae.model import M2VAE
from m2vae_ros.vae.objectives import Knobs, normalised_beta, Parts, parts
from m2vae_ros.vae.subsets import Subset
from m2vae_ros.vae.terms import reconstructions

# The logarithm of the noise has some units to go while weights move by hundredths: at their rate
# it would lag behind the errors for thousands of steps, and hold back sensors with few numbers.
_NOISE_RATE = 20
_LOG_EVERY = 20  # steps, in a training that is not too short for that
MONITORED = 'validation/bound'
_STATE = 'm2vae_random'  # key of a checkpoint


def log_interval(options: TrainingOptions) -> int:
    """Return the steps from one line of the logs to the next."""
    return max(1, min(_LOG_EVERY, options.steps // 50))


class BoundMaximisation(lightning.LightningModule):  # type: ignore[misc]
    """
    One step of training: the bound of a batch, per measured number, made as large as can be.

    Everything random in a step comes from states that a checkpoint keeps, so that a training that
    is taken up again goes the very way it would have gone.

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
        self._noise: torch.Generator | None = None  # of latent samples; None = the global one
        self._restored: list[Tensor] = []
        self.shown: dict[str, Tensor] = {}  # parts of the last step's bound
        self._sums: dict[str, Tensor] = {}  # of a validation
        self._validated = 0.0

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Return the loss: minus the bound per sample and number."""
        found = self._parts(batch, self._orderings, self._noise, self._warmed_up())
        value = found.bound().mean()
        self.shown = {'bound': value.detach(), **self._means(found)}
        if (index + 1) % log_interval(self.options) == 0:
            self.log_dict(self.shown)
        return -value / self._size

    def on_validation_epoch_start(self) -> None:
        """Begin anew, with the same latent noise every time, so that bounds compare."""
        self._sums, self._validated = {}, 0.0
        self._validation_noise = torch.Generator(self.device).manual_seed(self.options.seed)
        self._validation_orderings = Random(self.options.seed)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Add up the bound, at the knobs' full weight, over the held-out samples."""
        found = self._parts(batch, self._validation_orderings, self._validation_noise, 1.0)
        value = found.bound()
        for name, mean in {'bound': value.mean(), **self._means(found)}.items():
            total = self._sums.get(name, torch.zeros((), dtype=torch.float64, device=self.device))
            self._sums[name] = total + mean.double() * len(value)
        self._validated += len(value)

    def on_validation_epoch_end(self) -> None:
        """Log the means over all processes."""
        strategy = self.trainer.strategy
        count = strategy.reduce(
            torch.tensor(self._validated, dtype=torch.float64, device=self.device),
            reduce_op='sum',
        )
        self.log_dict({
            f'validation/{name}': (strategy.reduce(total, reduce_op='sum') / count).float()
            for name, total in self._sums.items()
        })

    def knobs(self, warmed_up: float = 1.0) -> Knobs:
        """Return the objective's knobs, those that the warm-up raises scaled by its share."""
        return Knobs(
            alpha=warmed_up * self.options.alpha,
            beta={subset: warmed_up * beta for subset, beta in self._beta.items()}
            or warmed_up * self.options.beta,
            gamma=self.options.gamma,
            joint_prior_weight=self.options.joint_prior_weight,
        )

    def is_warmed_up(self) -> bool:
        """Return whether the knobs have their full weights by now."""
        return self._warmed_up() >= 1

    def on_train_start(self) -> None:
        """Take the states of the latent noise: of the checkpoint, or of the seed."""
        device = self.device
        self._noise = torch.Generator(device)
        rank = self.trainer.global_rank
        if self._restored:
            self._noise.set_state(self._restored[rank])
        elif rank == 0 and device.type == 'cpu':
            self._noise.set_state(torch.get_rng_state())
        elif rank == 0 and device.type == 'cuda':
            self._noise.set_state(torch.cuda.get_rng_state(device))
        else:
            self._noise.manual_seed(self.options.seed + 2**32 * rank)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the random states of all processes."""
        assert self._noise is not None
        state = self._noise.get_state()
        states = [state] * self.trainer.world_size
        if self.trainer.world_size > 1:
            torch.distributed.all_gather_object(states, state)
        version, words, spare = self._orderings.getstate()
        checkpoint[_STATE] = {
            'noise': states, 'orderings': [version, torch.tensor(words), spare]
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the random states."""
        state = checkpoint[_STATE]
        self._restored = state['noise']
        version, words, spare = state['orderings']
        self._orderings.setstate((version, tuple(words.tolist()), spare))

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Skip nothing silently: a bound that is not finite ends the training."""
        value = self.shown['bound']
        if not bool(value.isfinite()):
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

    def _parts(
        self, batch: Batch, orderings: Random, noise: torch.Generator | None, warmed_up: float
    ) -> Parts:
        """Return the bound of a batch in its parts."""
        objective, names = self.options.objective, self.model.names
        sampled = self.options.orderings == 'sampled'
        ordering = orderings.sample(names, len(names)) if sampled else None
        chosen = reconstructions(
            objective, names, available=batch.available, ordering=ordering
        )
        posteriors, log_likelihoods = self.model(
            batch.sensors, noise, available=batch.available, reconstruct=chosen
        )
        return parts(
            objective, posteriors, log_likelihoods, self.knobs(warmed_up), names=names,
            available=batch.available, ordering=ordering,
        )

    def _means(self, found: Parts) -> dict[str, Tensor]:
        """Return what a mean bound is the sum of; divergences count against it."""
        means = {
            f'reconstruction/{name}': found.reconstruction(name).detach().mean()
            for name in self.model.names
        }
        means['kl_prior'] = found.kl_prior.detach().mean()
        if found.kl_mutual is not None:
            means['kl_mutual'] = found.kl_mutual.detach().mean()
        return means

    def _warmed_up(self) -> float:
        """Return how far the warm-up has come, 0..1."""
        rise = self.options.warm_up * self.options.steps
        return min(1.0, self.global_step / rise) if rise else 1.0

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The maximisation of an objective's bound, as a module that Lightning trains."""

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

# Times the learning rate of the weights. The logarithm of the noise changes by whole units where
# weights move by hundredths: at their rate it would lag behind the errors for thousands of steps,
# and hold back sensors with few numbers.
_NOISE_RATE = 20
_LOG_EVERY = 20  # steps; fewer in short trainings
MONITORED = 'validation/bound'
_RANDOM_STATES = 'm2vae_random'  # key of a checkpoint


def log_interval(options: TrainingOptions) -> int:
    """Return the steps between lines of the logs."""
    return max(1, min(_LOG_EVERY, options.steps // 50))


class BoundMaximisation(lightning.LightningModule):  # type: ignore[misc]
    """
    Training steps that maximise the bound of a batch, and validations of it.

    The loss is minus the mean bound per sample and measured number. Everything random in a step
    comes from states that a checkpoint keeps, so that a resumed training has the same weights as
    one that was not interrupted.

    Parameters
    ----------
    model
        The model to train.
    options
        How to train it.

    Attributes
    ----------
    last_terms
        ``bound`` of the last step and its terms, see `_mean_terms`; nats.

    """

    def __init__(self, model: M2VAE, options: TrainingOptions) -> None:
        super().__init__()
        self.model = model
        self.options = options
        sizes = {spec.name: prod(spec.shape) for spec in model.sensors}
        self._data_size = sum(sizes.values())
        self._beta: dict[Subset, float] = {}  # where it differs between the subsets
        if options.beta_norm is not None:
            self._beta = normalised_beta(options.beta_norm, sizes, model.latent_size)
        self._orderings = Random(options.seed)
        self._noise: torch.Generator | None = None  # for latent samples; None = the global one
        self._restored_noise: list[Tensor] = []
        self.last_terms: dict[str, Tensor] = {}
        self._validation_sums: dict[str, Tensor] = {}
        self._validation_count = 0.0  # samples

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Return the loss: minus the mean bound per sample and measured number."""
        found = self._parts(batch, self._orderings, self._noise, self._warm_up_share())
        value = found.bound().mean()
        self.last_terms = {'bound': value.detach(), **self._mean_terms(found)}
        if (index + 1) % log_interval(self.options) == 0:
            self.log_dict(self.last_terms)
        return -value / self._data_size

    def on_validation_epoch_start(self) -> None:
        """Reset sums and random states: every validation has the same noise, so bounds compare."""
        self._validation_sums, self._validation_count = {}, 0.0
        self._validation_noise = torch.Generator(self.device).manual_seed(self.options.seed)
        self._validation_orderings = Random(self.options.seed)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Add the bound of a batch and its terms to the sums, with the knobs' full weights."""
        found = self._parts(batch, self._validation_orderings, self._validation_noise, 1.0)
        value = found.bound()
        zero = torch.zeros((), dtype=torch.float64, device=self.device)
        for name, mean in {'bound': value.mean(), **self._mean_terms(found)}.items():
            total = self._validation_sums.get(name, zero)
            self._validation_sums[name] = total + mean.double() * len(value)
        self._validation_count += len(value)

    def on_validation_epoch_end(self) -> None:
        """Log the means over the validation samples of all processes."""
        strategy = self.trainer.strategy
        count = strategy.reduce(
            torch.tensor(self._validation_count, dtype=torch.float64, device=self.device),
            reduce_op='sum',
        )
        self.log_dict({
            f'validation/{name}': (strategy.reduce(total, reduce_op='sum') / count).float()
            for name, total in self._validation_sums.items()
        })

    def knobs(self, warm_up: float = 1.0) -> Knobs:
        """Return the objective's knobs; alpha and beta are scaled by the warm-up's share, 0..1."""
        return Knobs(
            alpha=warm_up * self.options.alpha,
            beta={subset: warm_up * beta for subset, beta in self._beta.items()}
            or warm_up * self.options.beta,
            gamma=self.options.gamma,
            joint_prior_weight=self.options.joint_prior_weight,
        )

    def is_warmed_up(self) -> bool:
        """Return whether alpha and beta have their full weights."""
        return self._warm_up_share() >= 1

    def on_train_start(self) -> None:
        """Set the state of the latent noise: from the checkpoint, else from the seed."""
        device = self.device
        self._noise = torch.Generator(device)
        rank = self.trainer.global_rank
        if self._restored_noise:
            self._noise.set_state(self._restored_noise[rank])
        elif rank == 0 and device.type == 'cpu':
            self._noise.set_state(torch.get_rng_state())
        elif rank == 0 and device.type == 'cuda':
            self._noise.set_state(torch.cuda.get_rng_state(device))
        else:
            self._noise.manual_seed(self.options.seed + 2**32 * rank)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the random states of all processes to the checkpoint."""
        assert self._noise is not None
        state = self._noise.get_state()
        states = [state] * self.trainer.world_size
        if self.trainer.world_size > 1:
            torch.distributed.all_gather_object(states, state)
        version, words, spare = self._orderings.getstate()
        checkpoint[_RANDOM_STATES] = {
            'noise': states, 'orderings': [version, torch.tensor(words), spare]
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the random states from the checkpoint."""
        state = checkpoint[_RANDOM_STATES]
        self._restored_noise = state['noise']
        version, words, spare = state['orderings']
        self._orderings.setstate((version, tuple(words.tolist()), spare))

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """End the training with an error if the bound is not finite."""
        value = self.last_terms['bound']
        if not bool(value.isfinite()):
            raise ValueError(
                f'the bound became {value.item()} at step {self.global_step}: lower '
                f'learning_rate ({self.options.learning_rate})'
            )

    def configure_optimizers(self) -> Any:
        """Return AdamW, its learning rate rising once and falling by a cosine."""
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
        self, batch: Batch, orderings: Random, noise: torch.Generator | None, warm_up: float
    ) -> Parts:
        """Return the bound of a batch in its parts."""
        objective, names = self.options.objective, self.model.names
        sampled = self.options.orderings == 'sampled'
        ordering = orderings.sample(names, len(names)) if sampled else None
        needed = reconstructions(
            objective, names, available=batch.available, ordering=ordering
        )
        posteriors, log_likelihoods = self.model(
            batch.sensors, noise, available=batch.available, reconstruct=needed
        )
        return parts(
            objective, posteriors, log_likelihoods, self.knobs(warm_up), names=names,
            available=batch.available, ordering=ordering,
        )

    def _mean_terms(self, found: Parts) -> dict[str, Tensor]:
        """Return the batch means of the bound's terms: reconstructions less divergences, nats."""
        terms = {
            f'reconstruction/{name}': found.reconstruction(name).detach().mean()
            for name in self.model.names
        }
        terms['kl_prior'] = found.kl_prior.detach().mean()
        if found.kl_mutual is not None:
            terms['kl_mutual'] = found.kl_mutual.detach().mean()
        return terms

    def _warm_up_share(self) -> float:
        """Return the share of alpha and beta at this step, rising linearly, 0..1."""
        warm_up_steps = self.options.warm_up * self.options.steps
        return min(1.0, self.global_step / warm_up_steps) if warm_up_steps else 1.0

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Lightning's trainer: precision, processes, logs, checkpoints, early stopping, progress."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
import json
import logging
import sys
from typing import Any

import lightning
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
import tensorboardX  # noqa: F401  (what Lightning's TensorBoardLogger writes with)

from m2vae_ros.training.distributed import World
from m2vae_ros.training.interruption import Interruption
from m2vae_ros.training.maximisation import BoundMaximisation, log_interval, MONITORED
from m2vae_ros.training.options import TrainingOptions
from m2vae_ros.training.progress import BoundBar
from m2vae_ros.training.run_folder import AtomicCheckpoints, IDENTITY, RunFolder


# Lightning stores the state of the two callbacks under their class names: these are part of the
# format of checkpoints.
class Patience(EarlyStopping):  # type: ignore[misc]
    """Early stopping that waits for the end of the warm-up: before it, bounds do not compare."""

    def on_validation_end(self, trainer: Any, module: BoundMaximisation) -> None:
        """Compare the validation's bound with the best one, after the warm-up."""
        if module.is_warmed_up():
            super().on_validation_end(trainer, module)


class Checkpoints(Checkpoint):  # type: ignore[misc]
    """
    Save a checkpoint every so many steps, after the validation if there is one, and at an end.

    Parameters
    ----------
    run
        Folder of the checkpoints.
    identity
        Identity of the training, see `RunFolder.step_to_resume`.
    interruption
        Tells whether an end was requested: then a checkpoint is saved and the training ends with
        a KeyboardInterrupt.
    validates
        Whether there are validations.
    every
        Steps from one checkpoint to the next.
    keeps_best
        Whether to keep the weights of the best validation after the warm-up.

    Attributes
    ----------
    best
        Bound of the best validation after the warm-up, nats; None before the first.

    """

    def __init__(
        self, run: RunFolder, identity: Mapping[str, Any], interruption: Interruption, *,
        validates: bool, every: int, keeps_best: bool,
    ) -> None:
        self.best: float | None = None
        self._run, self._identity = run, json.dumps(identity)
        self._interruption = interruption
        self._validates, self._every, self._keeps_best = validates, every, keeps_best

    def on_train_start(self, trainer: Any, module: BoundMaximisation) -> None:
        """Handle the signals again, for which Lightning has set its own handlers."""
        self._interruption.listen()

    def on_train_batch_end(
        self, trainer: Any, module: BoundMaximisation, outputs: Any, batch: Any, index: int
    ) -> None:
        """Save a checkpoint if one is due and no validation follows, or an end was requested."""
        due = (index + 1) % self._every == 0
        if due and self._validates:
            return
        end_requested = self._end_requested(trainer)
        if due or end_requested:
            trainer.save_checkpoint(self._run.last, weights_only=False)
        if end_requested:
            raise KeyboardInterrupt

    def on_validation_end(self, trainer: Any, module: BoundMaximisation) -> None:
        """Save a checkpoint, and the weights if the bound is the best one so far."""
        bound = float(trainer.callback_metrics[MONITORED])
        if self._keeps_best and module.is_warmed_up() and (self.best is None or bound > self.best):
            self.best = bound
            trainer.save_checkpoint(self._run.best, weights_only=True)
        trainer.save_checkpoint(self._run.last, weights_only=False)
        if self._end_requested(trainer):
            raise KeyboardInterrupt

    def on_save_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        """Add the training's identity to the checkpoint."""
        checkpoint[IDENTITY] = self._identity

    def state_dict(self) -> dict[str, Any]:
        """Return the best bound so far, for the checkpoint."""
        return {'best': self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best bound from the checkpoint."""
        self.best = state_dict['best']

    def _end_requested(self, trainer: Any) -> bool:
        """Return whether any process got a signal; the same answer in all of them."""
        if trainer.world_size == 1:
            return self._interruption.requested
        return bool(
            trainer.strategy.reduce_boolean_decision(self._interruption.requested, all=False)
        )


def make_trainer(
    options: TrainingOptions, world: World, run: RunFolder | None, callbacks: list[Any], *,
    first_step: int = 0, validates: bool = False, progress: bool = False,
) -> lightning.Trainer:
    """
    Return Lightning's trainer.

    Parameters
    ----------
    options
        How to train.
    world
        The processes that train.
    run
        Folder of logs and checkpoints; None = write none.
    callbacks
        Callbacks besides those for patience and progress: `Checkpoints` if there is a run.
    first_step
        Step at which this session starts; it names the session's folder of logs.
    validates
        Whether there are validation samples.
    progress
        Whether to show a progress bar.

    """
    callbacks = [*callbacks]
    if validates and options.patience:
        callbacks.append(Patience(
            MONITORED, mode='max', patience=options.patience, check_on_train_epoch_end=False,
        ))
    if progress:
        callbacks.append(BoundBar())
    session = f'from_step_{first_step}'
    with quiet():
        return lightning.Trainer(
            max_steps=options.steps,
            accelerator=options.accelerator,
            devices=world.devices,
            num_nodes=world.nodes,
            # An encoder has no gradient in a step of which no sample has its sensors.
            strategy=DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)
            if world.size > 1 else 'auto',
            use_distributed_sampler=False,  # ShuffledBatches shares the samples out itself
            precision=options.precision,
            gradient_clip_val=1.0,
            logger=[
                CSVLogger(run.logs, '', session, flush_logs_every_n_steps=1),
                TensorBoardLogger(run.logs, '', session),
            ] if run else False,
            log_every_n_steps=log_interval(options),
            val_check_interval=validation_interval(options) if validates else None,
            check_val_every_n_epoch=None if validates else 1,
            limit_val_batches=None if validates else 0,
            num_sanity_val_steps=0,
            enable_checkpointing=run is not None,
            enable_model_summary=False,
            enable_progress_bar=progress,
            callbacks=callbacks,
            plugins=[AtomicCheckpoints()],
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's advice from the standard error."""
    loggers = [logging.getLogger(name) for name in ('lightning.pytorch', 'lightning.fabric')]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def validation_interval(options: TrainingOptions) -> int:
    """Return the steps between validations: about `validate_every`, with the last at the end."""
    validations = max(1, round(options.steps / options.validate_every))
    return options.steps // validations


def say(text: str) -> None:
    """Print a line to the standard error, where the progress bars are."""
    print(text, file=sys.stderr)

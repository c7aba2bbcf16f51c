# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Lightning, set up: precision, processes, logs, checkpoints, early stopping, progress."""

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
from m2vae_ros.training.progress import PartsBar
from m2vae_ros.training.run_folder import IDENTITY, RunFolder, WholeCheckpoints


class Patience(EarlyStopping):  # type: ignore[misc]
    """End when validation bounds rise no more, once the objective has its full weights."""

    def on_validation_end(self, trainer: Any, module: BoundMaximisation) -> None:
        """Look at a bound."""
        if module.is_warmed_up():
            super().on_validation_end(trainer, module)


class Checkpoints(Checkpoint):  # type: ignore[misc]
    """
    After every validation, or where it would be, a checkpoint; and one where an end is asked for.

    Parameters
    ----------
    run
        Where they go.
    identity
        Of the training, see `RunFolder.step_to_resume`.
    interruption
        Who asks for an end.
    validates
        Whether there are validations.
    every
        Steps between them.
    keeps_best
        Whether to keep the weights of the best validation after the warm-up.

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
        """Take the signals, which Lightning has taken meanwhile."""
        self._interruption.listen()

    def on_train_batch_end(
        self, trainer: Any, module: BoundMaximisation, outputs: Any, batch: Any, index: int
    ) -> None:
        """Save where no validation follows; end if that is asked for."""
        due = (index + 1) % self._every == 0
        if due and self._validates:
            return
        asked = self._asked(trainer)
        if due or asked:
            trainer.save_checkpoint(self._run.last, weights_only=False)
        if asked:
            raise KeyboardInterrupt

    def on_validation_end(self, trainer: Any, module: BoundMaximisation) -> None:
        """Save; end if that is asked for."""
        bound = float(trainer.callback_metrics[MONITORED])
        if self._keeps_best and module.is_warmed_up() and (self.best is None or bound > self.best):
            self.best = bound
            trainer.save_checkpoint(self._run.best, weights_only=True)
        trainer.save_checkpoint(self._run.last, weights_only=False)
        if self._asked(trainer):
            raise KeyboardInterrupt

    def on_save_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        """Say whose checkpoint it is."""
        checkpoint[IDENTITY] = self._identity

    def state_dict(self) -> dict[str, Any]:
        """Return the best bound so far."""
        return {'best': self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best bound so far."""
        self.best = state_dict['best']

    def _asked(self, trainer: Any) -> bool:
        """Return whether any process was asked to end; the same answer in all of them."""
        if trainer.world_size == 1:
            return self._interruption.asked
        return bool(trainer.strategy.reduce_boolean_decision(self._interruption.asked, all=False))


def make_trainer(
    options: TrainingOptions, world: World, run: RunFolder | None, callbacks: list[Any], *,
    first_step: int = 0, validates: bool = False, progress: bool = False,
) -> lightning.Trainer:
    """
    Return the trainer.

    Parameters
    ----------
    options
        How to train.
    world
        The processes that do.
    run
        Where logs and checkpoints go; None = nowhere.
    callbacks
        `Checkpoints`, where there is a run.
    first_step
        At which this session begins; its logs have a folder of this name.
    validates
        Whether there are validation samples.
    progress
        Show a progress bar.

    """
    callbacks = [*callbacks]
    if validates and options.patience:
        callbacks.append(Patience(
            MONITORED, mode='max', patience=options.patience, check_on_train_epoch_end=False,
        ))
    if progress:
        callbacks.append(PartsBar())
    session = f'from_step_{first_step}'
    with quiet():
        return lightning.Trainer(
            max_steps=options.steps,
            accelerator=options.accelerator,
            devices=world.devices,
            num_nodes=world.nodes,
            # In a step, no sample may have the sensors of some encoder: it then has no gradient.
            strategy=DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)
            if world.size > 1 else 'auto',
            use_distributed_sampler=False,  # ours shards
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
            plugins=[WholeCheckpoints()],
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's advice off the standard error."""
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
    """Return the steps from one validation to the next, such that the last comes at the end."""
    times = max(1, round(options.steps / options.validate_every))
    return options.steps // times


def say(text: str) -> None:
    """Tell the user something, beside the progress bars."""
    print(text, file=sys.stderr)

# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The progress bar of a training: the bound's parts in nats, and the time that is left."""

from __future__ import annotations

import sys
from typing import Any

from lightning.pytorch.callbacks import TQDMProgressBar

from m2vae_ros.training.maximisation import BoundMaximisation, MONITORED

_REFRESH = 20  # steps


class PartsBar(TQDMProgressBar):  # type: ignore[misc]
    """One bar for all steps; beside it the last bound, its parts, and the last validation's."""

    BAR_FORMAT = '{desc}: {percentage:3.0f}%|{bar:12}| {n_fmt}/{total_fmt} ' \
                 '[{elapsed}<{remaining}{postfix}]'

    def __init__(self) -> None:
        super().__init__(refresh_rate=_REFRESH)

    def init_train_tqdm(self) -> Any:
        """Return a bar on the standard error."""
        bar = super().init_train_tqdm()
        bar.fp = sys.stderr
        return bar

    def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
        """Begin at the step that the training begins at."""
        total = trainer.max_steps
        self.train_progress_bar.reset(total)
        self.train_progress_bar.initial = trainer.global_step
        self.train_progress_bar.n = trainer.global_step
        self.train_progress_bar.set_description_str('training')

    def get_metrics(self, trainer: Any, module: BoundMaximisation) -> dict[str, Any]:
        """Return what stands beside the bar, in nats."""
        shown = {
            name.rpartition('/')[2]: f'{float(value):.0f}' for name, value in module.shown.items()
        }
        if MONITORED in trainer.callback_metrics:
            shown['validation'] = f'{float(trainer.callback_metrics[MONITORED]):.0f}'
        return shown

    def init_validation_tqdm(self) -> Any:
        """Return a bar that is not shown: validations are short."""
        bar = super().init_validation_tqdm()
        bar.disable = True
        return bar

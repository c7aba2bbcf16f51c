# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The progress bar of a training: the bound and its terms in nats, and the remaining time."""

from __future__ import annotations

import sys
from typing import Any

from lightning.pytorch.callbacks import TQDMProgressBar

from m2vae_ros.training.maximisation import BoundMaximisation, MONITORED

_REFRESH_STEPS = 20


class BoundBar(TQDMProgressBar):  # type: ignore[misc]
    """One bar for all steps, with the last step's bound and its terms, and the last validation."""

    BAR_FORMAT = '{desc}: {percentage:3.0f}%|{bar:12}| {n_fmt}/{total_fmt} ' \
                 '[{elapsed}<{remaining}{postfix}]'

    def __init__(self) -> None:
        super().__init__(refresh_rate=_REFRESH_STEPS)

    def init_train_tqdm(self) -> Any:
        """Return the bar, on the standard error."""
        bar = super().init_train_tqdm()
        bar.fp = sys.stderr
        return bar

    def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
        """Start the bar at the step at which the training starts or resumes."""
        total = trainer.max_steps
        self.train_progress_bar.reset(total)
        self.train_progress_bar.initial = trainer.global_step
        self.train_progress_bar.n = trainer.global_step
        self.train_progress_bar.set_description_str('training')

    def get_metrics(self, trainer: Any, module: BoundMaximisation) -> dict[str, Any]:
        """Return the text beside the bar: terms of the bound -> nats."""
        shown = {
            name.rpartition('/')[2]: f'{float(value):.0f}'
            for name, value in module.last_terms.items()
        }
        if MONITORED in trainer.callback_metrics:
            shown['validation'] = f'{float(trainer.callback_metrics[MONITORED]):.0f}'
        return shown

    def init_validation_tqdm(self) -> Any:
        """Return a bar that is not shown, because validations are short."""
        bar = super().init_validation_tqdm()
        bar.disable = True
        return bar

"""The progress bar of a run's training.

Training goes on whatever becomes of the bar: each hook of Lightning's drops errors of showing it.
"""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.common.text import metric_text
from bench.training.callbacks import has_validation

REFRESHES_PER_SECOND = 4
SECONDS_BETWEEN_LINES = 10  # of progress, where there is no terminal to redraw on


def unfailing(hook: Callable[..., None]) -> Callable[..., None]:
    """Return a hook that drops its errors: a terminal that is gone, no room for a thread that redraws."""

    @wraps(hook)
    def try_hook(*args: Any, **options: Any) -> None:
        with suppress(Exception):
            hook(*args, **options)

    return try_hook


class ProgressBar(Callback):
    """Steps, time left and the last evaluation, on stderr, redrawn at most four times a second."""

    def __init__(self, total_steps: int, metric: str, label: str) -> None:
        self.metric = metric
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.console = Console(stderr=True)
        self.progress = Progress(
            *columns, console=self.console, refresh_per_second=REFRESHES_PER_SECOND, transient=True
        )
        self.task = self.progress.add_task(label, total=total_steps)
        self.label, self.total_steps = label, total_steps
        self.last_line = time.monotonic()

    @unfailing
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and self.console.is_terminal:
            self.progress.start()

    @unfailing
    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.progress.update(self.task, completed=trainer.global_step)

    @unfailing
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit":
            return
        value = metric_text(self.metric, self.latest(trainer))
        self._tell(trainer, f"{self.label}  validation {self.metric} {value}")

    @unfailing
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not has_validation(trainer):
            self._tell(trainer, self.label)

    def _tell(self, trainer: Trainer, text: str) -> None:
        self.progress.update(self.task, description=text)
        now = time.monotonic()
        if not self.console.is_terminal and trainer.is_global_zero and now - self.last_line > SECONDS_BETWEEN_LINES:
            self.console.print(f"{text}  step {trainer.global_step} of {self.total_steps}", soft_wrap=True)
            self.last_line = now

    def latest(self, trainer: Trainer) -> float:
        return float(trainer.callback_metrics.get(f"validation/{self.metric}", math.nan))

    @unfailing
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.progress.stop()

    @unfailing
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.progress.stop()

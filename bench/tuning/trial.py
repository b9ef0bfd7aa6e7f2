"""A tuning trial where it runs: it trains, reports its progress, and stops when it is told to.

Nothing here knows about studies, so that a trial can train in this process or on another machine.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from bench.runs.recorded import WEIGHTS
from bench.runs.request import Execution, TrialRequest
from bench.training.attempt import Attempt, forget
from bench.training.ending import Ending, ending_of
from bench.training.process_settings import one_thread

SECONDS_BETWEEN_SIGNS = 1.0  # of life: after this long without a report, a step is reported


@dataclass(frozen=True)
class Progress:
    """How far a trial is: its step and, right after an evaluation, which one that was (from 1) and the metric."""

    step: int
    evaluation: int = 0
    value: float | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a trial ended: after how many steps, with which best validation metric and the weights that had it."""

    ending: Ending
    steps: int = 0
    was_stopped: bool = False
    value: float | None = None
    weights: bytes | None = None
    """A safetensors file."""


Tell = Callable[[Progress], bool]
"""Takes a trial's progress, and returns whether the trial should stop."""


class Teller(Callback):
    """Reports every evaluation and, now and then, a step. Ends training where the answer is to stop."""

    def __init__(self, metric: str, tell: Tell) -> None:
        self.metric, self.tell = metric, tell
        self.values: list[float] = []
        self.was_stopped = False
        self.told_at = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if time.monotonic() - self.told_at > SECONDS_BETWEEN_SIGNS:
            self._tell(trainer, Progress(trainer.global_step))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.values.append(float(trainer.callback_metrics[f"validation/{self.metric}"]))
        self._tell(trainer, Progress(trainer.global_step, len(self.values), self.values[-1]))

    def _tell(self, trainer: Trainer, progress: Progress) -> None:
        if self.tell(progress):
            self.was_stopped = trainer.should_stop = True
        self.told_at = time.monotonic()


def run_trial(request: TrialRequest, execution: Execution, folder: Path, tell: Tell) -> Outcome:
    """Train a trial on the train and validation splits alone.

    Args:
        folder: for checkpoints. It is emptied first and removed afterwards.
        tell: called at each report.

    Raises:
        Exception: one that has an `exit_code`: the request can't be met here.
    """
    teller = Teller(request.spec.metric, tell)
    attempt = Attempt(request, execution, folder, watchers=[teller])
    try:
        forget(folder)
        with one_thread():
            ending = attempt.train()
        if ending.status != "finished":
            return Outcome(ending=ending, steps=attempt.steps)
        best = (max if request.spec.higher_is_better else min)(teller.values)
        weights = (folder / WEIGHTS).read_bytes()
        return Outcome(
            ending=ending, steps=attempt.steps, was_stopped=teller.was_stopped, value=best, weights=weights
        )  # fmt: skip
    except OSError as error:  # of the folder, before training or after it
        return Outcome(ending=ending_of(error, request.model.path), steps=attempt.steps)
    finally:
        shutil.rmtree(folder, ignore_errors=True)

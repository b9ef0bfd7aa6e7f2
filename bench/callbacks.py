"""Lightning callbacks of a run: learning curves, divergence, the end of training, seeds, the progress bar."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.text import metric_text

CHECK_EVERY = 50  # steps between looks at the training loss: a look makes the device wait
REFRESHES_PER_SECOND = 4
SECONDS_BETWEEN_CHECKPOINTS = 5  # a checkpoint costs some 30 ms, as much as a small model's whole epoch may
SECONDS_BETWEEN_LINES = 10  # of progress, where there is no terminal to redraw on
IS_OVER, SOURCE_HASH = "training_is_over", "source_hash"  # in a checkpoint, beside what Lightning puts there


class DivergedError(Exception):
    """A loss or a metric is not finite."""


class Curves(Callback):
    """Collects the learning curves and the time that they took. Its state travels in checkpoints."""

    def __init__(self) -> None:
        self.points: list[dict[str, Any]] = []
        self.train_seconds = 0.0
        self.batch_seconds = 0.0
        self.samples = 0
        self._fit_started = self._batches_started = math.nan

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._fit_started = self._batches_started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.samples += len(batch.y) * trainer.world_size

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit":
            return
        self.batch_seconds += time.perf_counter() - self._batches_started

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit":
            self._take(trainer, {name: float(value) for name, value in trainer.callback_metrics.items()})

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What there is to record where the task has no validation split."""
        if has_validation(trainer):
            return
        self.batch_seconds += time.perf_counter() - self._batches_started
        self._take(trainer, {"train/loss": float(pl_module.mean_train_loss())})  # type: ignore[operator]

    def _take(self, trainer: Trainer, values: dict[str, float]) -> None:
        now = time.perf_counter()
        self.train_seconds += now - self._fit_started
        self._fit_started = self._batches_started = now
        point = {"epoch": trainer.current_epoch + 1, "step": trainer.global_step}
        values["lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        self.points += [{**point, "name": name, "value": value} for name, value in values.items()]

    def state_dict(self) -> dict[str, Any]:
        # By name: Lightning hangs methods of the module on its callbacks, and the module would travel with them.
        return {name: getattr(self, name) for name in ("points", "train_seconds", "batch_seconds", "samples")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.__dict__.update(state_dict)


def has_validation(trainer: Trainer) -> bool:
    return sum(trainer.num_val_batches) > 0


class StopWhenDiverged(Callback):
    """Ends training with `DivergedError` when a loss or the validation metric is not finite."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % CHECK_EVERY == 0 and not torch.isfinite(outputs["loss"]):
            raise DivergedError(f"the training loss is {outputs['loss'].item()} at step {trainer.global_step}")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for name, value in trainer.callback_metrics.items():
            if not math.isfinite(value):
                raise DivergedError(f"{name} is {float(value)} at step {trainer.global_step}")


class StopAtStep(Callback):
    """Ends training after a number of steps, with an evaluation there (Trainer's `max_steps` would leave it out)."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step >= self.step:
            trainer.should_stop = True


class KeepLast(Checkpoint):
    """Saves a checkpoint to resume from at the end of an epoch, where the last one is old enough to be worth it.

    It says whether training was over there, which Lightning forgets: nothing is trained from such a one. Lightning
    calls checkpoints last and in the order given, so that the best one, given before, is never behind.

    Args:
        source_hash: of the model's file, which a checkpoint carries.
    """

    def __init__(self, path: Path, source_hash: str) -> None:
        self.path, self.source_hash = path, source_hash
        self.saved_at = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        due = time.monotonic() - self.saved_at >= SECONDS_BETWEEN_CHECKPOINTS
        if trainer.strategy.broadcast(due):  # saving is a joint act: processes must not decide it by their own clocks
            trainer.save_checkpoint(self.path)
            self.saved_at = time.monotonic()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint |= {IS_OVER: trainer.should_stop, SOURCE_HASH: self.source_hash}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        trainer.should_stop = checkpoint.get(IS_OVER, False)  # earlier versions did not say it


class SeedEachEpoch(Callback):
    """Makes an epoch's random numbers (dropout, say) a function of seed and epoch: a resumed run repeats them."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        torch.manual_seed(int(np.random.SeedSequence([self.seed, trainer.current_epoch]).generate_state(1)[0]))


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

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and self.console.is_terminal:
            self.progress.start()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.progress.update(self.task, completed=trainer.global_step)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit":
            return
        value = metric_text(self.metric, self.latest(trainer))
        self._tell(trainer, f"{self.label}  validation {self.metric} {value}")

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

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.progress.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.progress.stop()

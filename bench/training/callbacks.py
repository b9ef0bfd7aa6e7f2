"""Lightning callbacks of a run: learning curves, divergence, the end of training, seeds."""

import math
import time
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from datamodules._spec import TaskSpec

CHECK_EVERY = 50  # steps between checks of the training loss: each makes the device wait


class DivergedError(Exception):
    """A loss or a metric is not finite."""


class Curves(Callback):
    """Collects the learning curves and the time that they took. Its state is saved in checkpoints."""

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
        """Record the training loss where the task has no validation split."""
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
        # By name: Lightning attaches methods of the module to its callbacks, and would save the module with them.
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


class EndWhenSolved(Callback):
    """Ends training once the validation metric counts as solved at EVALUATIONS in a row. Checkpoints hold the streak.

    Args:
        spec: the task, which says what counts as solved.
    """

    EVALUATIONS = 3

    def __init__(self, spec: TaskSpec) -> None:
        self.spec, self.streak = spec, 0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit":
            return
        value = float(trainer.callback_metrics[f"validation/{self.spec.metric}"])
        self.streak = self.streak + 1 if self.spec.is_solved(value) else 0
        if self.streak >= self.EVALUATIONS:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"streak": self.streak}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.streak = state_dict["streak"]


class StopAtStep(Callback):
    """Ends training after a number of steps, with an evaluation there (Trainer's `max_steps` would skip it)."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step >= self.step:
            trainer.should_stop = True


class SeedEachEpoch(Callback):
    """Makes an epoch's random numbers (dropout, say) a function of seed and epoch: a resumed run repeats them."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        torch.manual_seed(int(np.random.SeedSequence([self.seed, trainer.current_epoch]).generate_state(1)[0]))

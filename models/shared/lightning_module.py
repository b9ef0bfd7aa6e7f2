"""The LightningModule that trains any network on any task. Shapes: B batch, T time, V output vocabulary."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric, SumMetric
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from datamodules._base import Samples
from datamodules._spec import IGNORED, Label, TaskSpec, TokenPerStep, Value, ValuePerStep
from models.shared.idle_hooks import without_idle_hooks
from models.shared.training import Training, build_optimizer
from models.shared.wrappers import Wrapper


class SequenceModule(LightningModule):
    """Loss, metric, optimiser and schedule around a network.

    Each validation logs `train/loss` (the mean since the last validation), `validation/loss` and `validation/<metric>`.
    A test logs `test/loss` and `test/<metric>`.

    Args:
        network: what is trained.
        spec: the task, whose output decides the loss and the metric.
        training: the settings of the optimiser and the schedule.
    """

    def __init__(self, network: Wrapper, spec: TaskSpec, training: Training) -> None:
        super().__init__()
        without_idle_hooks(self, LightningModule)
        self.network, self.spec, self.training_config = network, spec, training
        self.metric: Metric = build_metric(spec)
        # NaN stays NaN. Searching for it would make the CPU wait for the device. MeanMetric ignores weights then.
        self.loss_sum, self.answers = SumMetric(nan_strategy="disable"), SumMetric(nan_strategy="disable")
        self.predictions: list[Tensor] = []
        """What `predicted` returned in the last test, batch by batch."""
        self.register_buffer("train_loss_sum", torch.zeros(()), persistent=False)
        self.train_loss_sum: Tensor
        self.train_batches = 0

    def forward(self, batch: Samples) -> Tensor:
        return self.network(batch.x, batch.lengths)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        match self.spec.output:
            case Label():
                return F.cross_entropy(outputs, y)
            case Value():
                return F.l1_loss(outputs, y) if self.spec.metric == "mae" else F.mse_loss(outputs, y)
            case ValuePerStep():
                errors = torch.where(y.isnan(), 0, outputs - y)
                total = errors.abs().sum() if self.spec.metric == "mae" else errors.square().sum()
                return total / (~y.isnan()).sum()
            case TokenPerStep():
                return F.cross_entropy(outputs.flatten(0, 1), y.flatten(), ignore_index=IGNORED)

    def training_step(self, batch: Samples) -> Tensor:
        loss = self.loss(self(batch), batch.y)
        self.train_loss_sum.add_(loss.detach())  # one `log` an epoch: Lightning's costs as much as a small model's step
        self.train_batches += 1
        return loss

    def validation_step(self, batch: Samples) -> None:
        self.evaluate(batch)

    def on_test_epoch_start(self) -> None:
        self.predictions = []

    def test_step(self, batch: Samples) -> None:
        self.predictions.append(predicted(self.spec, self.evaluate(batch), batch.y).cpu())

    def evaluate(self, batch: Samples) -> Tensor:
        outputs = self(batch)
        answers = answered(self.spec, batch.y).sum()
        self.loss_sum.update(self.loss(outputs, batch.y) * answers)
        self.answers.update(answers)
        y = scored(self.spec, batch.y)
        if isinstance(self.spec.output, ValuePerStep):
            there_BT = answered(self.spec, y)
            self.metric.update(outputs[there_BT], y[there_BT])
        else:
            self.metric.update(outputs.movedim(-1, 1) if outputs.dim() == 3 else outputs, y)
        return outputs

    def mean_train_loss(self) -> Tensor:
        """Return the mean training loss over the batches since the last call."""
        mean = self.train_loss_sum / self.train_batches
        self.train_loss_sum.zero_()
        self.train_batches = 0
        return mean

    def on_validation_epoch_end(self) -> None:
        if self.train_batches:
            self.log("train/loss", self.mean_train_loss(), sync_dist=True)
        self.log_evaluation("validation")

    def on_test_epoch_end(self) -> None:
        self.log_evaluation("test")

    def log_evaluation(self, split: str) -> None:
        self.log_dict({f"{split}/loss": self.mean_loss(), f"{split}/{self.spec.metric}": self.metric.compute()})
        for each in (self.loss_sum, self.answers, self.metric):
            each.reset()

    def mean_loss(self) -> Tensor:
        """Return the mean loss over all answers since the last reset, in batches of any size."""
        return self.loss_sum.compute() / self.answers.compute()

    def optimizer(self, total_steps: int) -> tuple[Optimizer, LambdaLR]:
        """Return the optimiser and its schedule for a training of so many steps."""
        groups = [group for mixer in self.network.mixers() for group in mixer.optimizer_groups()]
        return build_optimizer(self.network, groups, self.training_config, total_steps)

    def configure_optimizers(self) -> Any:
        total_steps = self.training_config.max_steps or int(self.trainer.estimated_stepping_batches)
        optimizer, schedule = self.optimizer(total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def scored(spec: TaskSpec, y: Tensor) -> Tensor:
    """Return the targets, with `IGNORED` (or NaN, for values) in place of those that the metric leaves out."""
    match spec.output:
        case TokenPerStep(unscored=unscored, scored_from=start):
            left_out = torch.arange(y.shape[1], device=y.device) < start
            return y.masked_fill(left_out if unscored is None else left_out | (y == unscored), IGNORED)
        case ValuePerStep(scored_from=start):
            return y.masked_fill((torch.arange(y.shape[1], device=y.device) < start)[:, None], torch.nan)
        case _:
            return y


def answered(spec: TaskSpec, y: Tensor) -> Tensor:
    """Return where the targets are not masked out: (B,), all of them, or (B, T) for an answer at every position."""
    match spec.output:
        case TokenPerStep():
            return y != IGNORED
        case ValuePerStep():
            return ~y.isnan().any(-1)
        case _:
            return torch.ones(len(y), dtype=torch.bool, device=y.device)


def predicted(spec: TaskSpec, outputs: Tensor, y: Tensor) -> Tensor:
    """Return a network's predictions: classes (B,), values (B, width), or tokens (B, T) or values (B, T, width).

    Tokens that the metric leaves out are `IGNORED`; such values are NaN.
    """
    match spec.output:
        case Label():
            return outputs.argmax(-1).int()
        case Value():
            return outputs.float()
        case ValuePerStep():
            return outputs.float().masked_fill(scored(spec, y).isnan().any(-1, keepdim=True), torch.nan)
        case TokenPerStep():
            return outputs.argmax(-1).int().masked_fill(scored(spec, y) == IGNORED, IGNORED)


def build_metric(spec: TaskSpec) -> Metric:
    match spec.output:
        case Label(classes) | TokenPerStep(classes):
            ignored = IGNORED if spec.per_step else None
            if spec.metric == "macro-f1":
                return MulticlassF1Score(classes, average="macro", ignore_index=ignored)
            return MulticlassAccuracy(classes, average="micro", ignore_index=ignored)
        case Value() | ValuePerStep():
            return MeanAbsoluteError() if spec.metric == "mae" else MeanSquaredError()

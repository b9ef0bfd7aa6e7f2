"""The LightningModule that trains any network on any task. Shapes: B batch, T time, V output vocabulary."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanMetric, MeanSquaredError, Metric
from torchmetrics.classification import MulticlassAccuracy

from datamodules._base import Samples
from datamodules._spec import IGNORED, Label, TaskSpec, TokenPerStep, Value
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
        self.network, self.spec, self.training_config = network, spec, training
        self.metric: Metric = build_metric(spec)
        # NaN stays NaN. Searching for it would make the CPU wait for the device.
        self.mean_loss = MeanMetric(nan_strategy="disable")
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
                return F.mse_loss(outputs, y)
            case TokenPerStep():
                return F.cross_entropy(outputs.flatten(0, 1), y.flatten(), ignore_index=IGNORED)

    def training_step(self, batch: Samples) -> Tensor:
        loss = self.loss(self(batch), batch.y)
        self.train_loss_sum += loss.detach()  # one `log` an epoch: Lightning's costs as much as a small model's step
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
        weight = (batch.y != IGNORED).sum() if isinstance(self.spec.output, TokenPerStep) else len(batch.y)
        self.mean_loss.update(self.loss(outputs, batch.y), weight)
        self.metric.update(outputs.movedim(-1, 1) if outputs.dim() == 3 else outputs, scored(self.spec, batch.y))
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
        self.log_dict({f"{split}/loss": self.mean_loss.compute(), f"{split}/{self.spec.metric}": self.metric.compute()})
        self.mean_loss.reset()
        self.metric.reset()

    def configure_optimizers(self) -> Any:
        groups = [group for mixer in self.network.mixers() for group in mixer.optimizer_groups()]
        total_steps = self.training_config.max_steps or int(self.trainer.estimated_stepping_batches)
        optimizer, schedule = build_optimizer(self.network, groups, self.training_config, total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def scored(spec: TaskSpec, y: Tensor) -> Tensor:
    """Return the targets, with `IGNORED` in place of those that the metric leaves out."""
    if isinstance(spec.output, TokenPerStep) and spec.output.unscored is not None:
        return y.masked_fill(y == spec.output.unscored, IGNORED)
    return y


def predicted(spec: TaskSpec, outputs: Tensor, y: Tensor) -> Tensor:
    """Return a network's predictions: classes (B,), values (B, width), or tokens (B, T).

    Tokens that the metric leaves out are `IGNORED`.
    """
    match spec.output:
        case Label():
            return outputs.argmax(-1).int()
        case Value():
            return outputs.float()
        case TokenPerStep():
            return outputs.argmax(-1).int().masked_fill(scored(spec, y) == IGNORED, IGNORED)


def build_metric(spec: TaskSpec) -> Metric:
    match spec.output:
        case Label(classes):
            return MulticlassAccuracy(classes, average="micro")
        case TokenPerStep(vocabulary):
            return MulticlassAccuracy(vocabulary, average="micro", ignore_index=IGNORED)
        case Value():
            return MeanSquaredError(num_outputs=1)

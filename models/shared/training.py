"""The settings of training that every architecture shares, its optimiser and its learning-rate schedule."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import cos, inf, pi
from typing import TYPE_CHECKING, Any, Literal

from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from models.shared.contract import ModelConfig, later

if TYPE_CHECKING:
    from optuna import Trial

DECAY_STEPS = 1_000  # the FRU paper multiplies the learning rate by `lr_decay` every thousand steps


@dataclass(frozen=True, kw_only=True)
class Training(ModelConfig):
    """How a network is trained.

    Raises:
        ValueError: a value is out of range.
    """

    lr: float = 3e-3
    lr_schedule: Literal["cosine", "constant", "staircase"] = "cosine"
    lr_decay: float = 0.9
    """The factor of each stair of the staircase schedule."""
    warmup: float = field(default=0.05, metadata=later(0.0))
    """The share of the steps in which the learning rate grows linearly from zero."""
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    batch_size: int = 64
    epochs: int = 60
    max_steps: int | None = None
    """Optimiser steps after which training ends, in place of `epochs`."""
    patience: int | None = 20
    """Evaluations without a better validation metric after which training stops. None means never."""
    end_when_solved: bool = field(default=True, metadata=later(False))
    """End training once the validation metric has counted as solved at three evaluations in a row."""
    start_at_constant: bool = field(default=True, metadata=later(False))
    """Start the readout's bias at the best constant answer to the training targets (`constant_answer`)."""
    precision: Literal["32", "bf16-mixed", "16-mixed", "64"] = "32"

    def __post_init__(self) -> None:
        self.require_positive("lr", "lr_decay", "batch_size", "epochs")
        for name in ("clip_norm", "max_steps", "patience"):
            if getattr(self, name) is not None:
                self.require_positive(name)
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay={self.weight_decay} must be zero or more")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup={self.warmup} must be in [0, 1)")

    @property
    def length(self) -> str:
        """The length of training as text, such as "60 epochs"."""
        return f"{self.max_steps} steps" if self.max_steps else f"{self.epochs} epochs"

    def steps_per_epoch(self, train_count: int) -> int:
        """Return the optimiser steps in a pass over `train_count` samples."""
        return -(-train_count // self.batch_size)

    def total_steps(self, train_count: int) -> int:
        return self.max_steps or self.epochs * self.steps_per_epoch(train_count)

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        """Draw what tuning may choose for every model. A model's own `search_space` adds to it."""
        return {
            "lr": trial.suggest_float("lr", 1e-4, 3e-2, log=True),
            "weight_decay": trial.suggest_categorical("weight_decay", [0.0, 0.01, 0.1]),
        }


def build_optimizer(
    network: nn.Module, groups: list[dict[str, Any]], training: Training, total_steps: int
) -> tuple[Optimizer, LambdaLR]:
    """Return AdamW (Adam where the weight decay is 0) and its schedule, which is stepped after every batch.

    Args:
        groups: parameter groups with their own settings. `lr_scale` multiplies the learning rate, `lr_max` limits it.
        total_steps: the number of optimiser steps in the whole training.
    """
    taken = {id(parameter) for group in groups for parameter in group["params"]}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in taken]
    own = [{"lr": _group_lr(training.lr, group), **group} for group in map(dict, groups)]
    fused = training.precision in ("32", "64")  # in mixed precision, Lightning refuses to clip for a fused step
    optimizer = AdamW([{"params": rest}, *own], lr=training.lr, weight_decay=training.weight_decay, fused=fused)
    return optimizer, LambdaLR(optimizer, lr_factor(training, total_steps))


def _group_lr(lr: float, group: dict[str, Any]) -> float:
    """Return a group's learning rate. Remove `lr_scale` and `lr_max`, which torch does not know, from the group."""
    return min(lr * group.pop("lr_scale", 1.0), group.pop("lr_max", inf))


def lr_factor(training: Training, total_steps: int) -> Callable[[int], float]:
    """Return a function from the number of a step, from 0, to the factor of the learning rate at it."""
    warmup_steps = round(training.warmup * total_steps)
    scheduled = _scheduled(training, total_steps - warmup_steps)

    def factor(step: int) -> float:
        return (step + 1) / (warmup_steps + 1) if step < warmup_steps else scheduled(step - warmup_steps)

    return factor


def _scheduled(training: Training, total_steps: int) -> Callable[[int], float]:
    """Return the factor of the learning rate at each step after warm-up.

    Args:
        total_steps: the steps after warm-up.
    """
    match training.lr_schedule:
        case "constant":
            return lambda step: 1.0
        case "staircase":
            return lambda step: training.lr_decay ** (step // DECAY_STEPS)
        case "cosine":
            return lambda step: 0.5 * (1 + cos(pi * min(1.0, step / total_steps)))

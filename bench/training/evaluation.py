"""One pass over a test split: the metrics, and what the network said on each sample."""

from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from torch import Tensor

from bench.bundle.predictions import Array, compact
from datamodules._base import BatchLoader
from datamodules._spec import IGNORED, TokenPerStep
from models.shared.lightning_module import SequenceModule


def evaluate(trainer: Trainer, module: SequenceModule, loader: BatchLoader) -> tuple[dict[str, float], Array]:
    """The loss and the metric, and the predictions as `bench.bundle.predictions` says."""
    (scores,) = trainer.test(module, dataloaders=loader, verbose=False)
    rows = _in_order(torch.cat(module.predictions))
    if isinstance(module.spec.output, TokenPerStep):
        rows = rows[rows != IGNORED]
    return named(scores), compact(rows.numpy())


def named(scores: Any) -> dict[str, float]:
    """`validation/loss` as `loss`."""
    return {name.partition("/")[2]: float(value) for name, value in scores.items()}


def _in_order(rows: Tensor) -> Tensor:
    """The rows of all processes in the order of the split, of which each process has every so manieth."""
    if not dist.is_initialized():
        return rows
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, rows)
    whole = rows.new_empty(sum(map(len, parts)), *rows.shape[1:])
    for rank, part in enumerate(parts):
        whole[rank :: len(parts)] = part
    return whole

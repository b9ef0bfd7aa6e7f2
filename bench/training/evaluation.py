"""One pass over a test split: the metrics, and the network's prediction for each sample."""

from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from torch import Tensor

from bench.bundle.predictions import Array, compact
from datamodules._base import BatchLoader
from models.shared.lightning_module import SequenceModule, answered


def evaluate(trainer: Trainer, module: SequenceModule, loader: BatchLoader) -> tuple[dict[str, float], Array]:
    """Evaluate a network on the samples of a loader.

    Returns:
        The loss and the metric by name, and the predictions in the samples' order. `bench.bundle.predictions` describes
        their format.
    """
    (scores,) = trainer.test(module, dataloaders=loader, verbose=False)
    rows = _in_order(torch.cat(module.predictions))
    if module.spec.per_step:
        rows = rows[answered(module.spec, rows)]
    return named(scores), compact(rows.numpy())


def named(scores: Any) -> dict[str, float]:
    """Return scores by the name of the metric alone: `validation/loss` becomes `loss`."""
    return {name.partition("/")[2]: float(value) for name, value in scores.items()}


def _in_order(rows: Tensor) -> Tensor:
    """Merge the rows of all n processes in the split's order. Process i has every n-th row, from row i on."""
    if not dist.is_initialized():
        return rows
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, rows)
    whole = rows.new_empty(sum(map(len, parts)), *rows.shape[1:])
    for rank, part in enumerate(parts):
        whole[rank :: len(parts)] = part
    return whole

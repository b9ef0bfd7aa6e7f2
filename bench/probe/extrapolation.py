"""Length extrapolation: a trained network on fresh sequences of its training length, twice and four times that."""

from collections.abc import Iterator
from typing import Any

import torch

from bench.ranking.utility import utility
from datamodules._base import Samples
from datamodules._generated import GeneratedTask
from datamodules._spec import TaskSpec
from models.shared.lightning_module import SequenceModule
from models.shared.training import Training
from models.shared.wrappers import Wrapper

FACTORS = (1, 2, 4)
BATCH = 50


def extrapolate(network: Wrapper, task: GeneratedTask, count: int) -> list[dict[str, Any]]:
    """Evaluate a trained network on fresh sequences of each length.

    Args:
        count: how many sequences of each length.

    Returns:
        The task's metric and utility at each length; the metric is None where it is not finite.
    """
    rows = []
    for factor in FACTORS:
        spec, samples = task.fresh(count, factor * task.spec.seq_len)
        value = score(network, spec, samples)
        worth = utility(value, chance=spec.chance, solved=spec.solved)
        rows.append({"length": spec.seq_len, "factor": factor, "value": value, "utility": worth})
    return rows


def score(network: Wrapper, spec: TaskSpec, samples: Samples) -> float | None:
    module = SequenceModule(network.eval(), spec, Training())
    with torch.inference_mode():
        for batch in _batches(samples):
            module.evaluate(batch)
    value = module.metric.compute()
    return value.item() if torch.isfinite(value) else None


def _batches(samples: Samples) -> Iterator[Samples]:
    for index in torch.arange(len(samples.y)).split(BATCH):
        yield samples.gather(index)

"""Time train steps: loss, gradients, clipping and AdamW, without Lightning's loop and the reading of data."""

import time
from collections.abc import Iterator

from torch.nn.utils import clip_grad_norm_

from bench.speed.latency import waiter
from datamodules._base import Samples
from models.shared.lightning_module import SequenceModule


def seconds_of_steps(module: SequenceModule, batch: Samples, count: int) -> Iterator[float]:
    """Train on a batch `count` times, and yield the seconds of each step. The first steps compile and allocate."""
    optimizer, _ = module.optimizer(total_steps=count)
    synchronize = waiter(next(module.parameters()).device)
    for _ in range(count):
        start = time.perf_counter()
        optimizer.zero_grad()
        module.training_step(batch).backward()
        if module.training_config.clip_norm:
            clip_grad_norm_(module.parameters(), module.training_config.clip_norm)
        optimizer.step()
        synchronize()
        yield time.perf_counter() - start

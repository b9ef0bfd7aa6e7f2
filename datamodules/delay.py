"""Delay: repeat each number of a sequence of noise, some steps late.

    y_t = x_{t−d},    x_t ~ N(0, 1)

asked at every step from d on. All numbers are independent, so a network has to hold the last d of them at once: its
state needs d numbers, or their approximation. `delay-32` has 128 steps and d = 32. A predictor that remembers nothing
answers 0, with a squared error of 1; so does one that knows the last sixteen.

>>> task = Delay(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> batch.x[0, :, 0].mul(10).round().int().tolist()
[-4, 1, -20, 3, 9, 6, -7, -16]
>>> [None if value != value else round(10 * value) for value in batch.y[0, :, 0].tolist()]
[None, None, None, -4, 1, -20, 3, 9]
"""

import numpy as np
import torch
from torch.nn import functional as F

from datamodules._base import Samples
from datamodules._generated import GeneratedTask, samples
from datamodules._spec import Continuous, TaskSpec, ValuePerStep


class Delay(GeneratedTask):
    """Repeat what was read d steps ago."""

    length: int
    steps: int
    counts = {"train": 20_000, "validation": 1_000, "test": 2_000}
    variants = {"delay-32": {"length": 128, "steps": 32}}
    tiny = {"length": 8, "steps": 3}

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=f"repeat noise, {self.steps} steps late",
            seq_len=self.length,
            input=Continuous(1),
            output=ValuePerStep(1),
            metric="mse",
            chance=1.0,
            solved=1e-2,
            source="generated",
            license="MIT",
            citation="after Voelker, Kajić & Eliasmith, Legendre Memory Units, NeurIPS 2019",
        )

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        """Draw the noise, (N, T, 1). The targets follow from it; `y`, (N,), is a placeholder."""
        return samples(rng.standard_normal((count, self.length, 1), dtype=np.float32), np.zeros(count, np.uint8))

    def decode(self, batch: Samples) -> Samples:
        return batch._replace(y=F.pad(batch.x, (0, 0, self.steps, -self.steps), value=torch.nan))

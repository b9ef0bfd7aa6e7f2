"""Subtract: of two marked numbers in a sequence, the first minus the second.

Two channels: numbers from U[0, 1), and a marker that is 1 at two distinct places, any two equally likely, and 0
elsewhere. The target is the number that is marked first minus the one that is marked second.

It is `adding` with an order: the sum of two marked numbers follows from Σ max(0, number + marker − 1), which needs no
memory of what came when. Here a bag of the inputs can't know the sign. The best guess without order is 0, with a
squared error of 2 · 1/12 = 1/6.

>>> task = Subtract(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> numbers, marks = batch.x[0].T
>>> numbers.mul(100).round().int().tolist(), marks.int().tolist()
([28, 50, 82, 16, 19, 74, 5, 22, 75, 27], [0, 0, 0, 0, 1, 0, 1, 0, 0, 0])
>>> batch.y[0].mul(100).round().int().tolist()
[14]
"""

import numpy as np
import torch

from datamodules._base import Samples
from datamodules._generated import GeneratedTask, distinct, require_length, samples
from datamodules._spec import Continuous, TaskSpec, Value


class Subtract(GeneratedTask):
    """Subtract the number that is marked second from the one that is marked first."""

    length: int
    variants = {"subtract-100": {"length": 100}}
    tiny = {"length": 10}

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=f"the difference of two marked numbers among {self.length:,}",
            seq_len=self.length,
            input=Continuous(2),
            output=Value(1),
            metric="mse",
            chance=1 / 6,
            solved=1e-3,
            source="generated",
            license="MIT",
            citation="after Hochreiter & Schmidhuber, Long Short-Term Memory, Neural Computation 1997",
        )

    def resized(self, seq_len: int) -> dict[str, int]:
        require_length(seq_len, 2)
        return {"length": seq_len}

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        """Draw samples. A marked number is stored with its sign bit set, in half the memory of two channels."""
        numbers_NT = rng.random((count, self.length), dtype=np.float32)
        marked_N2 = np.sort(distinct(rng, count, 2, self.length), axis=1)
        y_N2 = np.take_along_axis(numbers_NT, marked_N2, axis=1)
        np.put_along_axis(numbers_NT, marked_N2, -y_N2, axis=1)
        return samples(numbers_NT, y_N2[:, :1] - y_N2[:, 1:])

    def decode(self, batch: Samples) -> Samples:
        return batch._replace(x=torch.stack([batch.x.abs(), batch.x.signbit().float()], dim=-1))

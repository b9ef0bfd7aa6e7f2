"""Adding: the sum of the two marked numbers in a sequence (Hochreiter & Schmidhuber 1997; this form: Le et al. 2015).

Two channels: numbers from U[0, 1), and a marker that is 1 at one place in each half and 0 elsewhere. The target is the
sum of the two marked numbers. A predictor that remembers nothing answers 1, with a squared error of 2 · 1/12 = 1/6.

>>> task = Adding(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> batch.x.shape, batch.y.shape
(torch.Size([64, 10, 2]), torch.Size([64, 1]))
>>> numbers, marks = batch.x[0].T
>>> numbers.mul(100).round().int().tolist(), marks.int().tolist()
([70, 90, 98, 38, 37, 1, 11, 2, 68, 68], [0, 0, 0, 0, 1, 0, 1, 0, 0, 0])
>>> batch.y[0].mul(100).round().int().tolist()
[48]
"""

import numpy as np
import torch

from datamodules._base import Samples
from datamodules._generated import GeneratedTask, require_length, samples
from datamodules._spec import Continuous, TaskSpec, Value


class Adding(GeneratedTask):
    """Add the two marked numbers."""

    length: int
    # `adding` means the first variant. The last three are for models that don't learn even that one.
    variants = {f"adding-{length}": {"length": length} for length in (200, 400, 2_000, 5_000, 25, 50, 100)}
    shortcuts = {"bag": 2, "hidden-bag": 100}  # Σ max(0, number + marker − 1) is the sum
    tiny = {"length": 10}

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=f"the sum of two marked numbers among {self.length:,}",
            seq_len=self.length,
            input=Continuous(2),
            output=Value(1),
            metric="mse",
            chance=1 / 6,
            solved=1e-3,
            source="generated",
            license="MIT",
            citation="Hochreiter & Schmidhuber, Long Short-Term Memory, 1997; Le, Jaitly & Hinton, arXiv 1504.00941",
        )

    def resized(self, seq_len: int) -> dict[str, int]:
        require_length(seq_len, 2)
        return {"length": seq_len}

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        """Draw samples. A marked number is stored with its sign bit set, in half the memory of two channels."""
        numbers_NT = rng.random((count, self.length), dtype=np.float32)
        half = self.length // 2
        marked_N2 = np.stack([rng.integers(half, size=count), rng.integers(half, self.length, size=count)], axis=1)
        y_N2 = np.take_along_axis(numbers_NT, marked_N2, axis=1)
        np.put_along_axis(numbers_NT, marked_N2, -y_N2, axis=1)
        return samples(numbers_NT, y_N2.sum(axis=1, keepdims=True))

    def decode(self, batch: Samples) -> Samples:
        return batch._replace(x=torch.stack([batch.x.abs(), batch.x.signbit().float()], dim=-1))

"""Parity: whether the number of ones among T random bits is odd, answered at the end.

One bit of state solves the task at any length. So the model is scored at the training length, and also at twice and
four times that length (as in Delétang et al. 2023). A network that has learned the rule, and not just one length, keeps
its accuracy there. Guessing is right one time in two.

>>> task = Parity(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> batch.x[0].tolist(), batch.y[0].item()
([1, 0, 1, 1, 0, 0, 0, 0], 1)
>>> {name: loader.samples.x.shape[1] for name, loader in task.extra_test_dataloaders().items()}
{'test-2x': 16, 'test-4x': 32}
"""

import numpy as np

from datamodules._base import Samples
from datamodules._generated import GeneratedTask, require_length, samples
from datamodules._spec import Label, TaskSpec, Tokens

LONGER = {"test-2x": 2, "test-4x": 4}


class Parity(GeneratedTask):
    """Say whether the number of ones is odd."""

    length: int
    variants = {f"parity-{length}": {"length": length} for length in (40, 200)}
    shortcuts = {"hidden-bag": 100}  # a table from the number of ones
    tiny = {"length": 8}

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=f"whether the number of ones among {self.length:,} bits is odd",
            seq_len=self.length,
            input=Tokens(2),
            output=Label(2),
            metric="accuracy",
            chance=1 / 2,
            extra_tests=tuple(LONGER),
            source="generated",
            license="MIT",
            citation="Delétang et al., Neural Networks and the Chomsky Hierarchy, ICLR 2023, arXiv 2207.02098",
        )

    def resized(self, seq_len: int) -> dict[str, int]:
        require_length(seq_len, 1)
        return {"length": seq_len}

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        return self.draw_split("train", count, rng)

    def draw_split(self, split: str, count: int, rng: np.random.Generator) -> Samples:
        x_NT = rng.integers(2, size=(count, self.length * LONGER.get(split, 1)), dtype=np.uint8)
        return samples(x_NT, x_NT.sum(axis=1, dtype=np.int64) % 2)

    def decode(self, batch: Samples) -> Samples:
        return batch._replace(x=batch.x.long())

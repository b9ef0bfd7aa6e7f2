"""Induction: what followed the special token when it came before, at lengths beyond training (Gu & Dao 2023).

Of 16 tokens, 15 is special. It comes at one random place and again at the end; all other tokens are random. The answer
is the token that followed it the first time. Training has sequences of 256 tokens, validation of 257 to 512, the test
of 256 to 1,024, each evenly drawn (the paper's go from 64 to 1,048,576, and training has the same 256).

Guessing is right one time in 15. The commonest token of the sequence is right 0.086 of the time: that is 0 points.

>>> task = Induction(tiny=True)
>>> batch = next(iter(task.train_dataloader()))
>>> "".join("abcdefghijklmno*"[token] for token in batch.x[0]), "abcdefghijklmno"[batch.y[0]]
('eoomancmf*k*', 'k')
"""

from typing import ClassVar

import numpy as np

from datamodules._base import Samples
from datamodules._generated import GeneratedTask, samples
from datamodules._spec import Label, TaskSpec, Tokens

ORDINARY = 15
SPECIAL = ORDINARY


class Induction(GeneratedTask):
    """Say what followed the special token."""

    lengths: ClassVar[dict[str, tuple[int, int]]]
    variants = {"induction": {"lengths": {"train": (256, 256), "validation": (257, 512), "test": (256, 1_024)}}}
    tiny = {"lengths": {"train": (12, 12), "validation": (13, 16), "test": (12, 24)}}

    def describe(self) -> TaskSpec:
        trained, scored = self.lengths["train"][1], self.lengths["test"]
        return TaskSpec(
            name=self.variant,
            summary=f"what followed a token before, trained on {trained} steps, scored on {scored[0]} to {scored[1]:,}",
            seq_len=trained,
            input=Tokens(ORDINARY + 1),
            output=Label(ORDINARY),
            metric="accuracy",
            chance=0.086,
            variable_lengths=True,
            source="generated",
            license="MIT",
            citation="Gu & Dao, Mamba, 2023, arXiv 2312.00752",
        )

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        return self.draw_split("train", count, rng)

    def draw_split(self, split: str, count: int, rng: np.random.Generator) -> Samples:
        shortest, longest = self.lengths[split]
        lengths_N = rng.integers(shortest, longest + 1, size=count)
        x_NT = rng.integers(ORDINARY, size=(count, longest), dtype=np.uint8)
        x_NT[np.arange(longest) >= lengths_N[:, None]] = 0
        every, first_N = np.arange(count), rng.integers(lengths_N - 2)
        x_NT[every, first_N] = x_NT[every, lengths_N - 1] = SPECIAL
        return samples(x_NT, x_NT[every, first_N + 1].copy(), lengths_N)

    def decode(self, batch: Samples) -> Samples:
        return batch._replace(x=batch.x.long(), y=batch.y.long())

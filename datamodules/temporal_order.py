"""Temporal order: which of X and Y came first, and which second (Hochreiter & Schmidhuber 1997, experiment 6a).

A sequence of T tokens starts with E and ends with B. Between them are a, b, c and d at random, except for an X or a Y
at a place from T/10 to T/5 and another from T/2 to 3T/5. The answer, at the end, is one of XX, XY, YX, YY. (In the
paper, T is drawn from 100 to 110 for each sequence. Here every sequence has T tokens, and for T = 100 the places are
the paper's.) Guessing is right one time in four.

>>> task = TemporalOrder(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> "".join("abcdXYEB"[token] for token in batch.x[0]), ("XX", "XY", "YX", "YY")[batch.y[0]]
('EabYddccbbcbYdcaacaB', 'YY')
"""

import numpy as np

from datamodules._base import Samples
from datamodules._generated import GeneratedTask, require_length, samples
from datamodules._spec import Label, TaskSpec, Tokens

DISTRACTORS = 4  # a, b, c, d are tokens 0 to 3
X, START, END = 4, 6, 7  # Y is 5


class TemporalOrder(GeneratedTask):
    """Say which two symbols came, in order."""

    length: int
    variants = {f"temporal-order-{length}": {"length": length} for length in (100, 500)}
    shortcuts = {"bag": 70, "hidden-bag": 67, "first-16": 21}  # how many X and Y there are; those of the first half
    tiny = {"length": 20}

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=f"the order of two symbols among {self.length:,}",
            seq_len=self.length,
            input=Tokens(8),
            output=Label(4),
            metric="accuracy",
            chance=1 / 4,
            source="generated",
            license="MIT",
            citation="Hochreiter & Schmidhuber, Long Short-Term Memory, Neural Computation 1997",
        )

    def resized(self, seq_len: int) -> dict[str, int]:
        require_length(seq_len, 10)
        return {"length": seq_len}

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        tenth = self.length // 10
        x_NT = rng.integers(DISTRACTORS, size=(count, self.length), dtype=np.uint8)
        x_NT[:, 0], x_NT[:, -1] = START, END
        places_N2 = np.array([tenth, 5 * tenth]) + rng.integers(tenth + 1, size=(count, 2))
        is_y_N2 = rng.integers(2, size=(count, 2), dtype=np.uint8)
        np.put_along_axis(x_NT, places_N2, X + is_y_N2, axis=1)
        return samples(x_NT, 2 * is_y_N2[:, 0] + is_y_N2[:, 1])

    def decode(self, batch: Samples) -> Samples:
        return Samples(batch.x.long(), batch.y.long())

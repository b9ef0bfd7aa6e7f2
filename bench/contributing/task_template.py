"""The draft of a task that `bench new-task NAME` writes: a commented file that already works."""

TEMPLATE = '''"""@NAME@: which of two symbols came first?

Two different symbols of four stand among blanks, at random steps of the middle half. The answer is the earlier one.
Who knows both but not their order is right one time in two: that is 0 points.

Change this text first: it is the exact definition of the task. It ends in an example, which the tests run.

>>> task = @CLASS@(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> batch.x.shape, batch.y.shape
(torch.Size([64, 16]), torch.Size([64]))
>>> symbols = batch.x[0][batch.x[0] != BLANK]
>>> len(symbols), bool(symbols[0] == batch.y[0])
(2, True)

Shapes: N samples, T time.
"""

import numpy as np

from datamodules._base import Samples
from datamodules._generated import GeneratedTask, distinct, samples
from datamodules._spec import Label, TaskSpec, Tokens

SYMBOLS = 4
BLANK = SYMBOLS


class @CLASS@(GeneratedTask):
    """Name the symbol that came first."""

    length: int
    # Name → attributes. The first is the default.
    variants = {f"@NAME@-{length}": {"length": length} for length in (64, 256)}
    tiny = {"length": 16}  # the attributes that make any variant small enough for tests
    counts = {"train": 20_000, "validation": 1_000, "test": 2_000}

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=f"which of two symbols came first, of {self.length} steps",
            seq_len=self.length,
            input=Tokens(SYMBOLS + 1),  # or Continuous(width): real numbers
            output=Label(SYMBOLS),  # or Value(width), TokenPerStep(vocabulary), ValuePerStep(width)
            metric="accuracy",  # of real numbers, "mse" or "mae", and `solved` is the error that counts as solved
            chance=1 / 2,  # 0 points: what a predictor reaches that remembers no order. `bench check --task` fits some.
            source="generated",
            license="MIT",
            citation="where the task was proposed",
        )

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        """Draw samples: inputs (N, T) and answers (N,). `rng` is `self.rng(split)`: draw from nothing else."""
        steps_N2 = self.length // 4 + np.sort(distinct(rng, count, 2, self.length // 2), axis=1)
        symbols_N2 = distinct(rng, count, 2, SYMBOLS)
        x_NT = np.full((count, self.length), BLANK)
        np.put_along_axis(x_NT, steps_N2, symbols_N2, axis=1)
        return samples(x_NT, symbols_N2[:, 0])
'''

"""Parity-var: whether the number of ones is odd, on sequences longer than any for training (Delétang et al. 2023).

`parity` asks at one length, where counting the ones and looking the count up in a table does. Here lengths are mixed:
3 to 40 for training, 41 to 80 for validation, 41 to 256 for testing. A table has no entry for what is tested; one bit
of state does it at any length. Guessing is right one time in two.

>>> task = ParityVar(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> batch.x[0, : batch.lengths[0]].tolist(), batch.y[0].item()
([1, 0, 1, 0, 1, 1, 0, 1, 0, 0, 0], 1)
"""

import numpy as np
from numpy.typing import NDArray

from datamodules._lengths import Ints, LongerThanTrained


class ParityVar(LongerThanTrained):
    """Say whether the number of ones is odd."""

    tokens = classes = 2
    chance = 1 / 2
    summary = "whether the number of ones is odd"
    variants = {"parity-var": {}}

    def write(self, lengths_N: Ints, longest: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Ints, Ints]:
        x_NT = rng.integers(2, size=(len(lengths_N), longest), dtype=np.uint8)
        inside_NT = np.arange(longest) < lengths_N[:, None]
        return x_NT, (x_NT * inside_NT).sum(1, dtype=np.int64) % 2, lengths_N

"""Cycle-nav: the place on a circle of five after random steps, at lengths beyond training (Delétang et al. 2023).

Of three tokens, 0 stays, 1 goes one place on and 2 goes one place back. One starts at place 0; the answer is the place
at the end. Lengths are 3 to 40 for training, 41 to 80 for validation, 41 to 256 for testing. The steps commute, so a
count of them does it, but modulo five, and counts are larger when tested. Guessing is right one time in five.

>>> task = CycleNav(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> batch.x[0, : batch.lengths[0]].tolist(), batch.y[0].item()
([0, 2, 2, 2, 0, 2, 0, 1, 2], 1)
"""

import numpy as np
from numpy.typing import NDArray

from datamodules._lengths import Ints, LongerThanTrained

PLACES = 5
MOVES = np.array([0, 1, -1])


class CycleNav(LongerThanTrained):
    """Say where on the circle one ends."""

    tokens = len(MOVES)
    classes = PLACES
    chance = 1 / PLACES
    summary = "the place on a circle of five after random steps"
    variants = {"cycle-nav": {}}

    def write(self, lengths_N: Ints, longest: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Ints, Ints]:
        x_NT = rng.integers(len(MOVES), size=(len(lengths_N), longest), dtype=np.uint8)
        inside_NT = np.arange(longest) < lengths_N[:, None]
        return x_NT, (MOVES[x_NT] * inside_NT).sum(1) % PLACES, lengths_N

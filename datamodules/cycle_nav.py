"""Cycle-nav: the place on a circle of five, at lengths beyond those of training (after Delétang et al. 2023).

Of three tokens, 0 stays, 1 goes one place on and 2 goes one place back. One starts at place 0, and the place is asked
for after every step. Lengths are those of `parity-var`: 40 for training, 80 and 256 after it, asked beyond step 40. The
steps commute, so a count of them does it, but modulo five, and counts are larger when tested. Guessing is right one
time in five: 0 points.

>>> task = CycleNav(tiny=True)
>>> batch = next(iter(task.train_dataloader()))
>>> batch.x[0].tolist(), batch.y[0].tolist()
([1, 0, 0, 0, 0, 1, 2, 1], [1, 1, 1, 1, 1, 2, 1, 2])
"""

import numpy as np
from numpy.typing import NDArray

from datamodules._groups import WordProblem, cyclic
from datamodules.parity_var import CITATION, LONGER, TRAINED

PLACES = 5
MOVES = np.array([0, 1, PLACES - 1], np.uint8)


class CycleNav(WordProblem):
    """Say where on the circle one is."""

    asks = "the place on a circle of five after random steps"
    citation = CITATION
    longer = LONGER
    chance = 1 / PLACES
    variants = {"cycle-nav": {"length": TRAINED}}

    @classmethod
    def table(cls) -> NDArray[np.uint8]:
        return cyclic(PLACES)

    def elements(self) -> NDArray[np.uint8]:
        return MOVES

"""Z60: the running sum of random numbers modulo 60, at lengths beyond those of training (Merrill et al. 2024).

    y_t = x_1 + x_2 + … + x_t  mod 60

It is the control to `a5`: a group with as many elements, in which the order doesn't matter. A linear recurrence with a
rotation can do it at any length. Lengths are those of `a5`. Guessing is right one time in sixty.

>>> task = Z60(tiny=True)
>>> batch = next(iter(task.train_dataloader()))
>>> batch.x[0].tolist()
[39, 26, 22, 3, 28, 14, 41, 22]
>>> batch.y[0].tolist()
[39, 5, 27, 30, 58, 12, 53, 15]
"""

import numpy as np
from numpy.typing import NDArray

from datamodules._groups import WordProblem, cyclic

ORDER = 60


class Z60(WordProblem):
    """Add numbers modulo 60."""

    asks = "the running product of elements of Z₆₀"
    chance = 1 / ORDER
    variants = {"z60": {"length": 64}}

    @classmethod
    def table(cls) -> NDArray[np.uint8]:
        return cyclic(ORDER)

"""S5: the running product of permutations of five things, at lengths beyond training (Merrill et al. 2024).

    y_t = x_1 · x_2 · … · x_t,    (g · h)(i) = g(h(i))

The 120 permutations of 0 … 4 are tokens 0 to 119 in lexicographic order; 0 is the identity. Lengths are those of `a5`.
A bag of the inputs can know whether the product is even. So 0 points are one in sixty, not one in 120.

>>> task = S5(tiny=True)
>>> batch = next(iter(task.train_dataloader()))
>>> batch.x[0].tolist()
[99, 60, 75, 39, 1, 118, 33, 57]
>>> batch.y[0].tolist()
[99, 64, 10, 59, 58, 77, 20, 69]
"""

import numpy as np
from numpy.typing import NDArray

from datamodules._groups import WordProblem, symmetric


class S5(WordProblem):
    """Multiply permutations of five things."""

    asks = "the running product of elements of S₅"
    chance = 1 / 60
    variants = {"s5": {"length": 64}}

    @classmethod
    def table(cls) -> NDArray[np.uint8]:
        return symmetric(5)

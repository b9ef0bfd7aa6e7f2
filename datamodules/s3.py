"""S3: the running product of permutations of three things, asked at every step (after Merrill et al. 2024).

    y_t = x_1 · x_2 · … · x_t,    (g · h)(i) = g(h(i))

The six permutations are tokens 0 to 5 in lexicographic order: 012, 021, 102, 120, 201, 210. Every step is trained; the
accuracy is that of the second half, where short products no longer help.

What it takes: S3 isn't commutative, so a sum over the inputs doesn't do. Its sign does commute: a bag of the inputs
knows whether the product is even, and is right one time in three. That is 0 points.

>>> task = S3(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> batch.x[0].tolist()
[4, 4, 3, 3, 2, 2, 2, 1]
>>> batch.y[0].tolist()
[4, 3, 4, 0, 2, 0, 2, 3]
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from datamodules._groups import WordProblem, symmetric


class S3(WordProblem):
    """Multiply permutations of three things."""

    asks = "the running product of elements of S₃"
    longer: ClassVar[Mapping[str, float]] = {}
    chance = 1 / 3
    variants = {"s3-64": {"length": 64}}

    @property
    def scored_from(self) -> int:
        return self.length // 2

    @classmethod
    def table(cls) -> NDArray[np.uint8]:
        return symmetric(3)

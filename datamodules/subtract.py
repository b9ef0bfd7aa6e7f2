"""Subtract: of two marked numbers in a sequence, the first minus the second.

Two channels: numbers from U[0, 1), and a marker that is 1 at two distinct places, any two equally likely, and 0
elsewhere. The target is the number that is marked first minus the one that is marked second.

It is `adding` with an order: the sum of two marked numbers follows from Σ max(0, number + marker − 1), which needs no
memory of what came when. Here a bag of the inputs can't know the sign. The best guess without order is 0, with a
squared error of 2 · 1/12 = 1/6.

>>> task = Subtract(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> numbers, marks = batch.x[0].T
>>> numbers.mul(100).round().int().tolist(), marks.int().tolist()
([28, 50, 82, 16, 19, 74, 5, 22, 75, 27], [0, 0, 0, 0, 1, 0, 1, 0, 0, 0])
>>> batch.y[0].mul(100).round().int().tolist()
[14]
"""

import numpy as np
from numpy.typing import NDArray

from datamodules._generated import distinct
from datamodules._marked_numbers import MarkedNumbers


class Subtract(MarkedNumbers):
    """Subtract the number that is marked second from the one that is marked first."""

    variants = {"subtract-100": {"length": 100}}
    answer = "the difference"
    citation = "after Hochreiter & Schmidhuber, Long Short-Term Memory, Neural Computation 1997"

    def places(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        return np.sort(distinct(rng, count, 2, self.length), axis=1)

    def value(self, marked_N2: NDArray[np.float32]) -> NDArray[np.float32]:
        return marked_N2[:, :1] - marked_N2[:, 1:]

"""Adding: the sum of the two marked numbers in a sequence (Hochreiter & Schmidhuber 1997; this form: Le et al. 2015).

Two channels: numbers from U[0, 1), and a marker that is 1 at one place in each half and 0 elsewhere. The target is the
sum of the two marked numbers. A predictor that remembers nothing answers 1, with a squared error of 2 · 1/12 = 1/6.

>>> task = Adding(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> batch.x.shape, batch.y.shape
(torch.Size([64, 10, 2]), torch.Size([64, 1]))
>>> numbers, marks = batch.x[0].T
>>> numbers.mul(100).round().int().tolist(), marks.int().tolist()
([70, 90, 98, 38, 37, 1, 11, 2, 68, 68], [0, 0, 0, 0, 1, 0, 1, 0, 0, 0])
>>> batch.y[0].mul(100).round().int().tolist()
[48]
"""

import numpy as np
from numpy.typing import NDArray

from datamodules._marked_numbers import MarkedNumbers


class Adding(MarkedNumbers):
    """Add the two marked numbers."""

    # `adding` means the first variant. The last three are for models that don't learn even that one.
    variants = {f"adding-{length}": {"length": length} for length in (200, 400, 2_000, 5_000, 25, 50, 100)}
    shortcuts = {"bag": 2, "hidden-bag": 100}  # Σ max(0, number + marker − 1) is the sum
    answer = "the sum"
    citation = "Hochreiter & Schmidhuber, Long Short-Term Memory, 1997; Le, Jaitly & Hinton, arXiv 1504.00941"

    def places(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        half = self.length // 2
        return np.stack([rng.integers(half, size=count), rng.integers(half, self.length, size=count)], axis=1)

    def value(self, marked_N2: NDArray[np.float32]) -> NDArray[np.float32]:
        return marked_N2.sum(axis=1, keepdims=True)

"""Parity-var: whether the number of ones so far is odd, beyond the lengths of training (after Delétang et al. 2023).

Training has 40 bits and asks at each of them, so it has every length up to 40. (The paper asks once, at the end of
sequences of mixed lengths, and trains a thousand times as long as a suite of ours can.) Validation has 80 bits, the
test 256, and both ask only beyond bit 40.

One bit of state does it at any length. A table from the number of ones, or a value that only grows, does not. Guessing
is right one time in two: 0 points.

>>> task = ParityVar(tiny=True)
>>> batch = next(iter(task.train_dataloader()))
>>> batch.x[0].tolist(), batch.y[0].tolist()
([1, 0, 0, 0, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0])
"""

import numpy as np
from numpy.typing import NDArray

from datamodules._groups import WordProblem, cyclic

CITATION = "Delétang et al., Neural Networks and the Chomsky Hierarchy, ICLR 2023, arXiv 2207.02098"
TRAINED = 40
LONGER = {"validation": 2, "test": 6.4}


class ParityVar(WordProblem):
    """Say whether the number of ones so far is odd."""

    asks = "whether the number of ones so far is odd"
    citation = CITATION
    longer = LONGER
    chance = 1 / 2
    variants = {"parity-var": {"length": TRAINED}}

    @classmethod
    def table(cls) -> NDArray[np.uint8]:
        return cyclic(2)

"""Induction-gaps: what followed the special token when it came last, over gaps beyond training (after Gu & Dao 2023).

Of 16 tokens, 15 is special; all others are random. Each time the special token comes, what followed it the time before
is asked for. So an answer has to be kept over a gap, and then be replaced. Gaps are even on a logarithmic scale: 2 to
63 steps in the 64 of training. Validation has 128 steps, the test 256, and all their gaps are longer than 64.

`induction` asks once in 256 steps, as the paper does, and takes hours to learn. Short gaps teach what long ones need.
Guessing is right one time in 15: 0 points.

>>> task = InductionGaps(tiny=True)
>>> batch = next(iter(task.train_dataloader()))
>>> print("".join("abcdefghijklmno*"[token] for token in batch.x[0]))
jnhg*l*mmfcdliac
>>> print("".join("_" if token == IGNORED else "abcdefghijklmno"[token] for token in batch.y[0]))
______l_________
"""

import numpy as np
from numpy.typing import NDArray

from datamodules._base import Samples
from datamodules._generated import samples
from datamodules._longer import LongerThanTrained
from datamodules._spec import IGNORED

ORDINARY = 15
SPECIAL = ORDINARY


class InductionGaps(LongerThanTrained):
    """Say what followed the special token when it came last."""

    asks = "what followed a token when it came last"
    chance = 1 / ORDINARY
    citation = "after Gu & Dao, Mamba, 2023, arXiv 2312.00752"
    shortest = 4
    variants = {"induction-gaps": {"length": 64}}
    tiny = {"length": 16}

    def vocabularies(self) -> tuple[int, int]:
        return ORDINARY + 1, ORDINARY

    def draw_split(self, split: str, count: int, rng: np.random.Generator) -> Samples:
        length = self.steps(split)
        shortest = 2 if length == self.length else self.length + 1
        x_NT = rng.integers(ORDINARY, size=(count, length), dtype=np.uint8)
        y_NT = np.full((count, length), IGNORED, np.int8)
        gap_N = gaps(shortest, length - 1, count, rng)
        place_N = rng.integers(length - gap_N)  # so that there is a second time
        x_NT[np.arange(count), place_N] = SPECIAL
        while len(row_M := np.flatnonzero(place_N + gap_N < length)):
            before_M = place_N[row_M]
            place_N += gap_N
            x_NT[row_M, place_N[row_M]] = SPECIAL
            y_NT[row_M, place_N[row_M]] = x_NT[row_M, before_M + 1]
            gap_N = gaps(shortest, length - 1, count, rng)
        return samples(x_NT, y_NT)


def gaps(shortest: int, longest: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw whole numbers, evenly on a logarithmic scale."""
    drawn_N = np.exp(rng.uniform(np.log(shortest), np.log(longest + 1), count)).astype(np.int64)
    return np.minimum(drawn_N, longest)  # exp may round up

"""A5: the running product of even permutations of five things, at lengths beyond training (Merrill et al. 2024).

    y_t = x_1 · x_2 · … · x_t,    (g · h)(i) = g(h(i))

The sixty even permutations of 0 … 4 are tokens 0 to 59 in lexicographic order; 0 is the identity. Training has 64 steps
and asks at each of them. Validation has 128 steps, the test 256, and both ask only beyond step 64: for the rule, not
for what was trained.

A5 is the smallest group that can't be solved: its word problem is complete for NC¹, so no fixed number of layers that
a scan can compute does it at every length, as far as is known. A recurrent network does it with one state of sixty. A
bag of the inputs knows nothing of the product, nor do the last inputs. So guessing, 1/60, is 0 points.

To learn `a5` is to learn 3,600 products. `a5-walk` asks for the same state, and can be learned in minutes: its four
tokens multiply by a rotation of three things, by one of five, or by an inverse of these. Any element is a product of
them. Training has 24 steps, validation 48, the test 96.

>>> task = A5(tiny=True)
>>> batch = next(iter(task.train_dataloader()))
>>> batch.x[0].tolist()
[33, 9, 46, 38, 29, 24, 20, 18]
>>> batch.y[0].tolist()
[33, 29, 36, 59, 30, 4, 29, 19]
>>> next(iter(task.val_dataloader())).y[0].tolist()
[-100, -100, -100, -100, -100, -100, -100, -100, 1, 4, 4, 0, 54, 2, 38, 41]
"""

import numpy as np
from numpy.typing import NDArray

from datamodules._groups import WordProblem, permutations_of, symmetric

WALK = [(1, 2, 0, 3, 4), (2, 0, 1, 3, 4), (1, 2, 3, 4, 0), (4, 0, 1, 2, 3)]
"""Two rotations, each with its inverse."""


class A5(WordProblem):
    """Multiply even permutations of five things."""

    asks = "the running product of elements of A₅"
    chance = 1 / 60
    variants = {"a5": {"length": 64, "walk": False}, "a5-walk": {"length": 24, "walk": True}}
    walk: bool

    @classmethod
    def table(cls) -> NDArray[np.uint8]:
        return symmetric(5, even=True)

    def elements(self) -> NDArray[np.uint8]:
        elements = permutations_of(5, even=True)
        return np.array([elements.index(each) for each in (WALK if self.walk else elements)], np.uint8)

"""The base of word problems: the running product of a sequence of random elements of a group (Merrill et al. 2024).

    y_t = x_1 · x_2 · … · x_t,    x_t uniform

A token is an element, and the product so far is asked for at every step. Elements of a permutation group are numbered
in the lexicographic order of (g(0), g(1), …), so that 0 is the identity. (g · h)(i) = g(h(i)).

Shapes: N samples, T time, G elements.
"""

from abc import abstractmethod
from functools import cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from datamodules._base import Samples
from datamodules._generated import samples
from datamodules._longer import LongerThanTrained
from datamodules._spec import IGNORED

CITATION = "Merrill, Petty & Sabharwal, The Illusion of State in State-Space Models, ICML 2024, arXiv 2404.08819"


class WordProblem(LongerThanTrained):
    """A task: multiply the elements of a group, one after the other."""

    citation = CITATION

    @classmethod
    @abstractmethod
    def table(cls) -> NDArray[np.uint8]:
        """Return the products g · h, (G, G)."""

    def elements(self) -> NDArray[np.uint8]:
        """Return the element that each token stands for; the tokens are the elements, unless a task says otherwise."""
        return np.arange(len(self.table()), dtype=np.uint8)

    def vocabularies(self) -> tuple[int, int]:
        return len(self.elements()), len(self.table())

    def draw_split(self, split: str, count: int, rng: np.random.Generator) -> Samples:
        table_GG, elements_K = self.table(), self.elements()
        x_NT = rng.integers(len(elements_K), size=(count, self.steps(split)), dtype=np.uint8)
        y_NT = elements_K[x_NT].astype(np.int16)
        for step in range(1, x_NT.shape[1]):
            y_NT[:, step] = table_GG[y_NT[:, step - 1], elements_K[x_NT[:, step]]]
        if x_NT.shape[1] > self.length:
            y_NT[:, : self.length] = IGNORED
        return samples(x_NT, y_NT)


@cache
def cyclic(order: int) -> NDArray[np.uint8]:
    """Return the sums modulo `order`."""
    return (np.add.outer(np.arange(order), np.arange(order)) % order).astype(np.uint8)


@cache
def symmetric(size: int, *, even: bool = False) -> NDArray[np.uint8]:
    """Return the products of the permutations of `size` things, or of the even ones alone.

    >>> symmetric(3)[[1, 3], [3, 1]].tolist()  # elements 1 = (0, 2, 1) and 3 = (1, 2, 0) don't commute
    [5, 2]
    """
    elements = permutations_of(size, even=even)
    number = {element: index for index, element in enumerate(elements)}
    return np.array([[number[tuple(g[i] for i in h)] for h in elements] for g in elements], np.uint8)


def permutations_of(size: int, *, even: bool = False) -> list[tuple[int, ...]]:
    """Return the permutations of `size` things, or the even ones alone, in lexicographic order."""
    return [each for each in permutations(range(size)) if not even or is_even(each)]


def is_even(permutation: tuple[int, ...]) -> bool:
    """Return whether the number of pairs in the wrong order is even."""
    pairs = ((a, b) for index, a in enumerate(permutation) for b in permutation[index + 1 :])
    return sum(a > b for a, b in pairs) % 2 == 0

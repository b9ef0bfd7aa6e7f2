"""ListOps: the value of a nested expression of 500 to 2,000 tokens (Nangia & Bowman 2018; Long Range Arena's sizes).

An expression is a digit with probability 3/4, and always at depth 10; otherwise it is one of MIN, MAX, MED (the
median, rounded down) and SM (the sum modulo 10) of 2 to 10 expressions. Expressions of more than 500 and fewer than
2,000 tokens are kept. The trivial score is that of the most common value among a million expressions.

`listops` has 1.1% of expressions that are wrong: they outgrew 2,000 tokens, their open operators became digits, and
then they were short enough. `listops-2` leaves these out, as Long Range Arena does. There 0 points are what the first
token alone is worth: its operator tells the value 0.37 of the time. A bag of all tokens is right 0.18 of the time.

>>> task = ListOps(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> " ".join(SYMBOLS[token] for token in batch.x[0, : batch.lengths[0]]), batch.y[0].item()
('[MAX [MIN 4 8 1 4 9 0 1 6 ] 9 8 ]', 9)
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules._base import Samples
from datamodules._generated import GeneratedTask, samples
from datamodules._spec import Label, TaskSpec, Tokens

SYMBOLS = ("", *"0123456789", "[MIN", "[MAX", "[MED", "[SM", "]")
DIGIT, OPERATOR, END = 1, 11, 15  # the tokens of 0 and of MIN, and the closing bracket
OPERATORS = 4
OPERATOR_SHARE = 0.25
MAX_ARGUMENTS = 10
ROOTS = 50_000  # expressions that are begun at a time

Ints = NDArray[np.int64]


class ListOps(GeneratedTask):
    """Evaluate a nested expression."""

    min_length = 500
    max_length = 2_000
    max_depth = 10
    roots = ROOTS
    chance = 0.17
    shortcuts = {"first-16": 24}  # the first operator alone
    with_cut = True
    """Whether to keep expressions that outgrew the greatest length and became short enough when they were cut."""
    counts = {"train": 96_000, "validation": 2_000, "test": 2_000}
    variants = {"listops": {}, "listops-2": {"with_cut": False, "chance": 0.37, "shortcuts": {}}}
    tiny = {"min_length": 4, "max_length": 20, "max_depth": 3, "roots": 5_000}

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=f"the value of a nested expression of {self.min_length} to {self.max_length:,} tokens",
            seq_len=self.max_length,
            input=Tokens(len(SYMBOLS)),
            output=Label(10),
            metric="accuracy",
            chance=self.chance,
            variable_lengths=True,
            source="generated",
            license="MIT",
            citation="Nangia & Bowman, ListOps, 2018, arXiv 1804.06028; Tay et al., Long Range Arena, 2020",
        )

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        parts: list[Samples] = []
        while sum(len(part.y) for part in parts) < count:
            levels, length = grow(self.roots, self.max_depth, self.max_length, rng)
            if self.with_cut:
                length = written_length(levels)
            levels = kept(levels, (length > self.min_length) & (length < self.max_length))
            parts.append(samples(*write(levels, self.max_length)))
        x, y, lengths = (np.concatenate(column)[:count] for column in zip(*parts, strict=True))
        return samples(x, y, lengths)

    def decode(self, batch: Samples) -> Samples:
        return batch._replace(x=batch.x.long(), y=batch.y.long())


class Level(NamedTuple):
    """The nodes at one depth of many expressions. Children of the same parent are next to each other, in order."""

    tree: Ints
    parent: Ints
    """Index into the level above."""
    arguments: Ints
    """How many arguments an operator has; 0 for a digit."""
    value: Ints
    """The digit, or the number of the operator."""


def grow(roots: int, max_depth: int, max_length: int, rng: np.random.Generator) -> tuple[list[Level], Ints]:
    """Draw expressions, breadth first. An expression that reaches the greatest length is cut: its open operators have
    no arguments.

    Returns:
        The levels, and the number of tokens of each expression; of one that was cut, those before the cut.
    """
    length = np.zeros(roots, np.int64)
    levels: list[Level] = []
    tree, parent = np.arange(roots), np.zeros(roots, np.int64)
    for depth in range(1, max_depth + 1):
        is_operator = (rng.random(len(tree)) < OPERATOR_SHARE) & (depth < max_depth)
        arguments = np.where(is_operator, rng.integers(2, MAX_ARGUMENTS + 1, size=len(tree)), 0)
        value = np.where(is_operator, rng.integers(OPERATORS, size=len(tree)), rng.integers(10, size=len(tree)))
        length += np.bincount(tree, weights=1 + is_operator, minlength=roots).astype(np.int64)
        arguments[length[tree] >= max_length] = 0
        levels.append(Level(tree, parent, arguments, value))
        parent = np.repeat(np.arange(len(tree)), arguments)
        tree = tree[parent]
    return levels, length


def written_length(levels: list[Level]) -> Ints:
    """Return the number of tokens of each expression as it is written."""
    length = np.zeros(len(levels[0].tree), np.int64)
    for level in levels:
        length += np.bincount(level.tree, weights=1 + (level.arguments > 0), minlength=len(length)).astype(np.int64)
    return length


def kept(levels: list[Level], keep: NDArray[np.bool_]) -> list[Level]:
    """Return some of the expressions, renumbered."""
    number, above = np.cumsum(keep) - 1, np.zeros(len(keep), np.int64)
    result = []
    for level in levels:
        mask = keep[level.tree]
        tree, parent, arguments, value = (column[mask] for column in level)
        result.append(Level(number[tree], above[parent], arguments, value))
        above = np.cumsum(mask) - 1
    return result


def write(levels: list[Level], max_length: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Ints]:
    """Return the expressions as tokens (N, max_length), their values (N,) and their lengths (N,)."""
    sizes, values = evaluate(levels)
    x_NT = np.zeros((len(levels[0].tree), max_length), np.uint8)
    start = np.zeros(len(levels[0].tree), np.int64)
    for depth, level in enumerate(levels):
        is_operator = level.arguments > 0
        x_NT[level.tree, start] = level.value + np.where(is_operator, OPERATOR, DIGIT)
        x_NT[level.tree[is_operator], (start + sizes[depth] - 1)[is_operator]] = END
        if depth + 1 < len(levels):
            below, taken = levels[depth + 1].parent, sizes[depth + 1]
            before = np.cumsum(taken) - taken
            first = np.cumsum(level.arguments) - level.arguments
            start = start[below] + 1 + before - before[first[below]]
    return x_NT, values.astype(np.uint8), sizes[0]


def evaluate(levels: list[Level]) -> tuple[list[Ints], Ints]:
    """Return the number of tokens of every node, level by level, and the values of the roots."""
    sizes: list[Ints] = []
    values = size = np.zeros(0, np.int64)
    for level in reversed(levels):
        is_operator = level.arguments > 0
        results, taken = level.value.copy(), np.ones(len(level.tree), np.int64)
        if is_operator.any():
            arguments = level.arguments[is_operator]
            first = np.cumsum(arguments) - arguments
            results[is_operator] = apply(level.value[is_operator], values, first, arguments)
            taken[is_operator] = 2 + np.add.reduceat(size, first)
        values, size = results, taken
        sizes.append(size)
    return sizes[::-1], values


def apply(operator: Ints, values: Ints, first: Ints, arguments: Ints) -> Ints:
    """Return each operator's result on its arguments: the `arguments` consecutive `values` that start at `first`."""
    owner = np.repeat(np.arange(len(first)), arguments)
    in_order = values[np.lexsort((values, owner))]
    lower, upper = in_order[first + (arguments - 1) // 2], in_order[first + arguments // 2]
    results = (
        in_order[first],
        in_order[first + arguments - 1],
        (lower + upper) // 2,
        np.add.reduceat(values, first) % 10,
    )
    return np.choose(operator, results)

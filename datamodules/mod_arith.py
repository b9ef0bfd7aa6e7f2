"""Mod-arith: the value modulo 5 of expressions, at lengths beyond those of training (after Delétang et al. 2023).

`mod-arith` has digits from 0 to 4 with +, − or × between them, and × binds tighter: a finite automaton can do it. At
every digit, the value of the expression so far is asked for.

`mod-arith-brackets` has brackets around every operation, and a minus before some digits. An expression of n tokens is

    n = 1: a digit      n = 2: −d      n = 3: (d)      n = 4: (−d)
    n > 4: (l ∘ r) with ∘ from +, −, ×, where l has 1 to n − 4 tokens, evenly drawn, and r the others

At every closing bracket, the value of what it closes is asked for. It takes a stack.

Training has 40 tokens and asks at all these places, so it has expressions of every length up to 40. (The paper asks
once, at the end of sequences of mixed lengths, and trains a thousand times as long as a suite of ours can.) Validation
has 80 tokens, the test 256, and both ask only for expressions of more than 40.

Guessing is right one time in five; with brackets, guessing zero is right 0.3 of the time, as zero times anything is
zero. These are 0 points.

>>> task = ModArith("mod-arith-brackets", tiny=True)
>>> batch = next(iter(task.train_dataloader()))
>>> print("".join(SYMBOLS[token] for token in batch.x[0]))
(((0)+0)*3)
>>> print("".join("_" if value == IGNORED else str(value) for value in batch.y[0].tolist()))
____0__0__0
>>> batch = next(iter(ModArith("mod-arith", tiny=True).train_dataloader()))
>>> print("".join(SYMBOLS[token] for token in batch.x[0]))
2+2+3*2+4-1
>>> print("".join("_" if value == IGNORED else str(value) for value in batch.y[0].tolist()))
2_4_2_0_4_3
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from datamodules._base import Samples
from datamodules._generated import samples
from datamodules._longer import LongerThanTrained
from datamodules._spec import IGNORED
from datamodules.parity_var import CITATION, LONGER, TRAINED

MODULUS = 5
VALUE = "the value modulo 5 of expressions"
SYMBOLS = "01234+-*()"
PLUS, MINUS, TIMES, OPEN, CLOSE = range(MODULUS, len(SYMBOLS))

Drawn = tuple[NDArray[np.uint8], NDArray[np.int8]]


class ModArith(LongerThanTrained):
    """Evaluate expressions modulo 5."""

    brackets: bool
    longer = LONGER
    citation = CITATION
    shortest = 3
    variants: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "mod-arith": {"length": TRAINED, "brackets": False, "chance": 0.2, "asks": VALUE},
        "mod-arith-brackets": {"length": TRAINED, "brackets": True, "chance": 0.3, "asks": f"{VALUE} with brackets"},
    }
    tiny = {"length": 11}

    def vocabularies(self) -> tuple[int, int]:
        return len(SYMBOLS), MODULUS

    def draw_split(self, split: str, count: int, rng: np.random.Generator) -> Samples:
        length = self.steps(split)
        shortest = 1 if length == self.length else self.length + 1
        x_NT, y_NT = (nested if self.brackets else flat)(count, length, shortest, rng)
        return samples(x_NT, y_NT)


def flat(count: int, length: int, shortest: int, rng: np.random.Generator) -> Drawn:
    """Draw digits and operators in turn, and the value at every digit from place `shortest` on.

    The value is a sum of products: adding or subtracting closes a product and begins the next one.
    """
    x_NT = rng.integers(MODULUS, size=(count, length), dtype=np.uint8)
    x_NT[:, 1::2] = rng.integers(PLUS, TIMES + 1, size=x_NT[:, 1::2].shape, dtype=np.uint8)
    y_NT = np.full((count, length), IGNORED, np.int8)
    total_N, product_N = np.zeros(count, np.int64), x_NT[:, 0].astype(np.int64)
    y_NT[:, 0] = product_N
    for step in range(1, length - 1, 2):
        operator_N, digit_N = x_NT[:, step], x_NT[:, step + 1].astype(np.int64)
        times_N = operator_N == TIMES
        total_N = np.where(times_N, total_N, total_N + product_N) % MODULUS
        begun_N = np.where(operator_N == PLUS, digit_N, -digit_N)
        product_N = np.where(times_N, product_N * digit_N, begun_N) % MODULUS
        y_NT[:, step + 1] = (total_N + product_N) % MODULUS
    y_NT[:, : shortest - 1] = IGNORED
    return x_NT, y_NT


def nested(count: int, length: int, shortest: int, rng: np.random.Generator) -> Drawn:
    """Draw expressions with brackets, and at closing brackets the value of what has at least `shortest` tokens."""
    x_NT, y_NT = np.zeros((count, length), np.uint8), np.full((count, length), IGNORED, np.int8)
    for x_T, y_T in zip(x_NT, y_NT, strict=True):
        numbers = iter(rng.random(length).tolist())  # an expression needs fewer random numbers than it has tokens
        tokens: list[int] = []
        values: list[int] = []
        expression(length, shortest, numbers, tokens, values)
        x_T[:], y_T[:] = tokens, values
    return x_NT, y_NT


def expression(length: int, shortest: int, numbers: Iterator[float], tokens: list[int], values: list[int]) -> int:
    """Append an expression, drawn by numbers from [0, 1), and what is asked at each of its tokens. Return its value.

    Args:
        shortest: the length from which on the value of a part is asked for.
    """
    if length <= 4:
        digit = int(next(numbers) * MODULUS)
        minus = length % 2 == 0
        inner = [MINUS, digit] if minus else [digit]
        tokens += inner if length < 3 else [OPEN, *inner, CLOSE]
        values += [IGNORED] * length
        value = -digit % MODULUS if minus else digit
    else:
        left = 1 + int(next(numbers) * (length - 4))
        operator = PLUS + int(next(numbers) * 3)
        tokens.append(OPEN)
        values.append(IGNORED)
        one = expression(left, shortest, numbers, tokens, values)
        tokens.append(operator)
        values.append(IGNORED)
        other = expression(length - 3 - left, shortest, numbers, tokens, values)
        tokens.append(CLOSE)
        values.append(IGNORED)
        value = {PLUS: one + other, MINUS: one - other, TIMES: one * other}[operator] % MODULUS
    if tokens[-1] == CLOSE and length >= shortest:
        values[-1] = value
    return value

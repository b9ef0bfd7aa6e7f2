"""Mod-arith: the value modulo 5 of an expression, at lengths beyond those of training (Delétang et al. 2023).

`mod-arith` has digits from 0 to 4 with +, − or × between them, and × binds tighter: a finite automaton can do it. It
has 2 to 20 digits for training, 21 to 40 for validation, 21 to 128 for testing: 3 to 39, 41 to 79 and 41 to 255 tokens.

`mod-arith-brackets` has brackets around every operation, and a minus before some digits. An expression of n tokens is

    n = 1: a digit      n = 2: −d      n = 3: (d)      n = 4: (−d)
    n > 4: (l ∘ r) with ∘ from +, −, ×, where l has 1 to n − 4 tokens, evenly drawn, and r the others

with lengths 3 to 40 for training, 41 to 80 for validation, 41 to 256 for testing. It takes a stack.

Guessing is right one time in five; with brackets, guessing zero is right 0.31 of the time, as zero times anything is
zero. These are 0 points.

>>> task = ModArith("mod-arith-brackets", tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> "".join(SYMBOLS[token] for token in batch.x[0, : batch.lengths[0]]), batch.y[0].item()
('((-2)+(-1))', 2)
>>> batch = next(iter(ModArith("mod-arith", tiny=True).val_dataloader()))
>>> "".join(SYMBOLS[token] for token in batch.x[0, : batch.lengths[0]]), batch.y[0].item()
('3-3-4+2*2', 0)
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from datamodules._lengths import Ints, LongerThanTrained

MODULUS = 5
SYMBOLS = "01234+-*()"
PLUS, MINUS, TIMES, OPEN, CLOSE = range(MODULUS, len(SYMBOLS))


class ModArith(LongerThanTrained):
    """Evaluate an expression modulo 5."""

    brackets: bool
    tokens = len(SYMBOLS)
    classes = MODULUS
    variants = {
        "mod-arith": {"brackets": False, "chance": 0.2, "summary": "the value modulo 5 of an expression"},
        "mod-arith-brackets": {
            "brackets": True, "chance": 0.31, "summary": "the value modulo 5 of an expression with brackets",
        },
    }  # fmt: skip

    def write(self, lengths_N: Ints, longest: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Ints, Ints]:
        return (nested if self.brackets else flat)(lengths_N, longest, rng)


def flat(lengths_N: Ints, longest: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Ints, Ints]:
    """Draw digits and operators in turn. A length that is even is made odd: one more if it is the least, else one less.

    The value is a sum of products: adding or subtracting closes a product and begins the next one.
    """
    lengths_N = np.maximum(lengths_N - (lengths_N % 2 == 0), 3)
    x_NT = rng.integers(MODULUS, size=(len(lengths_N), longest), dtype=np.uint8)
    x_NT[:, 1::2] = rng.integers(PLUS, TIMES + 1, size=x_NT[:, 1::2].shape, dtype=np.uint8)
    total_N, product_N = np.zeros(len(x_NT), np.int64), x_NT[:, 0].astype(np.int64)
    for step in range(1, longest - 1, 2):
        operator_N, digit_N = x_NT[:, step], x_NT[:, step + 1].astype(np.int64)
        inside_N = step + 1 < lengths_N
        times_N = operator_N == TIMES
        total_N = np.where(inside_N & ~times_N, total_N + product_N, total_N) % MODULUS
        begun_N = np.where(operator_N == PLUS, digit_N, -digit_N)
        product_N = np.where(inside_N, np.where(times_N, product_N * digit_N, begun_N), product_N) % MODULUS
    return x_NT, (total_N + product_N) % MODULUS, lengths_N


def nested(lengths_N: Ints, longest: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Ints, Ints]:
    """Draw expressions with brackets of exactly these lengths."""
    x_NT, y_N = np.zeros((len(lengths_N), longest), np.uint8), np.zeros(len(lengths_N), np.int64)
    for row, length in enumerate(lengths_N.tolist()):
        numbers = iter(rng.random(length).tolist())  # an expression needs fewer random numbers than it has tokens
        tokens: list[int] = []
        y_N[row] = expression(length, numbers, tokens)
        x_NT[row, :length] = tokens
    return x_NT, y_N, lengths_N


def expression(length: int, numbers: Iterator[float], tokens: list[int]) -> int:
    """Append an expression of that many tokens, drawn by numbers from [0, 1). Return its value."""
    if length <= 4:
        digit = int(next(numbers) * MODULUS)
        minus = length % 2 == 0
        inner = [MINUS, digit] if minus else [digit]
        tokens += inner if length < 3 else [OPEN, *inner, CLOSE]
        return -digit % MODULUS if minus else digit
    left = 1 + int(next(numbers) * (length - 4))
    operator = PLUS + int(next(numbers) * 3)
    tokens.append(OPEN)
    one = expression(left, numbers, tokens)
    tokens.append(operator)
    other = expression(length - 3 - left, numbers, tokens)
    tokens.append(CLOSE)
    results = {PLUS: one + other, MINUS: one - other, TIMES: one * other}
    return results[operator] % MODULUS

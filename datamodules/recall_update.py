"""Recall-update: the latest value of each key, when keys get new values (after Arora et al. 2023, Zoology).

Of 17 tokens, 0 to 7 are keys, 8 to 15 values and 16 asks. A sequence is pairs of tokens: half of them write (a key,
its value), half ask (a key, the token 16), at random, but for the first, which writes. A written key is any of the
eight; if it has a value, it gets another one. A key that is asked for is any that has a value; the target at the token
16 is its latest value. All other positions carry neither loss nor metric.

Training has 64 steps, validation 128, the test 256, and the last two ask only beyond step 64. Unlike in `mqar`, what is
stored has to be replaced: a memory that only adds up pairs mixes the old value with the new one. 0 points are what
logistic regression on the last sixteen tokens reaches, 0.25: the newest values are likelier than others.

With letters for keys, digits for values:

>>> task = RecallUpdate(tiny=True)
>>> batch = next(iter(task.train_dataloader()))
>>> print("".join("abcdefgh01234567?"[token] for token in batch.x[0]))
a6f3f7h2h?f0c6h?
>>> print("".join("_" if token == IGNORED else "abcdefgh01234567?"[token] for token in batch.y[0]))
_________2_____2
"""

import numpy as np

from datamodules._base import Samples
from datamodules._generated import samples
from datamodules._longer import LongerThanTrained
from datamodules._spec import IGNORED

KEYS = VALUES = 8
ASK = KEYS + VALUES


class RecallUpdate(LongerThanTrained):
    """Recall the latest value of each key."""

    asks = "the latest value of keys that change"
    chance = 0.25
    citation = "after Arora et al., Zoology, 2023, arXiv 2312.04927"
    shortest = 4
    variants = {"recall-update": {"length": 64}}
    tiny = {"length": 16}

    def vocabularies(self) -> tuple[int, int]:
        return ASK + 1, ASK + 1

    def draw_split(self, split: str, count: int, rng: np.random.Generator) -> Samples:
        length = self.steps(split)
        x_NT = np.full((count, length), ASK, np.uint8)
        y_NT = np.full((count, length), IGNORED, np.int8)
        held_NK, every = np.full((count, KEYS), -1), np.arange(count)
        for step in range(0, length - 1, 2):
            writes_N = (rng.random(count) < 0.5) | (step == 0)
            order_NK = rng.random((count, KEYS))
            order_NK[~writes_N[:, None] & (held_NK < 0)] = -1  # only what has a value is asked for
            key_N = order_NK.argmax(1)
            old_N = held_NK[every, key_N]
            new_N = np.where(
                old_N < 0, rng.integers(VALUES, size=count), (old_N + rng.integers(1, VALUES, size=count)) % VALUES
            )
            x_NT[:, step] = key_N
            x_NT[writes_N, step + 1] = KEYS + new_N[writes_N]
            y_NT[~writes_N, step + 1] = KEYS + old_N[~writes_N]
            held_NK[every[writes_N], key_N[writes_N]] = new_N[writes_N]
        if length > self.length:
            y_NT[:, : self.length] = IGNORED
        return samples(x_NT, y_NT)

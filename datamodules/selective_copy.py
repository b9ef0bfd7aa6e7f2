"""Selective copying: ten symbols scattered among blanks, to be repeated in order at the end (Gu & Dao 2023, §3.1).

Input: T tokens, of which ten at random places are symbols of eight and the others blanks, then ten markers. The output
at the markers is the ten symbols in their order; the other positions carry neither loss nor metric. As the places are
random, counting steps does not help, unlike in `copy`. Guessing is right one time in eight.

`selective-copy-64` has eight symbols of eight among 64 tokens. There 0 points are what a bag of the inputs reaches: to
say the most frequent symbol eight times is right 0.325 of the time.

With `_` for the blank and `|` for the marker:

>>> task = SelectiveCopy(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> print("".join("01234567_|"[token] for token in batch.x[0]), batch.y[0, -10:].tolist())
5_514__27_605_1_|||||||||| [5, 5, 1, 4, 2, 7, 6, 0, 5, 1]
"""

import numpy as np
from torch.nn import functional as F

from datamodules._base import Samples
from datamodules._generated import GeneratedTask, distinct, require_length, samples
from datamodules._spec import IGNORED, TaskSpec, TokenPerStep, Tokens

SYMBOLS = 8
BLANK = SYMBOLS
MARKER = SYMBOLS + 1
NUMBERS = {8: "eight", 10: "ten"}
BAG = 0.324654  # the mean share of the most frequent among eight symbols of eight


class SelectiveCopy(GeneratedTask):
    """Repeat scattered symbols in their order."""

    length: int
    copied = 10
    chance = 1 / SYMBOLS
    shortcuts = {"bag": 21, "hidden-bag": 21, "first-16": 5, "last-16": 5}  # to say the commonest symbol ten times
    variants = {f"selective-copy-{length}": {"length": length} for length in (200, 1_000)} | {
        "selective-copy-64": {"length": 64, "copied": 8, "chance": BAG, "shortcuts": {}}
    }
    tiny = {"length": 16}

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=f"say {NUMBERS[self.copied]} symbols that are scattered over {self.length:,} steps, in order",
            seq_len=self.length + self.copied,
            input=Tokens(SYMBOLS + 2),
            output=TokenPerStep(SYMBOLS + 2),
            metric="accuracy",
            chance=self.chance,
            source="generated",
            license="MIT",
            citation="Gu & Dao, Mamba, 2023, arXiv 2312.00752",
        )

    def resized(self, seq_len: int) -> dict[str, int]:
        require_length(seq_len, 2 * self.copied)
        return {"length": seq_len - self.copied}

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        """Draw samples. The targets are stored without the ignored positions, (N, S)."""
        symbols_NS = rng.integers(SYMBOLS, size=(count, self.copied), dtype=np.uint8)
        places_NS = np.sort(distinct(rng, count, self.copied, self.length), axis=1)
        x_NT = np.full((count, self.length + self.copied), BLANK, dtype=np.uint8)
        x_NT[:, -self.copied :] = MARKER
        np.put_along_axis(x_NT, places_NS, symbols_NS, axis=1)
        return samples(x_NT, symbols_NS)

    def decode(self, batch: Samples) -> Samples:
        y_BT = F.pad(batch.y.long(), (batch.x.shape[1] - self.copied, 0), value=IGNORED)
        return Samples(batch.x.long(), y_BT)

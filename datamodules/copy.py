"""Copy: ten symbols, a long wait, the ten symbols again (Arjovsky, Shah & Bengio 2016).

Input: ten symbols of eight, T − 1 blanks, a marker, ten blanks: T + 20 tokens. Output: T + 10 blanks, then the ten
symbols. The loss counts every position, the accuracy the ten symbols only. A model that remembers nothing knows where
the symbols go but not which they are: accuracy 1/8, cross-entropy 10 ln 8 / (T + 20).

`copy-50`, since its version 2, has 0 points where a bag of the inputs has them: it says the most frequent of the ten
symbols ten times, right 0.302 of the time. And none of its test samples is among those for training: a hash assigns
each of the 8^10 sequences of symbols to one split.

With `_` for the blank and `|` for the marker:

>>> task = Copy(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> for tokens in (batch.x[0], batch.y[0]):
...     print("".join("01234567_|"[token] for token in tokens))
3452717536____|__________
_______________3452717536
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from datamodules._base import Samples
from datamodules._generated import GeneratedTask, require_length, samples
from datamodules._spec import TaskSpec, TokenPerStep, Tokens

SYMBOLS = 8
BLANK = SYMBOLS
MARKER = SYMBOLS + 1
COPIED = 10
BAG = 0.301982  # the mean share of the most frequent among ten symbols of eight
MULTIPLIER = 0x9E3779B1  # Knuth's multiplicative hash: 2^32 over the golden ratio
PARTS = {"test": 0, "validation": 1}  # of 16; all others are for training


class Copy(GeneratedTask):
    """Repeat ten symbols after T steps."""

    delay: int
    # `copy` means the first variant. The last three are for models that don't learn even that one.
    variants = {f"copy-{delay}": {"delay": delay} for delay in (100, 200, 1_000, 2_000, 10, 25)} | {
        "copy-50": {"delay": 50, "version": 2, "chance": BAG, "divided": True, "shortcuts": {}}
    }
    chance = 1 / SYMBOLS
    shortcuts = {"bag": 21, "hidden-bag": 21, "first-16": 21}  # to say the commonest symbol ten times
    divided = False
    """Whether no sequence of symbols is in two splits."""
    tiny = {"delay": 5}

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=f"say ten symbols again after {self.delay:,} steps",
            seq_len=self.delay + 2 * COPIED,
            input=Tokens(SYMBOLS + 2),
            output=TokenPerStep(SYMBOLS + 2, unscored=BLANK),
            metric="accuracy",
            chance=self.chance,
            source="generated",
            license="MIT",
            citation="Arjovsky, Shah & Bengio, Unitary Evolution RNNs, ICML 2016, arXiv 1511.06464",
        )

    def resized(self, seq_len: int) -> dict[str, int]:
        require_length(seq_len, 2 * COPIED + 1)
        return {"delay": seq_len - 2 * COPIED}

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        """Draw the symbols, (N, 10). Nothing else is stored."""
        symbols_NS = rng.integers(SYMBOLS, size=(count, COPIED), dtype=np.uint8)
        return samples(symbols_NS, symbols_NS)

    def draw_split(self, split: str, count: int, rng: np.random.Generator) -> Samples:
        if not self.divided:
            return self.draw(count, rng)
        symbols_NS = np.empty((0, COPIED), np.uint8)
        while len(symbols_NS) < count:
            more_NS = rng.integers(SYMBOLS, size=(count, COPIED), dtype=np.uint8)
            symbols_NS = np.concatenate([symbols_NS, more_NS[belongs_to(split, more_NS)]])
        return samples(symbols_NS[:count], symbols_NS[:count])

    def decode(self, batch: Samples) -> Samples:
        x_BC, y_BC = batch.x.long(), batch.y.long()
        marked_BT = F.pad(x_BC.new_full((len(x_BC), 1), MARKER), (self.delay - 1, COPIED), value=BLANK)
        x_BT = torch.cat([x_BC, marked_BT], dim=1)
        y_BT = F.pad(y_BC, (self.spec.seq_len - COPIED, 0), value=BLANK)
        return Samples(x_BT, y_BT)


def belongs_to(split: str, symbols_NS: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which sequences of symbols are of that split."""
    code_N = symbols_NS.astype(np.uint64) @ (SYMBOLS ** np.arange(COPIED, dtype=np.uint64))
    part_N = (code_N * np.uint64(MULTIPLIER) % np.uint64(1 << 32)) >> np.uint64(28)
    return part_N == PARTS[split] if split in PARTS else part_N >= len(PARTS)

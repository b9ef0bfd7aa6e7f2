"""Selective copying: ten symbols scattered among blanks, to be repeated in order at the end (Gu & Dao 2023, §3.1).

Input: T tokens, of which ten at random places are symbols of eight and the others blanks, then ten markers. The output
at the markers is the ten symbols in their order; the other positions carry neither loss nor metric. As the places are
random, counting steps does not help, unlike in `copy`. Guessing is right one time in eight.

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
COPIED = 10


class SelectiveCopy(GeneratedTask):
    """Repeat ten scattered symbols in their order."""

    length: int
    variants = {f"selective-copy-{length}": {"length": length} for length in (200, 1_000)}
    tiny = {"length": 16}

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=f"say ten symbols that are scattered over {self.length:,} steps, in order",
            seq_len=self.length + COPIED,
            input=Tokens(SYMBOLS + 2),
            output=TokenPerStep(SYMBOLS + 2),
            metric="accuracy",
            chance=1 / SYMBOLS,
            source="generated",
            license="MIT",
            citation="Gu & Dao, Mamba, 2023, arXiv 2312.00752",
        )

    def resized(self, seq_len: int) -> dict[str, int]:
        require_length(seq_len, 2 * COPIED)
        return {"length": seq_len - COPIED}

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        """Draw samples. The targets are stored without the ignored positions, (N, 10)."""
        symbols_NS = rng.integers(SYMBOLS, size=(count, COPIED), dtype=np.uint8)
        places_NS = np.sort(distinct(rng, count, COPIED, self.length), axis=1)
        x_NT = np.full((count, self.length + COPIED), BLANK, dtype=np.uint8)
        x_NT[:, -COPIED:] = MARKER
        np.put_along_axis(x_NT, places_NS, symbols_NS, axis=1)
        return samples(x_NT, symbols_NS)

    def decode(self, batch: Samples) -> Samples:
        y_BT = F.pad(batch.y.long(), (batch.x.shape[1] - COPIED, 0), value=IGNORED)
        return Samples(batch.x.long(), y_BT)

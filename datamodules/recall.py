"""Recall: say the value that each key was paired with, when the key comes again (after Arora et al. 2023, Zoology).

Of 17 tokens, 0 to 7 are keys, 8 to 15 values and 16 is a blank. The first half of the T steps holds T/8 pairs: a key, a
blank, its value, a blank. The keys are distinct, and so are the values. In the second half, each of the keys comes once
more, at a random step, in random order; the target there is its value. All other positions are blank and carry neither
loss nor metric.

Unlike in `mqar`, a query may come at any distance, and a vocabulary of 17 leaves a small network's parameters to its
memory. Who knows which values there were, but not whose, is right one time in T/8. That is 0 points.

With letters for keys, digits for values and `_` for the blank:

>>> task = Recall(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> print("".join("abcdefgh01234567_"[token] for token in batch.x[0]))
b_3_f_0____b___f
>>> print("".join("_" if token == IGNORED else "abcdefgh01234567_"[token] for token in batch.y[0]))
___________3___0
"""

import numpy as np

from datamodules._base import Samples
from datamodules._generated import GeneratedTask, distinct, samples
from datamodules._spec import IGNORED, TaskSpec, TokenPerStep, Tokens

KEYS = VALUES = 8
BLANK = KEYS + VALUES
STEPS_OF_A_PAIR = 4


class Recall(GeneratedTask):
    """Recall the value of each key."""

    length: int
    variants = {"recall-32": {"length": 32}}
    tiny = {"length": 16}

    def describe(self) -> TaskSpec:
        pairs = self.length // 2 // STEPS_OF_A_PAIR
        return TaskSpec(
            name=self.variant,
            summary=f"recall the values of {pairs} keys among {self.length} steps",
            seq_len=self.length,
            input=Tokens(BLANK + 1),
            output=TokenPerStep(BLANK + 1),
            metric="accuracy",
            chance=1 / pairs,
            source="generated",
            license="MIT",
            citation="after Arora et al., Zoology, 2023, arXiv 2312.04927",
        )

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        half = self.length // 2
        pairs = half // STEPS_OF_A_PAIR
        keys_NP = distinct(rng, count, pairs, KEYS).astype(np.uint8)
        values_NP = (KEYS + distinct(rng, count, pairs, VALUES)).astype(np.uint8)
        asked_NP = half + distinct(rng, count, pairs, half)
        x_NT = np.full((count, self.length), BLANK, np.uint8)
        x_NT[:, 0:half:STEPS_OF_A_PAIR], x_NT[:, 2:half:STEPS_OF_A_PAIR] = keys_NP, values_NP
        np.put_along_axis(x_NT, asked_NP, keys_NP, axis=1)
        y_NT = np.full((count, self.length), IGNORED, np.int8)
        np.put_along_axis(y_NT, asked_NP, values_NP.astype(np.int8), axis=1)
        return samples(x_NT, y_NT)

    def decode(self, batch: Samples) -> Samples:
        return Samples(batch.x.long(), batch.y.long())

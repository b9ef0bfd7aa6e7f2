"""Multi-query associative recall: say the value that was paired with each key (Arora et al. 2023, Zoology).

Of 8,192 tokens, 1 … 4,095 are keys and 4,096 … 8,191 values. A sequence starts with P pairs of a key and its value,
keys and values each distinct. Every key comes once more, at an even distance 2g after the pairs, and its value is the
target at that position. The slots g are distinct, drawn one after the other with probability ∝ (g + 1)^(0.01 − 1), so
most queries come soon. All other positions hold random tokens and carry neither loss nor metric.

Guessing among the values of the sequence is right one time in P.

>>> task = MQAR(tiny=True)  # 20 tokens; keys are 1 to 9, values 10 to 19
>>> batch = next(iter(task.val_dataloader()))
>>> batch.x[0].tolist()
[3, 11, 5, 13, 3, 5, 1, 2, 5, 4, 0, 4]
>>> ["" if token == IGNORED else token for token in batch.y[0].tolist()]
['', '', '', '', 11, '', '', '', 13, '', '', '']
"""

import numpy as np

from datamodules._base import Samples
from datamodules._generated import GeneratedTask, distinct, distinct_weighted, samples
from datamodules._spec import IGNORED, TaskSpec, TokenPerStep, Tokens

POWER = 0.01


class MQAR(GeneratedTask):
    """Recall the value of each key."""

    length: int
    pairs: int
    vocabulary = 8_192
    variants = {
        f"mqar-{length}-{pairs}": {"length": length, "pairs": pairs} for length, pairs in ((64, 4), (128, 8), (256, 16))
    }
    tiny = {"length": 12, "pairs": 2, "vocabulary": 20}

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=f"recall the values of {self.pairs} keys among {self.length} tokens",
            seq_len=self.length,
            input=Tokens(self.vocabulary),
            output=TokenPerStep(self.vocabulary),
            metric="accuracy",
            chance=1 / self.pairs,
            source="generated",
            license="MIT",
            citation="Arora et al., Zoology, 2023, arXiv 2312.04927",
        )

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        middle, context = self.vocabulary // 2, 2 * self.pairs
        keys_NP = 1 + distinct(rng, count, self.pairs, middle - 1)
        values_NP = middle + distinct(rng, count, self.pairs, self.vocabulary - middle)
        slots = (self.length - context) // 2
        asked_NP = context + 2 * distinct_weighted(rng, count, self.pairs, np.arange(1, slots + 1) ** (POWER - 1))
        x_NT = rng.integers(self.vocabulary, size=(count, self.length), dtype=np.int16)
        x_NT[:, 0:context:2], x_NT[:, 1:context:2] = keys_NP, values_NP
        np.put_along_axis(x_NT, asked_NP, keys_NP.astype(np.int16), axis=1)
        y_NT = np.full_like(x_NT, IGNORED)
        np.put_along_axis(y_NT, asked_NP, values_NP.astype(np.int16), axis=1)
        return samples(x_NT, y_NT)

    def decode(self, batch: Samples) -> Samples:
        return Samples(batch.x.long(), batch.y.long())

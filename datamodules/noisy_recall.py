"""Noisy-recall: say the value of each key that came before, among noise (Poli et al. 2024, MAD's noisy recall).

Of 32 tokens, 0 to 7 are keys, 8 to 15 values and 16 to 31 noise. In a sequence every key has one value, drawn for each
key anew and not necessarily distinct. A sequence of 128 steps has 51 pairs of a random key and its value, and 26 tokens
of noise at random places between pairs. The target at a key that came before is its value. All other positions carry
neither loss nor metric.

0 points are what logistic regression reaches on how often each token came, and the newest one: 0.32.

With letters for keys, digits for values, `.` for noise:

>>> task = NoisyRecall(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> print("".join("abcdefgh01234567................"[token] for token in batch.x[0]))
b4b4.a3e3a3h4b4..b4.
>>> print("".join("_" if token == IGNORED else "abcdefgh01234567"[token] for token in batch.y[0]))
__4______3___4___4__
"""

import numpy as np

from datamodules._base import Samples
from datamodules._generated import GeneratedTask, samples
from datamodules._spec import IGNORED, TaskSpec, TokenPerStep, Tokens

KEYS = VALUES = 8
NOISE = 16
NOISE_SHARE = 0.2


class NoisyRecall(GeneratedTask):
    """Recall the value of each key."""

    length: int
    variants = {"noisy-recall": {"length": 128}}
    tiny = {"length": 20}

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=f"recall the values of {KEYS} keys among {self.length} steps, a fifth of them noise",
            seq_len=self.length,
            input=Tokens(KEYS + VALUES + NOISE),
            output=TokenPerStep(KEYS + VALUES + NOISE),
            metric="accuracy",
            chance=0.32,
            source="generated",
            license="MIT",
            citation="Poli et al., Mechanistic Design and Scaling of Hybrid Architectures, 2024, arXiv 2403.17844",
        )

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        pairs = round(self.length * (1 - NOISE_SHARE) / 2)
        noise = self.length - 2 * pairs
        values_NK = rng.integers(VALUES, size=(count, KEYS))
        keys_NP = rng.integers(KEYS, size=(count, pairs))
        # Of pairs + noise places in a row, those with the lowest numbers are noise, and a pair takes two steps.
        is_noise_NQ = rng.random((count, pairs + noise)).argsort(1) < noise
        steps_NQ = np.cumsum(2 - is_noise_NQ, axis=1) - (2 - is_noise_NQ)
        start_NP = steps_NQ[~is_noise_NQ].reshape(count, pairs)
        x_NT = rng.integers(KEYS + VALUES, KEYS + VALUES + NOISE, size=(count, self.length), dtype=np.uint8)
        y_NT = np.full((count, self.length), IGNORED, np.int8)
        said_NP = KEYS + np.take_along_axis(values_NK, keys_NP, axis=1)
        np.put_along_axis(x_NT, start_NP, keys_NP.astype(np.uint8), axis=1)
        np.put_along_axis(x_NT, start_NP + 1, said_NP.astype(np.uint8), axis=1)
        came_before_NP = np.tril(keys_NP[:, :, None] == keys_NP[:, None, :], -1).any(2)
        np.put_along_axis(y_NT, start_NP, np.where(came_before_NP, said_NP, IGNORED).astype(np.int8), axis=1)
        return samples(x_NT, y_NT)

    def decode(self, batch: Samples) -> Samples:
        return Samples(batch.x.long(), batch.y.long())

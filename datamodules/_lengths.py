"""The base of tasks that train on short sequences of many lengths and are scored on longer ones (Delétang et al. 2023).

Lengths are drawn evenly: 3 to 40 for training, 41 to 80 for validation, 41 to 256 for testing. A network scores only if
it has learned the rule and not a table of what it has seen. The answer is asked at the end. Shapes: N samples, T time.
"""

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from datamodules._base import Samples
from datamodules._generated import GeneratedTask, samples
from datamodules._spec import Label, TaskSpec, Tokens

CITATION = "Delétang et al., Neural Networks and the Chomsky Hierarchy, ICLR 2023, arXiv 2207.02098"
Ints = NDArray[np.int64]


class LongerThanTrained(GeneratedTask):
    """A task with one answer a sequence, scored on sequences longer than those for training."""

    lengths: ClassVar[dict[str, tuple[int, int]]] = {"train": (3, 40), "validation": (41, 80), "test": (41, 256)}
    tiny = {"lengths": {"train": (3, 8), "validation": (9, 12), "test": (9, 16)}}
    tokens: int
    classes: int
    chance: float
    summary: str

    def describe(self) -> TaskSpec:
        (_, longest), (shortest_scored, longest_scored) = self.lengths["train"], self.lengths["test"]
        return TaskSpec(
            name=self.variant,
            summary=f"{self.summary}; trained up to {longest} steps, scored on {shortest_scored} to {longest_scored}",
            seq_len=longest,
            input=Tokens(self.tokens),
            output=Label(self.classes),
            metric="accuracy",
            chance=self.chance,
            variable_lengths=True,
            source="generated",
            license="MIT",
            citation=CITATION,
        )

    @abstractmethod
    def write(self, lengths_N: Ints, longest: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Ints, Ints]:
        """Draw sequences of about these lengths: tokens (N, longest), answers (N,) and the true lengths (N,)."""

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        return self.draw_split("train", count, rng)

    def draw_split(self, split: str, count: int, rng: np.random.Generator) -> Samples:
        shortest, longest = self.lengths[split]
        lengths_N = rng.integers(shortest, longest + 1, size=count)
        x_NT, y_N, lengths_N = self.write(lengths_N, longest, rng)
        x_NT[np.arange(longest) >= lengths_N[:, None]] = 0
        return samples(x_NT, y_N.astype(np.uint8), lengths_N)

    def decode(self, batch: Samples) -> Samples:
        return batch._replace(x=batch.x.long(), y=batch.y.long())

"""The base of tasks that are trained on short sequences and asked beyond that length afterwards.

Training asks at many places of a sequence, so that short dependencies teach what long ones need. Validation and test
have longer sequences and ask only for what training could not: a network scores if it has learned the rule, and not a
table of what it has seen.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from datamodules._base import Samples
from datamodules._generated import GeneratedTask, require_length
from datamodules._spec import TaskSpec, TokenPerStep, Tokens

LONGER = {"validation": 2, "test": 4}


class LongerThanTrained(GeneratedTask):
    """A task of tokens that asks for an answer at some steps."""

    length: int
    """The steps of training."""
    longer: ClassVar[Mapping[str, float]] = LONGER
    """Split → how many times as long its sequences are."""
    asks: str
    """What is asked for, as sentences say it."""
    chance: float
    citation: str
    shortest: ClassVar[int] = 2
    """The least length."""
    tiny = {"length": 8}

    @abstractmethod
    def vocabularies(self) -> tuple[int, int]:
        """Return the number of tokens and that of answers."""

    @property
    def scored_from(self) -> int:
        """The first step that the metric looks at, in every split. What a split's targets ignore is masked besides."""
        return 0

    def describe(self) -> TaskSpec:
        tokens, answers = self.vocabularies()
        beyond = f" and asked up to {self.steps('test')}" if self.longer else ""
        return TaskSpec(
            name=self.variant,
            summary=f"{self.asks}, trained on {self.length} steps{beyond}",
            seq_len=self.length,
            input=Tokens(tokens),
            output=TokenPerStep(answers, scored_from=self.scored_from),
            metric="accuracy",
            chance=self.chance,
            source="generated",
            license="MIT",
            citation=self.citation,
        )

    def steps(self, split: str) -> int:
        return round(self.length * self.longer.get(split, 1))

    def resized(self, seq_len: int) -> dict[str, int]:
        require_length(seq_len, self.shortest)
        return {"length": seq_len}

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        return self.draw_split("train", count, rng)

    @abstractmethod
    def draw_split(self, split: str, count: int, rng: np.random.Generator) -> Samples: ...

    def decode(self, batch: Samples) -> Samples:
        return Samples(batch.x.long(), batch.y.long())

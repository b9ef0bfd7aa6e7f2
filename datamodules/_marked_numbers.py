"""The base of tasks on two marked numbers in a sequence of random ones (after Hochreiter & Schmidhuber 1997).

Two channels: numbers from U[0, 1), and a marker that is 1 at two places and 0 elsewhere.

Shapes: N samples, T time.
"""

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules._base import Samples
from datamodules._generated import GeneratedTask, require_length, samples
from datamodules._spec import Continuous, TaskSpec, Value


class MarkedNumbers(GeneratedTask):
    """A task: say a value that follows from the two marked numbers."""

    length: int
    answer: ClassVar[str]
    """What is asked for, as sentences say it."""
    citation: ClassVar[str]
    tiny = {"length": 10}

    @abstractmethod
    def places(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw the two marked places of each sample, the earlier one first, (N, 2)."""

    @abstractmethod
    def value(self, marked_N2: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the answers, (N, 1), to the marked numbers in their order."""

    def describe(self) -> TaskSpec:
        return TaskSpec(
            name=self.variant,
            summary=f"{self.answer} of two marked numbers among {self.length:,}",
            seq_len=self.length,
            input=Continuous(2),
            output=Value(1),
            metric="mse",
            chance=1 / 6,
            solved=1e-3,
            source="generated",
            license="MIT",
            citation=self.citation,
        )

    def resized(self, seq_len: int) -> dict[str, int]:
        require_length(seq_len, 2)
        return {"length": seq_len}

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        """Draw samples. A marked number is stored with its sign bit set, in half the memory of two channels."""
        numbers_NT = rng.random((count, self.length), dtype=np.float32)
        places_N2 = self.places(count, rng)
        marked_N2 = np.take_along_axis(numbers_NT, places_N2, axis=1)
        np.put_along_axis(numbers_NT, places_N2, -marked_N2, axis=1)
        return samples(numbers_NT, self.value(marked_N2))

    def decode(self, batch: Samples) -> Samples:
        return batch._replace(x=torch.stack([batch.x.abs(), batch.x.signbit().float()], dim=-1))

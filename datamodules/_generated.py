"""The base of tasks whose samples are drawn by a generator, in chunks that fit in memory, and kept on disk."""

from abc import abstractmethod
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from tqdm import tqdm

from datamodules._base import Samples, SequenceDataModule
from datamodules._cache import check_split, prepared, read_split, write_split
from datamodules._files import cache_folder

CHUNK = 10_000  # samples; each chunk has random numbers of its own, so changing this changes every task
TINY_COUNT = 64


class GeneratedTask(SequenceDataModule):
    """A task that defines `draw`. It has 100,000 samples to train on, 2,000 to validate and 10,000 to test."""

    counts: ClassVar[dict[str, int]] = {"train": 100_000, "validation": 2_000, "test": 10_000}

    @abstractmethod
    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        """Draw samples, in the form in which they are stored."""

    def draw_split(self, split: str, count: int, rng: np.random.Generator) -> Samples:
        """As `draw`; overridden where a split differs from the others in more than its random numbers."""
        return self.draw(count, rng)

    def make(self, split: str) -> Samples:
        if self.is_tiny:
            return self.draw_split(split, TINY_COUNT, self.rng(f"tiny/{split}"))
        write = partial(write_split, count=self.count(split), chunks=self._chunks(split))
        return read_split(prepared(self._folder(split), write))

    def example(self) -> Samples:
        return self.decode(self.draw(1, self.rng("example")))

    def check(self) -> bool:
        here = [folder for folder in map(self._folder, self.split_names) if folder.is_dir()]
        for folder in here:
            check_split(folder)
        return bool(here)

    def _folder(self, split: str) -> Path:
        return cache_folder() / "generated" / self.variant / f"v{self.version}" / split

    def count(self, split: str) -> int:
        """Samples in a split; an extra test split is as large as the test split."""
        return self.counts.get(split, self.counts["test"])

    def _chunks(self, split: str) -> Iterator[Samples]:
        starts = range(0, self.count(split), CHUNK)
        # disable=None: a bar on a terminal only
        for start in tqdm(starts, desc=f"{self.variant} {split}", unit="chunk", leave=False, disable=None):
            count = min(CHUNK, self.count(split) - start)
            yield self.draw_split(split, count, self.rng(f"{split}/{start}"))


def samples(x: np.ndarray, y: np.ndarray, lengths: np.ndarray | None = None) -> Samples:
    return Samples(torch.from_numpy(x), torch.from_numpy(y), None if lengths is None else torch.from_numpy(lengths))


def distinct(rng: np.random.Generator, count: int, size: int, population: int) -> np.ndarray:
    """Draw without replacement: `count` rows of `size` distinct numbers under `population`, in random order."""
    rows = rng.integers(population, size=(count, size))
    while len(repeated := _rows_with_repeats(rows)):
        rows[repeated] = rng.integers(population, size=(len(repeated), size))
    return rows


def _rows_with_repeats(rows: np.ndarray) -> np.ndarray:
    in_order = np.sort(rows, axis=1)
    return np.flatnonzero((in_order[:, 1:] == in_order[:, :-1]).any(axis=1))


def distinct_weighted(rng: np.random.Generator, count: int, size: int, weights: np.ndarray) -> np.ndarray:
    """As `distinct`, but each number is drawn with a probability proportional to its weight among those left.

    Exponential clocks that run at the weights' rates ring in just that order.
    """
    clocks = rng.standard_exponential((count, len(weights))) / weights
    return np.argsort(clocks, axis=1)[:, :size]

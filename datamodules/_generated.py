"""The base of tasks whose samples are drawn by a generator, in chunks that fit in memory, and kept on disk."""

import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from copy import copy
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from tqdm import tqdm

from datamodules._base import Samples, SequenceDataModule, samples_hash
from datamodules._cache import check_split, damaged, prepared, read_split, write_split
from datamodules._files import DataError, cache_folder
from datamodules._spec import TaskSpec

CHUNK = 10_000  # samples; each chunk has random numbers of its own, so changing this changes every task
TINY_COUNT = 64
DRAWN, FEW = "drawn", 8  # the file with the hash of a few samples that the task's code drew when it made a split
MAX_WORKERS = 8  # each holds a chunk in memory


class GeneratedTask(SequenceDataModule):
    """A task that defines `draw`. It has 100,000 samples to train on, 2,000 to validate and 10,000 to test."""

    parallel = False
    """Whether drawing is slow enough to be worth a process for each core."""
    counts: ClassVar[dict[str, int]] = {"train": 100_000, "validation": 2_000, "test": 10_000}

    @abstractmethod
    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        """Draw samples, in the form in which they are stored."""

    def draw_split(self, split: str, count: int, rng: np.random.Generator) -> Samples:
        """As `draw`; overridden where a split differs from the others in more than its random numbers."""
        return self.draw(count, rng)

    def resized(self, seq_len: int) -> Mapping[str, Any] | None:
        """The attributes that make sequences of that length, where length is all that they change; None where none do.

        Raises:
            ValueError: a sequence can't be that short.
        """
        return None

    def fresh(self, count: int, seq_len: int) -> tuple[TaskSpec, Samples]:
        """Samples of no split, as a model sees them, of any length that `resized` allows; the same on every call."""
        changes = self.resized(seq_len)
        assert changes is not None, f"{self.variant} has sequences of one length"
        task = copy(self)
        for name, value in changes.items():
            setattr(task, name, value)
        task.spec = replace(task.describe(), version=self.version)
        return task.spec, task.decode(task.draw(count, self.rng(f"fresh/{seq_len}")))

    def make(self, split: str) -> Samples:
        if self.is_tiny:
            return self.draw_split(split, TINY_COUNT, self.rng(f"tiny/{split}"))
        folder = prepared(self._folder(split), partial(self._write, split))
        held = read_split(folder)
        if len(held.x) != self.count(split):
            raise damaged(folder, f"{len(held.x)} samples, not {self.count(split)}")
        if not self.parallel:
            self._check_drawn(split)
        return held

    def example(self) -> Samples:
        return self.decode(self.draw(1, self.rng("example")))

    def check(self) -> bool:
        here = [folder for folder in map(self._folder, self.split_names) if folder.is_dir()]
        for folder in here:
            check_split(folder)
            self._check_drawn(folder.name)
        return bool(here)

    def _write(self, split: str, folder: Path) -> None:
        write_split(folder, self.count(split), self._chunks(split))
        (folder / DRAWN).write_text(self._drawn(split))

    def _drawn(self, split: str) -> str:
        return samples_hash(self.draw_split(split, FEW, self.rng(f"{split}/{DRAWN}")))

    def _check_drawn(self, split: str) -> None:
        """Whether the code still draws what is kept.

        Raises:
            DataError: it was changed since.
        """
        kept = self._folder(split) / DRAWN
        if kept.exists() and kept.read_text() != self._drawn(split):
            raise DataError(
                f"{self.variant} draws other data now than what is kept in {kept.parent}. Raise `version` in its file; "
                f"of a draft, remove {kept.parent.parent}."
            )

    def _folder(self, split: str) -> Path:
        return cache_folder() / "generated" / self.variant / f"v{self.version}" / split

    def count(self, split: str) -> int:
        """Samples in a split; an extra test split is as large as the test split."""
        return self.counts.get(split, self.counts["test"])

    def fresh_test(self, secret: str) -> Samples:
        """A test split of at most a chunk that nobody without the secret can have seen."""
        count = TINY_COUNT if self.is_tiny else min(self.count("test"), CHUNK)
        return self.draw_split("test", count, self.rng(f"fresh/{secret}"))

    def _chunks(self, split: str) -> Iterator[Samples]:
        starts = range(0, self.count(split), CHUNK)
        draw = partial(_draw_chunk, type(self), self.variant, split)
        with ProcessPoolExecutor(_workers(), get_context("spawn")) if self.parallel else nullcontext() as pool:
            chunks = pool.map(draw, starts) if pool else map(draw, starts)
            # disable=None: a bar on a terminal only
            bar = tqdm(chunks, f"{self.variant} {split}", len(starts), unit="chunk", leave=False, disable=None)
            for arrays in bar:
                yield samples(*arrays)


def _draw_chunk(task_class: type[GeneratedTask], variant: str, split: str, start: int) -> list[np.ndarray]:
    """The samples of a split from one on; arrays, which go from process to process more simply than tensors."""
    task = task_class(variant)
    count = min(CHUNK, task.count(split) - start)
    chunk = task.draw_split(split, count, task.rng(f"{split}/{start}"))
    return [part.numpy() for part in chunk if part is not None]


def _workers() -> int:
    return min(MAX_WORKERS, os.cpu_count() or 1)


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


def require_length(seq_len: int, shortest: int) -> None:
    if seq_len < shortest:
        raise ValueError(f"seq_len={seq_len} must be at least {shortest}")

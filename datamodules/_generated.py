"""The base of tasks whose samples are generated, in chunks that fit in memory, and kept on disk."""

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

CHUNK = 10_000  # samples; each chunk has its own random numbers, so changing this changes every task
TINY_COUNT = 64
DRAWN, FEW = "drawn", 8  # the file with the hash of FEW samples that the task's code drew when it made the split
MAX_WORKERS = 8  # each holds a chunk in memory


class GeneratedTask(SequenceDataModule):
    """A task that defines `draw`. By default it has 100,000 training, 2,000 validation and 10,000 test samples."""

    parallel = False
    """Whether drawing is slow enough to be worth a process for each core."""
    shortcuts: ClassVar[Mapping[str, int]] = {}
    """Predictor without a memory of order → the score (0 to 100) that it reaches, where that is not 0. A check compares
    these with what it measures (`bench.contributing.shortcuts`)."""
    counts: ClassVar[dict[str, int]] = {"train": 100_000, "validation": 2_000, "test": 10_000}

    @abstractmethod
    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        """Draw samples in their stored form."""

    def draw_split(self, split: str, count: int, rng: np.random.Generator) -> Samples:
        """Draw samples of a split. Override this where splits differ in more than their random numbers."""
        return self.draw(count, rng)

    def resized(self, seq_len: int) -> Mapping[str, Any] | None:
        """Return the attributes that set the sequences' length and change nothing else; None if there are none.

        Raises:
            ValueError: a sequence can't be that short.
        """
        return None

    def fresh(self, count: int, seq_len: int) -> tuple[TaskSpec, Samples]:
        """Draw samples that are in no split, of any length that `resized` allows. They are the same on every call.

        Returns:
            The specification at that length, and the samples as a model sees them.
        """
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
        (folder / DRAWN).write_text(self._drawn(split), encoding="utf-8")

    def _drawn(self, split: str) -> str:
        return samples_hash(self.draw_split(split, FEW, self.rng(f"{split}/{DRAWN}")))

    def _check_drawn(self, split: str) -> None:
        """Check that the code still draws the samples that are on disk.

        Raises:
            DataError: the code has changed and draws others.
        """
        kept = self._folder(split) / DRAWN
        if kept.exists() and kept.read_text(encoding="utf-8") != self._drawn(split):
            raise DataError(
                f"{self.variant} draws other data now than what is kept in {kept.parent}. Raise `version` in its file; "
                f"of a draft, remove {kept.parent.parent}."
            )

    def _folder(self, split: str) -> Path:
        return cache_folder() / "generated" / self.kept_name / f"v{self.version}" / split

    def count(self, split: str) -> int:
        """Return the number of samples in a split. An extra test split is as large as the test split."""
        return self.counts.get(split, self.counts["test"])

    def fresh_test(self, secret: str) -> Samples:
        """Draw a test split, of at most CHUNK samples, that nobody without the secret can have seen."""
        count = TINY_COUNT if self.is_tiny else min(self.count("test"), CHUNK)
        return self.draw_split("test", count, self.rng(f"secret/{secret}"))  # not "fresh/", which anyone can draw

    def _chunks(self, split: str) -> Iterator[Samples]:
        starts = range(0, self.count(split), CHUNK)
        draw = partial(_draw_chunk, type(self), self.variant, split)
        shared = self.parallel and self.draft is None  # no other process can import a draft
        with ProcessPoolExecutor(_workers(), get_context("spawn")) if shared else nullcontext() as pool:
            chunks = pool.map(draw, starts) if pool else map(draw, starts)
            # disable=None shows the bar on a terminal only
            bar = tqdm(chunks, f"{self.variant} {split}", len(starts), unit="chunk", leave=False, disable=None)
            for arrays in bar:
                yield samples(*arrays)


def _draw_chunk(task_class: type[GeneratedTask], variant: str, split: str, start: int) -> list[np.ndarray]:
    """Draw the chunk from sample `start` on, as arrays: they pass between processes more simply than tensors."""
    task = task_class(variant)
    count = min(CHUNK, task.count(split) - start)
    chunk = task.draw_split(split, count, task.rng(f"{split}/{start}"))
    return [part.numpy() for part in chunk if part is not None]


def _workers() -> int:
    return min(MAX_WORKERS, os.cpu_count() or 1)


def samples(x: np.ndarray, y: np.ndarray, lengths: np.ndarray | None = None) -> Samples:
    return Samples(torch.from_numpy(x), torch.from_numpy(y), None if lengths is None else torch.from_numpy(lengths))


def distinct(rng: np.random.Generator, count: int, size: int, population: int) -> np.ndarray:
    """Draw without replacement: `count` rows of `size` distinct numbers below `population`, in random order."""
    rows = rng.integers(population, size=(count, size))
    while len(repeated := _rows_with_repeats(rows)):
        rows[repeated] = rng.integers(population, size=(len(repeated), size))
    return rows


def _rows_with_repeats(rows: np.ndarray) -> np.ndarray:
    in_order = np.sort(rows, axis=1)
    return np.flatnonzero((in_order[:, 1:] == in_order[:, :-1]).any(axis=1))


def distinct_weighted(rng: np.random.Generator, count: int, size: int, weights: np.ndarray) -> np.ndarray:
    """Draw like `distinct`, but each number with a probability proportional to its weight among those left.

    Exponential clocks whose rates are the weights ring in exactly this order.
    """
    clocks = rng.standard_exponential((count, len(weights))) / weights
    return np.argsort(clocks, axis=1)[:, :size]


def require_length(seq_len: int, shortest: int) -> None:
    if seq_len < shortest:
        raise ValueError(f"seq_len={seq_len} must be at least {shortest}")

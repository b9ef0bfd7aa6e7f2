"""The base of every task: splits held as tensors, batches gathered by one index operation, a hash for each split.

Shapes: B batch, T time, D input width.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from datamodules._spec import SPLITS, TUNING_SPLITS, TaskSpec

MOST_SCORED = 10_000  # training samples that the final metrics use: more would cost time and add little
MOST_OF_GPU = 0.25  # share of the GPU's free memory that a split may take
Variants = Mapping[str, Mapping[str, Any]]


class Samples(NamedTuple):
    """A split or a batch of it: x (B, T, D) or (B, T) tokens; y (B,), (B, width) or (B, T); lengths (B,) or None.

    A task may store a split in a smaller form. Its `decode` then turns each batch into this form.
    """

    x: Tensor
    y: Tensor
    lengths: Tensor | None = None

    def to(self, device: torch.device) -> "Samples":
        lengths = None if self.lengths is None else self.lengths.to(device)
        return Samples(self.x.to(device), self.y.to(device), lengths)

    def gather(self, index: Tensor) -> "Samples":
        return Samples(self.x[index], self.y[index], None if self.lengths is None else self.lengths[index])


def named_rng(name: str) -> np.random.Generator:
    """Return the random generator whose seed is the SHA-256 of a name."""
    return np.random.default_rng(np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype=np.uint32))


def samples_hash(samples: Samples) -> str:
    """Return the SHA-256 of the samples' types, shapes and bytes."""
    digest = hashlib.sha256()
    for part in samples:
        if part is not None:
            digest.update(f"{part.dtype} {tuple(part.shape)}".encode())
            digest.update(np.ascontiguousarray(part.numpy()).data)
    return digest.hexdigest()


class SequenceDataModule(LightningDataModule):
    """A task: its specification and its train, validation and test splits.

    A task file defines one public subclass with these members:

    - `variants`: name → the attributes of that variant. The first is the default.
    - `tiny`: the attributes that shrink a variant for tests. A tiny task must need neither network nor disk.
    - `describe` and `make`.

    Args:
        variant: one of `variants`; the first by default.
        batch_size: samples in a batch.
        order_seed: the run's seed. It shuffles the training batches and affects nothing else.
        data_dir: the first folder in which the data set's files are looked for.
        tiny: use the small version of the variant.
        with_tests: include the test splits. Tuning leaves them out; reading one there is a bug and fails an assertion.

    Raises:
        ValueError: there is no such variant.
    """

    variants: ClassVar[Variants]
    tiny: ClassVar[Mapping[str, Any]]
    version: ClassVar[int] = 1
    """Increased whenever a sample of any variant changes. The specification includes it."""
    draft: ClassVar[str | None] = None
    """The hash of the file of a task that is not registered."""

    def __init__(
        self,
        variant: str | None = None,
        *,
        batch_size: int = 64,
        order_seed: int = 0,
        data_dir: str | None = None,
        tiny: bool = False,
        with_tests: bool = True,
    ) -> None:
        super().__init__()
        self.variant = variant or next(iter(self.variants))
        if self.variant not in self.variants:
            names = ", ".join(self.variants)
            raise ValueError(f"no variant {self.variant!r} of {type(self).__name__}; variants: {names}")
        for name, value in {**self.variants[self.variant], **(self.tiny if tiny else {})}.items():
            setattr(self, name, value)
        self.batch_size, self.order_seed, self.data_dir, self.is_tiny = batch_size, order_seed, data_dir, tiny
        self.spec = replace(self.describe(), version=self.version)
        self.with_tests = with_tests
        self._splits: dict[str, Samples] = {}
        self._read: set[str] = set()

    @abstractmethod
    def describe(self) -> TaskSpec:
        """Return the specification of this variant."""

    @abstractmethod
    def make(self, split: str) -> Samples:
        """Draw or load a whole split. It is the same on every call, in every process and on every machine."""

    def decode(self, batch: Samples) -> Samples:
        """Convert a batch from its stored form (bytes, for example) to what a model sees. The default changes nothing.

        The tensors stay on their device. They have the types of the specification: float32 for real input, int64 for
        tokens and labels.
        """
        return batch

    def facts(self) -> dict[str, str]:
        """Return hashes of anything else that defines the task (a permutation, for example), for the run's record."""
        return {}

    def missing(self) -> str | None:
        """Return why this task can't run on this machine without a download, or None if it can.

        Look for files by `_files.find`, or by `_files.looked_for`: `bench tasks` keeps the answer until one of them
        comes or goes.
        """
        return None

    def example(self) -> Samples:
        """Return one sample to show, as a model sees it. It is invented if the validation split is not here."""
        task = type(self)(self.variant, tiny=True) if self.missing() else self
        return task.decode(task.split("validation").gather(torch.arange(1)))

    def check(self) -> bool:
        """Compare the task's data on this machine with their hashes.

        Returns:
            Whether any of the data are on this machine.

        Raises:
            DataError: some of the data are damaged.
        """
        return False

    def rng(self, purpose: str) -> np.random.Generator:
        """Return the task's random generator for a purpose (a split's name, say). The run's seed does not affect it."""
        return named_rng(f"{self.variant}/v{self.version}/{purpose}")

    @property
    def split_names(self) -> tuple[str, ...]:
        return (*SPLITS, *self.spec.extra_tests) if self.with_tests else TUNING_SPLITS

    @property
    def kept_name(self) -> str:
        """The folder of prepared data. An edited file of a task that is not registered gets another one."""
        return f"{self.variant}@{self.draft}" if self.draft else self.variant

    def prepare_data(self) -> None:
        """Download, verify or generate every split."""
        for name in self.split_names:
            self.split(name)

    def split(self, name: str) -> Samples:
        if name not in self._splits:
            assert name in self.split_names, f"there is no split {name!r} here"
            self._splits[name] = self.make(name)
        return self._splits[name]

    def split_hash(self, name: str) -> str:
        """Return the SHA-256 of a split in its stored form. Hashing a test split does not count as reading it."""
        return samples_hash(self.split(name))

    def train_dataloader(self) -> "BatchLoader":
        return self._loader("train", shuffled=True)

    def val_dataloader(self) -> "BatchLoader":
        return self._loader("validation")

    def test_dataloader(self) -> "BatchLoader":
        return self._read_once("test")

    def extra_test_dataloaders(self) -> dict[str, "BatchLoader"]:
        """Return the loaders of the extra test splits, by name. Each can be read only once, like the test split."""
        return {name: self._read_once(name) for name in self.spec.extra_tests}

    def evaluation_dataloader(self, split: str) -> "BatchLoader":
        """Load the first MOST_SCORED samples of the train or validation split, in stored order, for final metrics."""
        assert split in ("train", "validation"), "test splits have loaders of their own"
        loader = self._loader(split)
        loader.sampler.count = min(loader.sampler.count, MOST_SCORED)
        return loader

    def _read_once(self, split: str) -> "BatchLoader":
        assert split not in self._read, "a test split is read once, by the final evaluation"
        self._read.add(split)
        return self._loader(split)

    def _loader(self, split: str, *, shuffled: bool = False) -> "BatchLoader":
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        samples = self._near(self.split(split))
        order = (Shuffled if shuffled else InOrder)(len(samples.y), seed=self.order_seed, rank=rank, world=world)
        return BatchLoader(samples, self.batch_size, order, self.decode)

    def _near(self, samples: Samples) -> Samples:
        """Move the samples to the training GPU if they leave most of its memory free. Then no batch is copied."""
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        if device.type != "cuda":
            return samples
        size = sum(part.nbytes for part in samples if part is not None)
        free, _ = torch.cuda.mem_get_info(device)
        return samples.to(device) if size <= MOST_OF_GPU * free else samples


class InOrder:
    """The indices that one of `world` processes evaluates. Together the processes evaluate every sample once."""

    def __init__(self, count: int, *, seed: int, rank: int, world: int) -> None:
        self.count, self.seed, self.rank, self.world = count, seed, rank, world

    def __len__(self) -> int:
        return len(range(self.rank, self.count, self.world))

    def index(self) -> Tensor:
        return torch.arange(self.rank, self.count, self.world)


class Shuffled(InOrder):
    """The indices that one of `world` processes trains on in an epoch. Every process has the same number of them.

    The order depends on the seed and the epoch only, so a resumed run sees what an uninterrupted one would have.
    """

    epoch = 0

    def set_epoch(self, epoch: int) -> None:  # Lightning calls this before each epoch
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count // self.world

    def index(self) -> Tensor:
        shuffled = np.random.default_rng([self.seed, self.epoch]).permutation(self.count)
        return torch.from_numpy(shuffled[self.rank :: self.world][: len(self)])


class BatchLoader:
    """An iterable over batches of a split. One index operation gathers a batch: no workers, no per-sample collation."""

    batch_sampler = None  # Lightning reads this attribute, and calls `sampler.set_epoch`

    def __init__(self, samples: Samples, batch_size: int, order: InOrder, decode: Callable[[Samples], Samples]) -> None:
        self.samples, self.batch_size, self.sampler, self.decode = samples, batch_size, order, decode

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.batch_size)

    def __iter__(self) -> Iterator[Samples]:
        for index in self.sampler.index().to(self.samples.y.device).split(self.batch_size):
            yield self.decode(self.samples.gather(index))

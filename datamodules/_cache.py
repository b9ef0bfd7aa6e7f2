"""Prepared data on disk. The first process that needs them makes them; later reads map them into memory."""

import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from datamodules._base import Samples, samples_hash
from datamodules._files import DataError

HASH_FILE = "sha256"


def prepared(folder: Path, build: Callable[[Path], None]) -> Path:
    """Return `folder`. If it does not exist yet, make it with `build`, which fills an empty folder.

    Other processes that need the folder wait for the one that builds. `build` works in a temporary folder next to
    `folder`, which is moved into place when it is complete. So a killed process leaves nothing that is taken for data.

    Raises:
        DataError: the folder can't be written.
    """
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if not folder.is_dir():
                _build_beside(folder, build)
    except OSError as error:
        raise DataError(f"can't prepare data in {folder}: {error}. BENCH_CACHE_DIR names another place.") from error
    return folder


def _build_beside(folder: Path, build: Callable[[Path], None]) -> None:
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        build(unfinished)
        unfinished.chmod(0o755)  # only its owner can read a temporary folder
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


class SplitWriter:
    """A context manager that makes a folder and writes a split into it, chunk by chunk.

    Args:
        count: samples in the split.
    """

    def __init__(self, folder: Path, count: int) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.count, self.written = folder, count, 0
        self.streams: dict[str, BinaryIO] = {}

    def __enter__(self) -> "SplitWriter":
        return self

    def append(self, chunk: Samples) -> None:
        for name, part in chunk._asdict().items():
            if part is not None:
                self._stream(name, part.numpy()).write(np.ascontiguousarray(part.numpy()).data)
        self.written += len(chunk.y)

    def _stream(self, name: str, array: np.ndarray) -> BinaryIO:
        if name not in self.streams:
            self.streams[name] = (self.folder / f"{name}.npy").open("wb")
            header = {"descr": array.dtype.str, "fortran_order": False, "shape": (self.count, *array.shape[1:])}
            np.lib.format.write_array_header_1_0(self.streams[name], header)
        return self.streams[name]

    def __exit__(self, kind: object, *_: object) -> None:
        for stream in self.streams.values():
            stream.close()
        if kind is None:
            assert self.written == self.count, f"{self.folder}: {self.written} samples instead of {self.count}"
            (self.folder / HASH_FILE).write_text(samples_hash(read_split(self.folder)), encoding="utf-8")


def write_split(folder: Path, count: int, chunks: Iterable[Samples]) -> None:
    with SplitWriter(folder, count) as writer:
        for chunk in chunks:
            writer.append(chunk)


def read_split(folder: Path) -> Samples:
    """Return the split in a folder, mapped into memory.

    Raises:
        DataError: a file of the split is missing or damaged.
    """
    try:
        x, y = _map(folder / "x.npy"), _map(folder / "y.npy")
        lengths = _map(folder / "lengths.npy") if (folder / "lengths.npy").exists() else None
    except (OSError, ValueError, EOFError) as error:
        raise damaged(folder, error) from error
    return Samples(x, y, lengths)


def check_split(folder: Path) -> None:
    """Compare a split on disk with the hash that was written with it.

    Raises:
        DataError: the split is damaged or differs from what was written.
    """
    try:
        expected = (folder / HASH_FILE).read_text(encoding="utf-8")
    except OSError as error:
        raise damaged(folder, error) from error
    if samples_hash(read_split(folder)) != expected:
        raise damaged(folder, "its hash has changed")


def damaged(folder: Path, reason: object) -> DataError:
    return DataError(
        f"the data in {folder} is damaged ({reason}). Remove that folder; it is prepared again when needed."
    )


def _map(path: Path) -> Tensor:
    # Copy on write: torch needs writable memory, and no change to it reaches the file.
    return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))

"""Prepared splits on disk: written once, whichever process comes first, and mapped into memory when read."""

import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from datamodules._base import Samples
from datamodules._files import DataError


def stored(folder: Path, count: int, chunks: Callable[[], Iterable[Samples]]) -> Samples:
    """The split in a folder, mapped into memory; made there first if need be.

    Processes that ask at once wait for the one that makes it. It is written beside the folder and moved into place when
    it is whole, so that one which is killed leaves nothing behind that is taken for data.

    Args:
        count: samples in the split.
        chunks: makes its parts, in order.

    Raises:
        DataError: what lies in the folder is damaged.
    """
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if not folder.is_dir():
                _write(folder, count, chunks())
    return _read(folder, count)


def _write(folder: Path, count: int, chunks: Iterable[Samples]) -> None:
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        maps: dict[str, np.memmap] = {}
        start = 0
        for chunk in chunks:
            parts = {name: part.numpy() for name, part in chunk._asdict().items() if part is not None}
            for name, part in parts.items():
                if name not in maps:
                    shape, path = (count, *part.shape[1:]), unfinished / f"{name}.npy"
                    maps[name] = np.lib.format.open_memmap(path, mode="w+", dtype=part.dtype, shape=shape)
                maps[name][start : start + len(part)] = part
            start += len(chunk.y)
        assert start == count, f"{folder} was to have {count} samples and got {start}"
        for array in maps.values():
            array.flush()
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _read(folder: Path, count: int) -> Samples:
    try:
        samples = Samples(_map(folder / "x.npy"), _map(folder / "y.npy"), _map_if_there(folder / "lengths.npy"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"prepared data in {folder} is damaged ({error}). Remove that folder; it is made again."
        ) from error
    if any(part is not None and len(part) != count for part in samples):
        raise DataError(
            f"prepared data in {folder} does not have {count} samples. Remove that folder; it is made again."
        )
    return samples


def _map(path: Path) -> Tensor:
    # Copy on write: torch wants writable memory, and nothing that is written reaches the file.
    return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))


def _map_if_there(path: Path) -> Tensor | None:
    return _map(path) if path.exists() else None

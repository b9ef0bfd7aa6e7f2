"""The image tasks: file formats, splits, orders. `fashion` is the real one, from Debian's package."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules import _idx
from datamodules._base import SequenceDataModule
from datamodules._files import DataError, DataFile
from datamodules._idx import read_idx
from datamodules._images import bit_reversal
from datamodules.fashion import Fashion
from datamodules.pfashion import PFashion
from datamodules.psmnist import PSMNIST
from datamodules.smnist import SMNIST

needs_fashion = pytest.mark.skipif(not _idx.DEBIAN.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def test_idx_files_are_read(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "plain").write_bytes(idx(array))
    (tmp_path / "packed.gz").write_bytes(gzip.compress(idx(array)))
    assert (read_idx(tmp_path / "plain") == array).all()
    assert (read_idx(tmp_path / "packed.gz") == array).all()


@pytest.mark.parametrize("damage", [slice(0, -1), slice(1, None), slice(0, 3), slice(0, 6), slice(0, 0)])
def test_a_damaged_idx_file_is_refused(tmp_path: Path, damage: slice) -> None:
    (tmp_path / "file").write_bytes(idx(np.zeros((5, 5), np.uint8))[damage])
    with pytest.raises(ValueError, match="is not an IDX file"):
        read_idx(tmp_path / "file")


@needs_fashion
def test_fashion_is_the_official_data() -> None:
    task = Fashion()
    assert task.missing() is None
    counts = {name: torch.bincount(task.split(name).y) for name in task.split_names}
    assert [int(count.sum()) for count in counts.values()] == [50_000, 10_000, 10_000]
    assert (counts["train"] + counts["validation"] == 6_000).all()
    assert (counts["test"] == 1_000).all()
    assert {name: task.split_hash(name)[:16] for name in task.split_names} == {
        "train": "0fd5f6d253a2b631", "validation": "bbbaf4ff11420f81", "test": "d3c618645cb2d1b0",
    }  # fmt: skip


@needs_fashion
def test_permuted_fashion_has_the_same_pixels_in_another_order() -> None:
    plain, permuted = Fashion().split("validation"), PFashion().split("validation")
    assert torch.equal(permuted.x, plain.x[:, torch.from_numpy(PFashion().permutation())])
    assert torch.equal(permuted.y, plain.y)


def small_mnist(tmp_path: Path) -> tuple[_idx.IdxSet, dict[str, np.ndarray]]:
    """A data set in MNIST's exact format, with 40 and 10 images."""
    rng = np.random.default_rng(0)
    arrays = {
        "train-images": rng.integers(256, size=(40, 28, 28), dtype=np.uint8),
        "train-labels": rng.integers(10, size=40, dtype=np.uint8),
        "test-images": rng.integers(256, size=(10, 28, 28), dtype=np.uint8),
        "test-labels": rng.integers(10, size=10, dtype=np.uint8),
    }

    def file(name: str) -> DataFile:
        content = idx(arrays[name])
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return DataFile(dataset="small", name=f"{name}.gz", urls=(), size=len(content), digest=digest, decoded=True)

    files = {part: (file(f"{part}-images"), file(f"{part}-labels")) for part in ("train", "test")}
    return _idx.IdxSet(files=files, source="", license="", citation=""), arrays


@pytest.mark.parametrize("task_class", [SMNIST, PSMNIST])
def test_the_parts_are_divided_and_read_in_order(
    task_class: type[SMNIST], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, arrays = small_mnist(tmp_path)
    monkeypatch.setattr(task_class, "dataset", small)
    monkeypatch.setattr(task_class, "held_out", 10)
    task = task_class(data_dir=str(tmp_path))
    splits = {name: task.split(name) for name in task.split_names}
    assert [len(split.y) for split in splits.values()] == [30, 10, 10]

    images = arrays["test-images"].reshape(10, 784)[:, task.permutation()]
    batch = next(iter(task.test_dataloader()))
    assert torch.equal(batch.x[:, :, 0], torch.from_numpy(images).float() / 255)
    assert batch.y.tolist() == arrays["test-labels"].tolist()

    rows = torch.cat([splits["train"].x, splits["validation"].x]).flatten(1)
    official = torch.from_numpy(arrays["train-images"].reshape(40, 784)[:, task.permutation()])
    assert sorted(rows.tolist()) == sorted(official.tolist())


def test_missing_files_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    task = SMNIST()
    assert "train-images-idx3-ubyte.gz" in str(task.missing())
    assert SMNIST(tiny=True).missing() is None
    for pair in _idx.MNIST.files.values():
        for file in pair:
            monkeypatch.setitem(vars(file), "urls", ())
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz of mnist"):
        task.prepare_data()


def test_the_permutations_are_the_published_ones() -> None:
    assert PSMNIST().facts()["permutation_sha256"] == "96240fe27409981c3ed3e92c20d995f7103a94c2282307bc776923030113be74"
    assert sorted(bit_reversal(784).tolist()) == list(range(784))
    assert PSMNIST().facts() != PSMNIST("psmnist-bitrev").facts()
    assert SMNIST().facts() == {}


@pytest.mark.parametrize("task_class", [SMNIST, PSMNIST, Fashion, PFashion])
def test_the_spec_says_ten_classes_and_784_steps(task_class: type[SequenceDataModule]) -> None:
    spec = task_class().spec
    assert (spec.seq_len, spec.chance, spec.solved, spec.metric) == (784, 0.1, 1.0, "accuracy")

"""Prepared data on disk: made once by whoever comes first, whole or not at all, and the same in every process."""

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules._base import Samples
from datamodules._cache import check_split, prepared, read_split, write_split
from datamodules._files import DataError, cache_folder
from datamodules._generated import FEW
from datamodules.copy import Copy

COUNT = 10


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path))
    return tmp_path


def chunk(start: int, count: int) -> Samples:
    x = torch.arange(start, start + count, dtype=torch.int16)[:, None].repeat(1, 3)
    return Samples(x, x[:, 0].clone(), torch.ones(count, dtype=torch.int64))


def write(folder: Path) -> None:
    write_split(folder, COUNT, [chunk(0, 6), chunk(6, 4)])


def test_a_split_comes_back_as_it_was_written(tmp_path: Path) -> None:
    split = read_split(prepared(tmp_path / "a" / "split", write))
    for part, expected in zip(split, chunk(0, COUNT), strict=True):
        assert torch.equal(part, expected)
        assert part.dtype == expected.dtype
    split.x[0] = 99  # memory that is mapped can be written to; the file stays as it is
    assert read_split(tmp_path / "a" / "split").x[0, 0] == 0
    check_split(tmp_path / "a" / "split")


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    prepared(tmp_path / "split", write)
    prepared(tmp_path / "split", lambda folder: pytest.fail("made again"))


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        write(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared(tmp_path / "split", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["split.lock"]
    read_split(prepared(tmp_path / "split", write))


def test_a_split_of_another_size_is_our_own_mistake(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="10 samples instead of 11"):
        prepared(tmp_path / "split", lambda folder: write_split(folder, COUNT + 1, [chunk(0, COUNT)]))


def test_a_split_that_was_drawn_with_another_count_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Copy.counts, "test", 20)
    Copy("copy-100").split("test")
    monkeypatch.setitem(Copy.counts, "test", 30)
    with pytest.raises(DataError, match="20 samples, not 30"):
        Copy("copy-100").split("test")


def test_a_task_that_draws_otherwise_than_its_kept_data_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file was edited, and `version` was not raised."""
    monkeypatch.setitem(Copy.counts, "test", 20)
    Copy("copy-100").split("test")
    draw = Copy.draw

    def edited(self: Copy, count: int, rng: np.random.Generator) -> Samples:
        drawn = draw(self, count, rng)
        return drawn._replace(y=drawn.y + 1)

    monkeypatch.setattr(Copy, "draw", edited)
    with pytest.raises(DataError, match=r"copy-100 draws other data now .* Raise `version`"):
        Copy("copy-100").split("test")
    with pytest.raises(DataError, match="draws other data now"):
        Copy("copy-100").check()
    monkeypatch.setattr(Copy, "version", 2)
    Copy("copy-100").split("test")


def test_data_from_before_the_check_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Copy.counts, "test", 20)
    Copy("copy-100").split("test")
    (cache_folder() / "generated" / "copy-100" / "v1" / "test" / "drawn").unlink()
    Copy("copy-100").split("test")


@pytest.mark.parametrize("name", ["x.npy", "y.npy", "lengths.npy"])
def test_damaged_data_is_named(name: str, tmp_path: Path) -> None:
    path = prepared(tmp_path / "split", write) / name
    whole = path.read_bytes()

    path.write_bytes(whole[:-1])
    with pytest.raises(DataError, match="Remove that folder"):
        read_split(tmp_path / "split")
    path.write_bytes(whole[:-1] + b"!")
    with pytest.raises(DataError, match="hash has changed"):
        check_split(tmp_path / "split")
    path.write_bytes(b"\x80\x04nonsense")  # the start of a pickle
    with pytest.raises(DataError, match="is damaged"):
        read_split(tmp_path / "split")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_can_not_be_written_to_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="BENCH_CACHE_DIR"):
        prepared(tmp_path / "split", write)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="BENCH_CACHE_DIR"):
        prepared(tmp_path / "file" / "split", write)


def ask(start: "multiprocessing.synchronize.Event", answers: "multiprocessing.Queue[tuple[str, bool]]") -> None:
    start.wait()
    made = []

    class Watched(Copy):
        def draw(self, count: int, rng: np.random.Generator) -> Samples:
            made.append(count)
            return super().draw(count, rng)

    answers.put((Watched().split_hash("validation"), max(made) > FEW))


def test_processes_that_ask_at_once_share_one_preparation() -> None:
    context = multiprocessing.get_context("fork")
    start, answers = context.Event(), context.Queue()
    processes = [context.Process(target=ask, args=(start, answers)) for _ in range(6)]
    for process in processes:
        process.start()
    start.set()
    found = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert {digest for digest, _ in found} == {Copy().split_hash("validation")}
    assert sum(made for _, made in found) == 1
    assert [path.name for path in (cache_folder() / "generated/copy-100/v1").iterdir() if path.is_dir()] == [
        "validation"
    ]

"""`bench tasks`, `bench tasks NAME`, `bench data fetch` and `bench data check`."""

import json
from pathlib import Path

import pytest

from bench.catalog import prefetch
from bench.catalog.registry import task_names
from bench.common.errors import RequestError
from bench.reports.task_card import describe_task
from datamodules import _idx
from datamodules._files import cache_folder
from tests.conftest import Bench


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
    return cache_folder()


@pytest.mark.parametrize("name", task_names())
def test_every_task_can_be_shown_with_a_sample(name: str) -> None:
    shown = describe_task(name)
    json.dumps(shown, allow_nan=False)
    assert shown["name"] == name
    assert name in shown["variants"]
    assert len(shown["definition"]) > 100
    assert 1 < len(shown["sample"]["x"]) <= 24
    assert 1 <= shown["sample"]["length"] <= shown["seq_len"]


def test_what_is_fetched_is_there_and_is_checked(cache: Path) -> None:
    assert [row["status"] for row in prefetch.check(["parity", "mix-sin", "digits"], None)] == ["absent"] * 3
    (fetched,) = prefetch.fetch(["parity"], None)
    assert list(fetched["splits"]) == ["train", "validation", "test", "test-2x", "test-4x"]
    assert [row["status"] for row in prefetch.check(["parity"], None)] == ["ok"]
    stored = cache / "generated" / "parity-40" / "v1" / "test" / "x.npy"
    content = bytearray(stored.read_bytes())
    content[-1] ^= 1
    stored.write_bytes(content)
    (row,) = prefetch.check(["parity"], None)
    assert row["status"] == "damaged"
    assert "hash has changed" in row["problem"]


@pytest.mark.skipif(not _idx.DEBIAN.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_files_are_checked_against_their_hashes(cache: Path, tmp_path: Path) -> None:
    assert [row["status"] for row in prefetch.check(["fashion"], None)] == ["ok"]
    (tmp_path / "fashion-mnist").mkdir()
    (tmp_path / "fashion-mnist" / "t10k-labels-idx1-ubyte").write_bytes(b"nonsense")
    (row,) = prefetch.check(["fashion"], str(tmp_path))
    assert "t10k-labels-idx1-ubyte is damaged" in row["problem"]


def test_an_unknown_task_stops_before_anything_is_fetched(cache: Path) -> None:
    with pytest.raises(RequestError, match="no task named 'paritty'"):
        list(prefetch.fetch(["parity", "paritty"], None))
    assert not cache.exists()


def test_the_command_line(bench: Bench, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {row["name"]: row for row in bench.json("tasks")}
    assert rows["mqar-64-4"] | {"available": True, "source": "generated", "license": "MIT"} == rows["mqar-64-4"]
    assert bench.json("tasks", "copy")["name"] == "copy-100"
    assert "Arjovsky" in bench("tasks", "copy").stdout
    assert "Did you mean 'copy'" in bench.refused("tasks", "copi")

    bench.env["BENCH_CACHE_DIR"] = str(cache)
    assert [row["name"] for row in bench.json("data", "fetch", "parity", "mix-sin")] == ["parity-40", "mix-sin"]
    assert {row["status"] for row in bench.json("data", "check", "parity", "mix-sin")} == {"ok"}
    (cache / "generated" / "parity-40" / "v1" / "train" / "y.npy").write_bytes(b"")
    assert [row["status"] for row in bench.json("data", "check", "parity", "mix-sin", code=2)] == ["damaged", "ok"]

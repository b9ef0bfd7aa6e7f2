"""Files of data sets: found, verified, downloaded from a server on this machine; damaged and hostile ones refused."""

import gzip
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pooch.core
import pytest

from datamodules import _files
from datamodules._files import DataError, DataFile, cache_folder, fetch, find
from tests.support.web import Handler, Server, serving

CONTENT = bytes(range(256)) * 400
PACKED = gzip.compress(CONTENT)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(pooch.core, "time", SimpleNamespace(sleep=lambda _: None))  # the wait between two tries


def data_file(*urls: str, **changes: object) -> DataFile:
    facts: dict = {
        "dataset": "bytes", "name": "all.gz", "urls": urls, "size": len(CONTENT), "decoded": True,
        "digest": f"sha256:{hashlib.sha256(CONTENT).hexdigest()}",
    }  # fmt: skip
    return DataFile(**{**facts, **changes})


def outside(tmp_path: Path) -> list[Path]:
    return [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(tmp_path / "cache")]


def test_a_file_is_downloaded_once_and_kept(server: Server, tmp_path: Path) -> None:
    server.bodies["all.gz"] = PACKED
    file = data_file(server.url("all.gz"))
    path = fetch(file)
    assert path == fetch(file) == find(file)
    assert path.read_bytes() == PACKED
    assert path.is_relative_to(tmp_path / "cache")
    assert server.asked == ["all.gz"]
    assert outside(tmp_path) == []


def test_a_recompressed_or_unpacked_copy_is_as_good(tmp_path: Path) -> None:
    (tmp_path / "bytes").mkdir()
    (tmp_path / "bytes" / "all.gz").write_bytes(gzip.compress(CONTENT, 1))
    assert fetch(data_file(), str(tmp_path)).parent.name == "bytes"
    (tmp_path / "bytes" / "all.gz").rename(tmp_path / "elsewhere")
    (tmp_path / "all").write_bytes(CONTENT)
    assert fetch(data_file(), str(tmp_path)) == tmp_path / "all"


def test_the_data_directory_can_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "all.gz").write_bytes(PACKED)
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    assert fetch(data_file()) == tmp_path / "all.gz"


DAMAGED = {
    "truncated": PACKED[: len(PACKED) // 2],
    "corrupted": PACKED[:-30] + bytes(22) + PACKED[-8:],
    "changed": gzip.compress(CONTENT[:-1] + b"!"),
    "shorter": gzip.compress(CONTENT[:-1]),
    "a bomb": gzip.compress(bytes(1 << 26)),
    "empty": b"",
    "html": b"<html>Not here</html>",
}


@pytest.mark.parametrize("body", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_refused(body: bytes, server: Server, tmp_path: Path) -> None:
    (tmp_path / "all.gz").write_bytes(body)
    with pytest.raises(DataError, match="is damaged"):
        fetch(data_file(), str(tmp_path))

    server.bodies["all.gz"] = body
    file = data_file(server.url("all.gz"))
    with pytest.raises(DataError, match="can't be downloaded"):
        fetch(file)
    assert len(server.asked) == 1 + _files.RETRIES
    assert find(file) is None


def test_a_truncated_download_is_tried_again_and_then_from_the_next_source(server: Server) -> None:
    server.bodies["cut"] = lambda handler: handler.send(PACKED[:100], len(PACKED))
    server.bodies["whole"] = PACKED
    assert fetch(data_file(server.url("cut"), server.url("gone"), server.url("whole"))).read_bytes() == PACKED
    assert server.asked == ["cut"] * 3 + ["gone"] * 3 + ["whole"]


def test_a_failure_that_passes_is_overcome(server: Server) -> None:
    def fails_once(handler: Handler) -> None:
        if len(server.asked) == 1:
            handler.send_error(503)
        else:
            handler.send(PACKED, len(PACKED))

    server.bodies["all.gz"] = fails_once
    assert fetch(data_file(server.url("all.gz"))).read_bytes() == PACKED


def test_a_slow_server_is_waited_for_and_a_dead_one_is_not(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_files, "TIMEOUT", 0.3)

    def slow(handler: Handler) -> None:
        handler.send(PACKED[:10], len(PACKED))
        time.sleep(0.1)
        handler.wfile.write(PACKED[10:])

    def dead(handler: Handler) -> None:
        handler.send(PACKED[:10], len(PACKED))
        time.sleep(1)

    server.bodies.update(slow=slow, dead=dead)
    with pytest.raises(DataError, match="timed out"):
        fetch(data_file(server.url("dead"), name="dead.gz"))
    assert fetch(data_file(server.url("slow"))).read_bytes() == PACKED


def test_without_a_network_the_message_says_what_and_where() -> None:
    file = data_file("http://127.0.0.1:9/all.gz")
    with pytest.raises(DataError) as caught:
        fetch(file)
    message = str(caught.value)
    assert "no connection" in message
    for part in ("all.gz", file.digest, str(cache_folder() / "downloads" / "bytes"), "--data-dir", "BENCH_DATA_DIR"):
        assert part in message
    assert caught.value.exit_code == 2


def test_a_damaged_download_is_fetched_again(server: Server) -> None:
    server.bodies["all.gz"] = PACKED
    file = data_file(server.url("all.gz"))
    fetch(file).write_bytes(PACKED[:50])
    assert fetch(file).read_bytes() == PACKED

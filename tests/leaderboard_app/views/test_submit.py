"""The Submit page: the structural verdict, the inbox, and nothing else."""

import json
import os
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from bench.bundle.read import read_bundle
from db.store import Store
from leaderboard_app.views.submit import inbox
from tests.conftest import ROOT, Bench
from tests.support.bundles import Members, forged, members_of, set_to, write
from tests.support.pages import open_page, said

PAGE = str(ROOT / "leaderboard_app" / "views" / "submit" / "page.py")


@pytest.fixture(autouse=True)
def restored_main() -> Iterator[None]:
    """AppTest puts the page in the place of `__main__`, which processes that are spawned later would run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="module")
def members(shared_bench: Bench) -> Members:
    run = shared_bench.json("runs", "--model", "gru")[-1]
    shared_bench("bundle", run["run_id"], "-o", "upload.zip")
    return members_of(shared_bench.folder / "upload.zip")


@pytest.fixture
def host(bench: Bench) -> Bench:
    bench("db", "upgrade")
    return bench


def drop(host: Bench, data: bytes, monkeypatch: pytest.MonkeyPatch, name: str = "my.zip") -> AppTest:
    """The page after a file was dropped on it."""
    monkeypatch.setenv("BENCH_DB", str(host.db))
    page = AppTest.from_file(PAGE, default_timeout=60).run()
    page.file_uploader(key="bundle").set_value((name, data, "application/zip")).run()
    assert not page.exception
    return page


def kept(host: Bench) -> list[Path]:
    return sorted((host.folder / "board-inbox").glob("*")) if (host.folder / "board-inbox").exists() else []


def test_a_good_bundle_waits_for_a_maintainer(
    host: Bench, members: Members, monkeypatch: pytest.MonkeyPatch, rescored_here: None
) -> None:
    path = host.folder / "upload.zip"
    data = Path(write(members, path)).read_bytes()
    page = drop(host, data, monkeypatch, name="../../evil name; rm -rf .zip")
    assert "structure is right" in page.success[0].value
    assert list(page.dataframe[0].value["architecture"]) == ["GRU"]
    identity = read_bundle(data).identity
    assert [place.name for place in kept(host)] == [f"{identity}.zip"], "the name is ours"
    (place,) = kept(host)
    assert (place.read_bytes(), place.stat().st_mode & 0o777, place.parent.stat().st_mode & 0o777) == (
        data,
        0o600,
        0o700,
    )
    verify, import_ = page.code[-1].value.splitlines()
    assert shlex.split(verify) == ["python", "-m", "bench", "verify", str(place)]
    host(*shlex.split(import_)[3:])
    assert len(host.json("runs")) == 1


def test_a_path_is_quoted_for_the_shell(tmp_path: Path, members: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a board; echo $(id)"
    folder.mkdir()
    host = Bench(folder)
    host("db", "upgrade")
    page = drop(host, Path(write(members, folder / "x.zip")).read_bytes(), monkeypatch)
    line = page.code[-1].value.splitlines()[0]
    done = subprocess.run(["sh", "-c", f"set -- {line}; printf '%s\n' \"$5\""], capture_output=True, text=True)
    assert done.stdout == f"{kept(host)[0]}\n"


def test_a_bad_bundle_is_refused_as_text_and_not_kept(
    host: Bench, members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "<img src=x onerror=alert(1)>[x](http://evil)*.zip"
    page = drop(host, Path(write(members | {name: b""}, host.folder / "x.zip")).read_bytes(), monkeypatch)
    (error,) = page.error
    assert error.value.startswith("Refused: there is no member")
    assert "\\<img src\\=x onerror\\=alert\\(1\\)\\>\\[x\\]\\(http" in error.value
    assert not page.success
    assert kept(host) == []


def test_what_is_claimed_is_not_believed_and_nothing_is_recorded(
    host: Bench, members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The structure of a lie can be right; a maintainer's command finds out."""
    lie = forged(members, set_to("metrics.test.value", 1.0))
    page = drop(host, Path(write(lie, host.folder / "x.zip")).read_bytes(), monkeypatch)
    assert page.success
    assert sqlite3.connect(host.db).execute("SELECT count(*) FROM runs").fetchone() == (0,)


def test_the_same_bundle_is_kept_once(host: Bench, members: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Path(write(members, host.folder / "x.zip")).read_bytes()
    drop(host, data, monkeypatch)
    first = kept(host)[0].stat()
    drop(host, data, monkeypatch)
    assert [place.stat().st_mtime_ns for place in kept(host)] == [first.st_mtime_ns]


def test_the_inbox_has_an_end(host: Bench, members: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Path(write(members, host.folder / "x.zip")).read_bytes()
    monkeypatch.setattr(inbox, "MOST_FILES", 1)
    drop(host, data, monkeypatch)
    other = Path(write(members | {"environment.txt": b"cpu: 1\n"}, host.folder / "y.zip")).read_bytes()
    assert "the inbox is full" in drop(host, other, monkeypatch).error[0].value
    monkeypatch.setattr(inbox, "MOST_FILES", 9)
    monkeypatch.setattr(inbox, "MOST_BYTES", len(data) + len(other) - 1)
    assert "the inbox is full" in drop(host, other, monkeypatch).error[0].value
    assert len(kept(host)) == 1


def test_a_server_that_can_not_keep_uploads_says_so(host: Bench, members: Members) -> None:
    host.folder.joinpath("board-inbox").write_text("a file is in the way")
    bundle = read_bundle(data := Path(write(members, host.folder / "x.zip")).read_bytes())
    with pytest.raises(inbox.InboxError, match="uploads can't be kept on this server"):
        inbox.keep(data, bundle, Store(str(host.db)))


def test_the_page_needs_no_torch(host: Bench) -> None:
    """The app's process checks structure only; what builds networks is the maintainer's command."""
    code = "import json, runpy, sys; runpy.run_path(sys.argv[1]); print(json.dumps('torch' in sys.modules))"
    environment = os.environ | host.env | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, PAGE], capture_output=True, text=True, env=environment, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) is False


@pytest.mark.parametrize("db", ["empty_db", "small_db", "large_db"])
def test_it_asks_for_a_bundle_whatever_the_database_holds(db: str, request: pytest.FixtureRequest) -> None:
    page = open_page("submit", request.getfixturevalue(db))
    assert "Run a registered architecture on seeds 0 to 4" in said(page)
    assert "python -m bench bundle" in page.code[0].value
    assert len(page.file_uploader) == 1

"""Full and read-only disks, which are real: a disk of its own is mounted for each test."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import pytest
from safetensors.torch import save_model
from streamlit.testing.v1 import AppTest

import bench.training.attempt as bench_attempt
import leaderboard_app.server
from bench.training import checkpoints
from db.errors import StoreError
from db.store import Store
from tests.bench.training.test_run import results
from tests.conftest import QUICK, ROOT, Bench
from tests.support.grids import grids
from tests.support.processes import in_private_mounts, mount, mount_disk, mount_read_only
from tests.support.runs import make_run


def fill(disk: Path) -> None:
    """Take all that is free."""
    with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
        while ballast.write(bytes(4096)):
            pass
    assert shutil.disk_usage(disk).free == 0


def make_room(disk: Path) -> None:
    (disk / "ballast").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return tmp_path / "disk"


def test_a_full_disk_takes_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    in_private_mounts(fill_with_runs, tmp_path / "disk")


def fill_with_runs(disk: Path) -> None:
    mount_disk(disk, "1m")
    store, recorded = Store(str(disk / "board.sqlite")), []
    with pytest.raises(StoreError, match=r"database or disk is full. Nothing was changed"):  # noqa: PT012
        while True:
            recorded.append(store.record(make_run(f"{len(recorded):016x}", reason="x" * 5000)).run_id)
    assert len(recorded) > 10
    assert [run.run_id for run in Store(str(disk / "board.sqlite"), read_only=True).runs()] == recorded
    assert sqlite3.connect(disk / "board.sqlite").execute("PRAGMA integrity_check").fetchone() == ("ok",)
    mount("-o", "remount,size=8m", disk)
    store.record(make_run("f" * 16))
    assert len(store.runs()) == len(recorded) + 1


def test_a_disk_that_fills_in_training_leaves_a_run_to_resume(
    disk: Path, bench: Bench, write_model: Callable[[str, str], Path]
) -> None:
    marker = bench.folder / "filled"
    body = f"if self.calls == 60 and not os.path.exists({str(marker)!r}): open({str(marker)!r}, 'w'); fill(DISK)"
    model = write_model("mine", body)
    head = f"import pathlib\nfrom tests.reliability.test_disk import fill\nDISK = pathlib.Path({str(disk)!r})\n"
    model.write_text(head + model.read_text())
    in_private_mounts(fill_in_training, disk, bench, model)


def fill_in_training(disk: Path, elsewhere: Bench, model: Path) -> None:
    mount_disk(disk, "8m")
    tempfile.tempdir = str(elsewhere.folder)
    bench = Bench(disk)
    words = ("run", "--model", str(model), "--set", "lr=0.03", "--epochs", "6")
    with patch.object(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0):
        done = bench(*words, code=None)
    assert done.code in (2, 130), done
    assert "No space left on device" in done.stderr
    assert "--resume" in done.stderr
    make_room(disk)
    assert list(disk.glob("board-artifacts/*/last.ckpt"))
    assert not list(elsewhere.folder.glob("*-unrecorded.json"))
    assert bench.json(*words, "--resume")["status"] == "finished"
    elsewhere(*words)
    assert results(bench) == results(elsewhere)


@contextmanager
def full_after_training(disk: Path) -> Iterator[None]:
    """Nothing is left on the disk once the weights are on it."""
    with patch.object(bench_attempt, "save_model", lambda *args: [save_model(*args), fill(disk)]):
        yield


def test_a_disk_that_fills_after_training_leaves_the_result_in_a_file(disk: Path, bench: Bench) -> None:
    in_private_mounts(fill_after_training, disk, bench)


def fill_after_training(disk: Path, elsewhere: Bench) -> None:
    mount_disk(disk, "8m")
    tempfile.tempdir = str(elsewhere.folder)
    bench = Bench(disk)
    with full_after_training(disk):
        said = bench.refused("run", "--model", "gru", *QUICK)
    assert "database or disk is full" in said
    make_room(disk)
    assert bench.json("runs") == []
    command = said.split("Record it later with:\n  python -m bench ")[1].split()
    assert "1 run added" in bench(*command).stderr
    assert "it is shown, not repeated" in bench("run", "--model", "gru", *QUICK).stderr
    elsewhere("run", "--model", "gru", *QUICK)
    assert results(bench) == results(elsewhere)


def test_a_result_that_no_disk_has_room_for_is_printed(disk: Path) -> None:
    in_private_mounts(fill_every_disk, disk)


def fill_every_disk(disk: Path) -> None:
    mount_disk(disk, "8m")
    tempfile.tempdir = str(disk)
    bench = Bench(disk)
    with full_after_training(disk):
        said = bench.refused("run", "--model", "gru", *QUICK)
    make_room(disk)
    (disk / "saved.json").write_text(said[said.index("{") :])
    bench("db", "import", "saved.json")
    assert [run["status"] for run in bench.json("runs")] == ["finished"]


def test_a_disk_without_room_for_the_weights_leaves_a_run_to_resume(disk: Path) -> None:
    in_private_mounts(fill_before_weights, disk)


def fill_before_weights(disk: Path) -> None:
    mount_disk(disk, "8m")
    bench = Bench(disk)
    with patch.object(bench_attempt, "save_model", lambda *args: [fill(disk), save_model(*args)]):
        done = bench("run", "--model", "gru", *QUICK, code=None)
    assert "No space left on device" in done.stderr
    make_room(disk)
    assert bench.json("run", "--model", "gru", *QUICK, "--resume")["status"] == "finished"


def test_a_disk_that_fills_while_tuning_leaves_a_study_to_resume(
    disk: Path, bench: Bench, write_model: Callable[[str, str], Path]
) -> None:
    marker = bench.folder / "filled"
    model = write_model("mine", f"if not os.path.exists({str(marker)!r}): open({str(marker)!r}, 'w'); fill(DISK)")
    head = f"import pathlib\nfrom tests.reliability.test_disk import fill\nDISK = pathlib.Path({str(disk)!r})\n"
    model.write_text(head + model.read_text())
    in_private_mounts(fill_while_tuning, disk, bench, model)


def fill_while_tuning(disk: Path, elsewhere: Bench, model: Path) -> None:
    mount_disk(disk, "8m")
    tempfile.tempdir = str(elsewhere.folder)
    bench = Bench(disk)
    words = ("tune", "--model", str(model), "--set", "max_steps=20", "--trials", "2", "--pruner", "none")
    assert "board-studies.sqlite: database or disk is full" in bench.refused(*words)
    make_room(disk)
    assert bench.json(*words, "--resume")["trials"] == {"finished": 2, "pruned": 0, "failed": 0}


# Read-only


def test_a_read_only_disk_can_be_browsed_and_not_written(bench: Bench) -> None:
    in_private_mounts(browse_read_only, bench)


def browse_read_only(bench: Bench) -> None:
    bench("run", "--model", "gru", *QUICK)
    before = bench.json("runs")
    Store(str(bench.db))._engine.dispose()
    mount_read_only(bench.folder)
    with pytest.raises(OSError, match="Read-only file system"):
        (bench.folder / "x").touch()
    assert bench.json("runs") == before
    assert len(bench.json("leaderboard")) == 1
    assert bench.json("show", before[0]["run_id"])["status"] == "finished"
    for words in (("run", "--model", "gru"), ("db", "upgrade"), ("db", "import", ".")):
        assert f"{bench.folder} is read-only, so results can't be recorded" in bench.refused(*words)
    served: list[Store] = []
    with patch.object(leaderboard_app.server, "serve", lambda store, **_: served.append(store)):
        bench("app")
    assert [run.run_id for run in served[0].runs()] == [before[0]["run_id"]]
    os.environ["BENCH_DB"] = str(bench.db)
    app = AppTest.from_file(str(ROOT / "leaderboard_app" / "app.py"), default_timeout=60).run()
    assert not app.exception
    assert len(grids(app)[0].names()) == 1


@pytest.mark.parametrize("left", ["-wal", "-wal and -shm"])
def test_what_a_killed_writer_left_on_a_read_only_disk_is_read_or_named(bench: Bench, left: str) -> None:
    in_private_mounts(browse_after_kill, bench, left)


def browse_after_kill(bench: Bench, left: str) -> None:
    Store(str(bench.db)).record(make_run())
    copy = Bench(bench.folder / "copy")
    copy.folder.mkdir()
    for ending in ("", *left.split(" and ")):
        shutil.copy(f"{bench.db}{ending}", f"{copy.db}{ending}")
    mount_read_only(copy.folder)
    if left == "-wal":
        assert f"{copy.db}-wal holds results that can't be read where no file can be made" in copy.refused("runs")
    else:
        assert len(copy.json("runs")) == 1

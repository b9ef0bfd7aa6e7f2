"""SIGKILL at random moments: the database is whole, holds all that was acknowledged, and the command goes on.

Delays are drawn from a named seed over the time that the command takes when it is left alone.
"""

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import pytest

from bench.publishing.import_published import entry_files
from db.record import from_text
from db.store import Store
from tests.bench.training.test_run import results, wait_for
from tests.conftest import Bench
from tests.support.processes import ended, kill_after, start, start_command
from tests.support.published import record_suite

KILLS = [3, pytest.param(50, marks=pytest.mark.slow)]


def check_whole(bench: Bench) -> None:
    """It opens and passes SQLite's own check, with all of its tables or none."""
    if not bench.db.exists():
        return
    connection = sqlite3.connect(bench.db)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables in (set(), {"runs", "curves", "events", "trials", "alembic_version"})
    connection.close()


def seconds_alone(bench: Bench, *words: str) -> float:
    assert ended(start(print)) == 0  # what is forked from has started
    started = time.monotonic()
    assert ended(start_command(bench, *words, log=bench.folder / "log")) == 0
    return time.monotonic() - started


@pytest.fixture
def new_bench(tmp_path: Path) -> Callable[[], Bench]:
    """A database of its own, at each call."""
    count = iter(range(1000))

    def make() -> Bench:
        folder = tmp_path / f"bench-{next(count)}"
        folder.mkdir()
        return Bench(folder)

    return make


@pytest.mark.parametrize("kills", KILLS)
def test_upgrade(new_bench: Callable[[], Bench], kills: int) -> None:
    rng = Random("killed upgrade")
    whole = seconds_alone(new_bench(), "db", "upgrade")
    for _ in range(kills):
        bench = new_bench()
        process = start_command(bench, "db", "upgrade", log=bench.folder / "log")
        kill_after(process, rng.uniform(0, whole))
        check_whole(bench)
        if "brought up to date" in (bench.folder / "log").read_text():
            assert Store(str(bench.db), read_only=True).runs() == []
        bench("db", "upgrade")
        assert bench.json("runs") == []
        check_whole(bench)


@pytest.fixture
def many_files(new_bench: Callable[[], Bench], tmp_path: Path) -> Path:
    """Twelve entries of twenty runs each."""
    host = new_bench()
    store = Store(str(host.db))
    for number in range(12):
        record_suite(store, f"model-{number:02}", 0.5, points=10)
    host("db", "export", str(tmp_path / "published"))
    return tmp_path / "published"


@pytest.mark.parametrize("kills", KILLS)
def test_import(new_bench: Callable[[], Bench], many_files: Path, kills: int) -> None:
    rng = Random("killed import")
    words = ("db", "import", str(many_files))
    whole = seconds_alone(new_bench(), *words)
    for _ in range(kills):
        bench = new_bench()
        kill_after(start_command(bench, *words, log=bench.folder / "log"), rng.uniform(0, whole))
        check_whole(bench)
        check_import(bench, many_files, (bench.folder / "log").read_text())
        bench(*words)
        assert len(Store(str(bench.db), read_only=True).events()) == 240


def check_import(bench: Bench, folder: Path, said: str) -> None:
    """Of each file there is all or nothing, and all where the command has said so."""
    bench("db", "upgrade")  # what was killed before it had made any table
    store = Store(str(bench.db), read_only=True)
    here = {run.run_id: run for run in store.runs()}
    marked = {event.run_id for event in store.events()}
    for path in entry_files(folder):
        records = from_text(path.read_text())
        found = [here[record.run.run_id] for record in records if record.run.run_id in here]
        assert len(found) in ([20] if f"{path}: 20 runs added" in said else [0, 20])
        assert all(len(store.curves(run)) == 10 and run.run_id in marked for run in found)


SLOW_MODEL = """
        if self.training:
            with open('{log}', 'a') as log: log.write('.')
            time.sleep(0.004)
        pass"""
PATCHED = "import bench.training.checkpoints; bench.training.checkpoints.SECONDS_BETWEEN_CHECKPOINTS = 0\n"
EPOCHS, STEPS = 20, 17


def slow_model(write_model: Callable[[str, str], Path], log: Path) -> str:
    """A model that writes a character for each training step, and saves a checkpoint after every epoch."""
    path = write_model("mine", SLOW_MODEL.format(log=log))
    path.write_text(PATCHED + path.read_text())
    return str(path)


@pytest.mark.parametrize("kills", KILLS)
def test_run(
    new_bench: Callable[[], Bench], write_model: Callable[[str, str], Path], tmp_path: Path, kills: int
) -> None:
    rng = Random("killed run")
    log = tmp_path / "steps"
    words = ("run", "--model", slow_model(write_model, log), "--epochs", str(EPOCHS), "--json", "--resume")
    alone, bench = new_bench(), new_bench()
    whole = seconds_alone(alone, *words)
    log.unlink()
    done: list[Any] = []
    for _ in range(kills):
        said = bench.folder / "log"
        kill_after(start_command(bench, *words, "--seed", str(len(done)), log=said), rng.uniform(0, whole))
        check_whole(bench)
        done += acknowledged(said)
        runs = Store(str(bench.db)).runs()
        assert {run["run_id"] for run in done} <= {run.run_id for run in runs}
        assert {run.status for run in runs} <= {"finished"}
        assert len(runs) <= len(done) + 1
    assert bench.json(*words, "--seed", str(len(done)))["status"] == "finished"
    assert results(bench, seed=0) == results(alone)
    # A kill costs the epoch under way, and the one before where it came between its last step and its checkpoint.
    least = EPOCHS * STEPS * (len(done) + 1)
    assert least <= len(log.read_text()) <= least + kills * 2 * STEPS


def acknowledged(said: Path) -> list[Any]:
    """The run that the command printed, if it got so far."""
    text = said.read_text()
    return [json.loads(text[text.index("{\n") :])] if "\n}\n" in text else []


def run_and_die_before_recording(bench: Bench, words: tuple[str, ...]) -> None:
    with patch.object(Store, "record", lambda *_: os.kill(os.getpid(), signal.SIGKILL)):
        bench(*words)


def test_a_result_is_not_lost_between_training_and_the_database(
    bench: Bench, write_model: Callable[[str, str], Path], tmp_path: Path
) -> None:
    log = tmp_path / "steps"
    words = ("run", "--model", slow_model(write_model, log), "--epochs", "2")
    assert ended(start(run_and_die_before_recording, bench, words)) == -signal.SIGKILL
    trained = log.read_text()
    assert bench.json(*words)["status"] == "finished"
    assert log.read_text() == trained
    (folder,) = (path for path in bench.folder.glob("board-artifacts/*") if path.is_dir())
    assert [path.name for path in folder.glob("*.json")] == []


def test_a_damaged_checkpoint_is_named_and_nothing_is_recorded(
    bench: Bench, write_model: Callable[[str, str], Path], tmp_path: Path
) -> None:
    words = ("run", "--model", slow_model(write_model, tmp_path / "steps"), "--epochs", "20")
    process = start_command(bench, *words, log=bench.folder / "log")
    wait_for(lambda: list(bench.folder.glob("board-artifacts/*/last.ckpt")))
    kill_after(process, 0)
    (last,) = bench.folder.glob("board-artifacts/*/last.ckpt")
    last.write_bytes(last.read_bytes()[:-1000])
    assert f"{last} is damaged" in bench.refused(*words, "--resume")
    assert bench.json("runs") == []
    last.unlink()
    assert bench.json(*words, "--resume")["status"] == "finished"

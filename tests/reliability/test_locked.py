"""A database that another program has locked, and a clock that goes backwards."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

import db.engine
from db import migrate
from db.errors import StoreError
from db.store import Store
from tests.conftest import QUICK, Bench

Writer = Callable[[str, str], Path]
HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
"""


def lock(path: str | Path, seconds: float) -> "subprocess.Popen[str]":
    """Another program that holds the database."""
    command = [sys.executable, "-c", HOLD, str(path), str(seconds)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    return holder


def model_that_locks(write_model: Writer, bench: Bench, seconds: float) -> tuple[str, Path]:
    """A model in whose training the database gets locked, and a file that its steps fill."""
    steps = bench.folder / "steps"
    body = f"if self.calls == 20: holders.append(lock({str(bench.db)!r}, {seconds}))"
    path = write_model("mine", f"open({str(steps)!r}, 'a').write('.')\n        {body}")
    path.write_text(f"from tests.reliability.test_locked import holders, lock\n{path.read_text()}")
    return str(path), steps


holders: list["subprocess.Popen[str]"] = []


def release() -> None:
    holder = holders.pop()
    holder.kill()
    holder.communicate()


@pytest.mark.slow
def test_a_lock_of_ten_seconds_is_waited_for(bench: Bench, write_model: Writer) -> None:
    path, _ = model_that_locks(write_model, bench, seconds=10)
    assert bench.json("run", "--model", path, "--epochs", "2")["status"] == "finished"
    assert holders[-1].poll() == 0, "the lock was held to its end, and the result recorded after it"
    release()
    assert len(bench.json("runs")) == 1


def test_a_longer_lock_is_named_and_costs_no_training(
    bench: Bench, write_model: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db.engine, "BUSY_TIMEOUT", 1)
    path, steps = model_that_locks(write_model, bench, seconds=3600)
    words = ("run", "--model", path, "--epochs", "2")
    said = bench.refused(*words)
    assert f"database {bench.db}: another program has kept it locked for 1 s; try again" in said
    (kept,) = bench.folder.glob("board-artifacts/*/unrecorded.json")
    assert f"The result is kept. Record it later with:\n  python -m bench db import {kept} --db {bench.db}" in said
    release()
    trained = steps.read_text()
    assert bench.json(*words)["status"] == "finished"
    assert steps.read_text() == trained
    assert not kept.exists()
    assert Store(str(bench.db), read_only=True).events() == []


def test_readers_do_not_wait_for_writers(bench: Bench) -> None:
    bench("db", "upgrade")
    holders.append(lock(bench.db, 3600))
    assert bench.json("runs") == []
    assert holders[-1].poll() is None
    release()


FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
BACK = """if self.calls == 20:
            open(os.environ["FAKETIME_TIMESTAMP_FILE"], "w").write("2001-01-01 11:00:00\\n")
            end = time.perf_counter() + 3  # the file is looked at every second or two
            while time.perf_counter() < end: pass"""


@pytest.mark.slow
@pytest.mark.skipif(not FAKETIME, reason="libfaketime is not installed: apt-get install faketime")
def test_a_clock_that_goes_backwards(bench: Bench, write_model: Writer) -> None:
    """Years back before the run, and by an hour in the midst of it."""
    bench("run", "--model", "gru", *QUICK)
    now = bench.folder / "now"
    now.write_text("2001-01-01 12:00:00\n")
    bench.env |= {"LD_PRELOAD": str(FAKETIME[-1]), "FAKETIME_TIMESTAMP_FILE": str(now), "TZ": "UTC",
                  "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}  # fmt: skip
    bench.fresh("run", "--model", str(write_model("mine", BACK)), "--epochs", "2", "--json")
    first, second = bench.json("runs")
    record = bench.json("show", second["run_id"])
    assert (record["started_at"], record["finished_at"]) == ("2001-01-01T12:00:00+00:00", "2001-01-01T11:00:00+00:00")
    assert 3 < record["train_seconds"] <= record["wall_seconds"] < 600
    assert (first["model"], second["model"].partition("@")[0]) == ("gru", "mine"), "by the date that each has"


@pytest.mark.parametrize(("seconds", "waited_for"), [(1, True), (60, False)])
def test_a_new_database_that_another_process_writes_to_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, waited_for: bool
) -> None:
    """After its tables are made, before it has a write-ahead log."""
    path, upgrade = tmp_path / "board.sqlite", migrate.upgrade

    def upgrade_and_lock(engine: Engine, name: str) -> bool:
        done = upgrade(engine, name)
        holders.append(lock(path, seconds))
        return done

    monkeypatch.setattr(migrate, "upgrade", upgrade_and_lock)
    monkeypatch.setattr(db.engine, "BUSY_TIMEOUT", 30 if waited_for else 1)
    if waited_for:
        assert Store(str(path)).was_upgraded
    else:
        with pytest.raises(StoreError, match="another program has kept it locked for 1 s; try again"):
            Store(str(path))
    release()
    assert sqlite3.connect(path).execute("PRAGMA journal_mode").fetchone() == ("wal" if waited_for else "delete",)

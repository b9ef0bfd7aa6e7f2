"""A soak: for minutes or an hour, all that a host does at once, with kills at random moments, against one database.

    BENCH_SOAK_MINUTES=60 python -m pytest -m slow tests/reliability/test_soak.py

docs/reliability.md has what was measured.
"""

import math
import os
import platform
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from bench.publishing.import_published import entry_files
from bench.tuning.storage import Studies
from db.record import from_text
from db.store import Store
from tests.conftest import QUICK, Bench
from tests.reliability.test_killed import check_whole
from tests.support.published import record_suite
from tests.support.soak import TRACEBACK, App, Rows, Soak, is_flat, table, trend, visited

SEED = "soak"
MINUTES = float(os.environ.get("BENCH_SOAK_MINUTES", "5"))
LOOK = 2.0  # seconds between two looks at the server's memory
READ = 15.0  # seconds between two readings of all rows
ARCHITECTURES = ("fru", "gru", "lstm", "s5", "lru", "mingru")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What contributors send: runs that were made elsewhere."""
    sender = Bench(tmp_path_factory.mktemp("sender"))
    paths = []
    for seed in range(3 + math.ceil(MINUTES)):
        run = sender.json("run", "--model", "lstm", *QUICK, "--seed", str(seed))
        paths.append(sender.folder / f"{seed}.zip")
        sender("bundle", run["run_id"], "-o", str(paths[-1]))
    return paths


@pytest.mark.slow
@pytest.mark.skipif(MINUTES == 0, reason="BENCH_SOAK_MINUTES=0 leaves the soak out")
def test_soak(bench: Bench, url: str, bundles: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    bench.env["BENCH_DB"] = url
    seconds = 60 * MINUTES
    store = Store(url)
    for number, model in enumerate(ARCHITECTURES):
        record_suite(store, model, 0.5 + number / 20, points=10)
    soak, app = Soak(bench, bundles, SEED), App(bench, bench.folder / "app.log")
    try:
        with visited(app.address, SEED) as visitor:
            under_load(soak, app, seconds)
    finally:
        app.stop()
        soak.abandon()
    summary = summarise(
        soak, app, seconds, visits=visitor.visits, pages=visitor.pages, kind=store.url.get_backend_name()
    )
    with capsys.disabled():
        print(f"\n{summary}")
    assert [*soak.problems, *visitor.problems, *soak.rows.problems()] == []
    assert TRACEBACK not in app.log.read_text(errors="replace")
    check_database(soak, bench, url)
    assert visitor.pages > 0
    assert is_flat(app.held), f"the server's memory grows: {[round(each / 2**20) for each in app.held]} MiB"


def under_load(soak: Soak, app: App, seconds: float) -> None:
    end, read, measured = time.monotonic() + seconds, 0.0, 0.0
    while (now := time.monotonic()) < end:
        soak.turn()
        if now - measured > LOOK:
            app.measure()
            measured = now
        if now - read > READ:
            soak.problems += soak.rows.problems()
            read = now
        time.sleep(0.02)
    soak.finish()


def check_database(soak: Soak, bench: Bench, url: str) -> None:
    """All that was acknowledged is there, exports hold all of it that they may, and SQLite finds no fault."""
    store = Store(url, read_only=True)
    runs = store.runs()
    assert soak.acknowledged.runs <= {run.run_id for run in runs}
    assert soak.acknowledged.runs
    assert {run.status for run in runs} <= {"finished", "interrupted"}
    trials = {study.study_name: study.trials for study in Studies(url, read_only=True).all()}
    ended = [trial for trial in trials.get(soak.acknowledged.study, []) if trial.state.is_finished()]
    assert len(ended) >= soak.acknowledged.trials
    if not url.startswith("postgresql"):
        check_whole(bench)
        with closing(sqlite3.connect(bench.folder / "board-studies.sqlite")) as studies:
            assert studies.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    folder = soak.folder / "published"
    for path in entry_files(folder) if folder.exists() else ():
        from_text(path.read_text(encoding="utf-8"))
    bench("db", "export", str(folder))
    exported = {record.run.run_id for path in entry_files(folder) for record in from_text(path.read_text())}
    assert exported == {run.run_id for run in runs if run.model in ARCHITECTURES and run.budget == "10k"}


def summarise(soak: Soak, app: App, seconds: float, *, visits: int, pages: int, kind: str) -> str:
    first, last = (value / 2**20 for value in trend(app.held))
    kills = [f"{count} × {name}" for name, count in sorted(soak.killed.items())]
    return table(
        {
            "database": kind,
            "minutes": round(seconds / 60, 1),
            "commands begun": ", ".join(f"{count} × {name}" for name, count in sorted(soak.started.items())),
            "commands that ended by themselves or had said all": sum(soak.done.values()),
            "killed": f"{sum(soak.killed.values())}: {', '.join(kills)}",
            "runs acknowledged": len(soak.acknowledged.runs),
            "trials acknowledged": soak.acknowledged.trials,
            "rows compared": f"{len(soak.rows.seen):,}",
            "pages shown": f"{pages} in {visits} visits",
            "the server's memory, first and last third": f"{first:.0f} MiB, {last:.0f} MiB",
            "machine": f"{psutil.cpu_count()} processors, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
            f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        }
    )


# The soak notices what it is for


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE runs SET seed = 7 WHERE id = 1", "('runs', 1) has changed"),
        ("DELETE FROM events", "('events', 1) is gone"),
        ("DELETE FROM runs WHERE id = 1", "1 rows of events have no run"),
    ],
)
def test_a_row_that_changes_is_noticed(bench: Bench, statement: str, problem: str) -> None:
    store = Store(str(bench.db))
    runs = record_suite(store, "fru", 0.5, points=2)
    store.add_event(runs[0], "retracted", "a test")
    rows = Rows(str(bench.db))
    assert rows.problems() == []
    assert len(rows.seen) == len(runs) * 3 + 1
    connection = sqlite3.connect(bench.db)
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute(statement)
    connection.commit()
    assert problem in rows.problems()


MIB = 2**20


@pytest.mark.parametrize(
    ("held", "flat"),
    [
        ([100] * 5 + [200] * 15, True),
        ([200, 210] * 10, True),
        (list(range(200, 300)), False),
        ([100] * 5 + [200] * 7 + [300] * 8, False),
    ],
)
def test_memory_that_grows_is_noticed(held: list[int], flat: bool) -> None:
    assert is_flat([each * MIB for each in held]) is flat

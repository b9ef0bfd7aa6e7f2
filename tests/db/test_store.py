"""The results store on SQLite and, where its binaries are installed, on PostgreSQL."""

import os
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm.exc import DetachedInstanceError

from db import migrate
from db.engine import address, connect, database_url
from db.errors import StoreError
from db.record import Record
from db.schema import Base, CurvePoint, Run, Trial
from db.store import UNLISTED, Store, Submission, new_event
from tests.conftest import ROOT, as_nobody
from tests.support.runs import NOON, make_run, make_trial


def test_a_run_comes_back_as_it_went_in(url: str) -> None:
    elsewhere = datetime(2026, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    Store(url).record(make_run(started_at=elsewhere), [CurvePoint(name="train/loss", epoch=1, step=7, value=None)])
    store = Store(url, read_only=True)
    (run,) = store.runs()
    assert (run.config, run.peak_memory_host, run.started_at) == ({"model": {"size": 3}}, 2**40, NOON)
    assert run.started_at.tzinfo is UTC
    assert [(p.name, p.epoch, p.step, p.value) for p in store.curves(run)] == [("train/loss", 1, 7, None)]


def test_migrations_make_what_the_schema_says(url: str) -> None:
    with Store(url)._engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


@pytest.mark.parametrize("change", ["UPDATE runs SET metric_value = 1", "DELETE FROM runs", "DELETE FROM curves",
                                    "UPDATE curves SET value = 0", "DELETE FROM events", "DELETE FROM trials",
                                    "UPDATE trials SET value = 1"])  # fmt: skip
def test_results_are_append_only(url: str, change: str) -> None:
    store = Store(url)
    run = store.record(make_run(), [CurvePoint(name="train/loss", epoch=1, step=1, value=1.0)])
    store.add_event(run, "retracted", "for a test")
    store.add_trials([make_trial()], "a" * 64)
    with pytest.raises(DBAPIError, match="append-only"), store._engine.begin() as connection:
        connection.execute(text(change))
    assert store.runs()[0].metric_value == 0.5
    assert len(store.curves(store.runs()[0])) == 1


RUN_COLUMNS = ", ".join(column.name for column in Run.__table__.columns if column.name != "id")
TRIAL_COLUMNS = ", ".join(column.name for column in Trial.__table__.columns if column.name != "id")
BY_KEY = [
    ("runs", "id", {}), ("runs", RUN_COLUMNS, {}), ("runs", RUN_COLUMNS, {"attempt": "9"}),
    ("runs", RUN_COLUMNS, {"attempt": "9", "corrects": "1"}), ("curves", "run_row, name, step, epoch, value", {}),
    ("events", "id, run_row, kind, reason, data, at", {}), ("trials", TRIAL_COLUMNS, {}),
    ("trials", f"id, {TRIAL_COLUMNS}", {"number": "9"}),
]  # fmt: skip


@pytest.mark.parametrize(("table", "columns", "changes"), BY_KEY)
def test_no_row_is_replaced(tmp_path: Path, table: str, columns: str, changes: dict[str, str]) -> None:
    """By none of the keys that it can collide with."""
    store = Store(str(tmp_path / "board.sqlite"))
    run = store.record(make_run(), [CurvePoint(name="train/loss", epoch=1, step=1, value=1.0)])
    store.add_event(run, "retracted", "for a test")
    store.record_together([corrected(run)])
    store.add_trials([make_trial()], "a" * 64)
    columns = f"id, {RUN_COLUMNS}" if columns == "id" else columns
    values = ", ".join(changes.get(name, name) for name in columns.split(", "))
    row = text(f"INSERT OR REPLACE INTO {table} ({columns}) SELECT {values} FROM {table} LIMIT 1")
    with pytest.raises(DBAPIError, match="append-only"), store._engine.begin() as connection:
        connection.execute(row)


@pytest.mark.parametrize("table", ["runs", "curves", "events", "trials"])
def test_no_table_is_emptied(postgres: str, table: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), Store(postgres)._engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {table} CASCADE"))


def test_a_run_has_one_result_and_the_first_stays(url: str) -> None:
    store = Store(url)
    store.record(make_run(status="interrupted", metric_value=None))
    assert store.result("0123456789abcdef") is None
    assert store.attempts("0123456789abcdef") == 1
    first = store.record(make_run(attempt=2, metric_value=0.6))
    second = store.record(make_run(attempt=3, metric_value=0.9))
    assert (first.metric_value, second.metric_value) == (0.6, 0.6)
    assert [run.attempt for run in store.runs()] == [2]


def test_an_attempt_that_was_recorded_is_not_recorded_again(url: str) -> None:
    store = Store(url)
    first = store.record(make_run(status="interrupted", metric_value=None))
    assert store.record(make_run(status="interrupted", metric_value=None)).id == first.id
    assert store.attempts(first.run_id) == 1


def test_a_run_and_its_curves_are_recorded_together_or_not_at_all(url: str) -> None:
    store = Store(url)
    point = {"name": "train/loss", "epoch": 1, "step": 1, "value": 1.0}
    with pytest.raises(DBAPIError):
        store.record(make_run(), [CurvePoint(**point), CurvePoint(**point)])
    assert store.runs() == []


def test_events_say_which_runs_count_and_how_far_they_are_verified(url: str) -> None:
    store = Store(url)
    wrong, old, good, plain = (store.record(make_run(letter * 16)) for letter in "abcd")
    store.add_event(wrong, "retracted", "the data were wrong")
    store.add_event(old, "superseded", "measured again", {"by": good.run_id})
    for rung in ("reproduced", "rescored"):
        event = store.add_event(good, "verified", "by the host", {"rung": rung})
    assert (event.run_id, event.at.tzinfo) == (good.run_id, UTC)
    assert [(event.kind, event.data) for event in store.events(good.run_id)] == [
        ("verified", {"rung": "reproduced"}), ("verified", {"rung": "rescored"}),
    ]  # fmt: skip
    standing = Store(url, read_only=True).standing()
    assert standing.withdrawn == {wrong.run_id: "retracted", old.run_id: "superseded"}
    assert standing.rungs == {good.run_id: "reproduced"}
    assert plain.run_id not in standing.rungs


def corrected(first: Run, **changes: Any) -> Submission:
    """A correction of a recorded run."""
    run = make_run(first.run_id, attempt=first.attempt + 1, corrects=first.attempt, **changes)
    curves, events = [CurvePoint(name="lr", epoch=1, step=1, value=1.0)], [new_event("imported", "a bundle")]
    correction = new_event("superseded", "the data were wrong", {"by": first.run_id})
    return Submission(record=Record(run, curves, events), corrected=first, correction=correction)


def test_a_correction_takes_the_place_of_a_result_once(url: str) -> None:
    store = Store(url)
    first = store.record(make_run())
    store.add_event(first, "verified", "by the host", {"rung": "reproduced"})
    store.record_together([corrected(first, metric_value=0.4)])
    for other in (corrected(first, metric_value=0.9), Submission(record=Record(make_run(attempt=9)))):
        with pytest.raises(StoreError, match="was recorded meanwhile"):
            store.record_together([other])
    (run,) = store.runs()
    assert (run.metric_value, run.attempt, store.result(run.run_id).metric_value) == (0.4, 2, 0.4)  # type: ignore[union-attr]
    assert [point.name for point in store.curves(run)] == ["lr"]
    standing = store.standing()
    assert (standing.withdrawn, standing.rungs) == ({}, {}), "what was said of the old row is not of the new"
    assert [event.kind for event in store.events(run.run_id)] == ["verified", "imported", "superseded"]
    store.add_event(run, "retracted", "wrong too")
    assert store.standing().withdrawn == {run.run_id: "retracted"}
    store.record_together([corrected(run, metric_value=0.3)])
    assert (store.runs()[0].metric_value, store.standing().withdrawn) == (0.3, {})


def test_submissions_are_recorded_together_or_not_at_all(url: str) -> None:
    store = Store(url)
    here = store.record(make_run("a" * 16))
    fresh = Submission(record=Record(make_run("b" * 16), events=[new_event("imported", "a bundle")]))
    taken = Submission(record=Record(make_run("a" * 16, attempt=2)))
    with pytest.raises(StoreError, match="Nothing was changed"):
        store.record_together([fresh, taken])
    assert [run.run_id for run in store.runs()] == [here.run_id]
    assert store.events() == []


def test_an_older_database_keeps_its_results(url: str) -> None:
    engine = connect(database_url(url), read_only=False)
    with engine.begin() as connection:
        command.upgrade(migrate._config(connection), "0001")
    run = make_run()
    values = {column.name: getattr(run, column.key) for column in Run.__table__.columns}
    del values["id"], values["corrects"]
    with engine.begin() as connection:
        connection.execute(insert(Run.__table__).values(**values))  # type: ignore[arg-type]
    with pytest.raises(StoreError, match=r"older schema \(0001\)"):
        Store(url, read_only=True)
    (kept,) = Store(url).runs()
    assert (kept.metric_value, kept.corrects) == (0.5, None)


def test_a_version_for_every_content(url: str) -> None:
    store, reader = Store(url), Store(url, read_only=True)
    versions = [reader.version()]
    for attempt, status in enumerate(("interrupted", "finished"), 1):
        run = store.record(make_run(attempt=attempt, status=status))
        versions.append(reader.version())
    store.add_event(run, "retracted", "for a test")
    versions.append(reader.version())
    assert len(set(versions)) == 4
    assert reader.version() == versions[-1]


def test_attempts_are_read_from_a_row_on_without_their_long_columns(url: str) -> None:
    store = Store(url)
    first, second = store.record(make_run(status="interrupted")), store.record(make_run(attempt=2))
    assert [run.attempt for run in store.attempts_after(0)] == [1, 2]
    (run,) = store.attempts_after(first.id)
    assert (run.id, run.config, run.params_core) == (second.id, {"model": {"size": 3}}, 6)
    for column in UNLISTED:
        with pytest.raises(DetachedInstanceError):
            getattr(run, column.key)
    assert store.attempts_after(second.id) == []


def test_a_number_that_json_lacks_is_refused(url: str) -> None:
    store = Store(url)
    with pytest.raises(Exception, match="JSON compliant"):
        store.record(make_run(metrics={"test": {"loss": float("nan")}}))
    assert store.runs() == []


def test_reading_does_not_write(url: str) -> None:
    Store(url).record(make_run())
    with pytest.raises(StoreError, match=r"read-?only"):
        Store(url, read_only=True).record(make_run("f" * 16))


def test_processes_that_start_at_once_share_one_upgrade(url: str) -> None:
    code = "import sys; from db.store import Store; Store(sys.argv[1])"
    starts = [subprocess.Popen([sys.executable, "-c", code, url], cwd=ROOT, stderr=subprocess.PIPE) for _ in range(4)]
    errors = [start.communicate(timeout=120)[1] for start in starts]
    assert [start.returncode for start in starts] == [0] * 4, errors
    assert Store(url, read_only=True).runs() == []


def test_sqlite_settings(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    with store._engine.begin() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 30_000


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "board.sqlite"
    Store(str(path))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for read_only in (False, True):
        with pytest.raises(StoreError, match="'9999', which this code does not know: a newer version wrote it"):
            Store(str(path), read_only=read_only)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="tables of another program"):
        Store(str(path))
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"absent does not exist"):
        Store(str(tmp_path / "absent" / "board.sqlite"))


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    for read_only in (False, True):
        with pytest.raises(StoreError, match="file is not a database"):
            Store(str(path), read_only=read_only)
    assert path.read_text().startswith("not a database")


@pytest.mark.parametrize("read_only", [True, False])
def test_a_pointer_of_git_lfs(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "board.sqlite"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n" + " " * 100)
    with pytest.raises(StoreError, match="a pointer of Git LFS, not the file itself; fetch that: git lfs pull"):
        Store(str(path), read_only=read_only)


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "board 2.sqlite"
    path.touch()
    with pytest.raises(
        StoreError, match=f"{path} is an empty database; `.* db upgrade --db '{path}'` makes its tables"
    ):
        Store(str(path), read_only=True)
    Store(str(path))
    assert Store(str(path), read_only=True).runs() == []


def test_a_url_names_the_same_file_as_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert database_url("sqlite:///board.sqlite") == database_url("board.sqlite")
    assert Store("sqlite:///board.sqlite").artifacts == tmp_path / "board-artifacts"


ODD = "exp #1 lr=0.1?50%20x%"


@pytest.mark.parametrize("read_only", [True, False])
def test_an_address_is_read_as_the_same_place(tmp_path: Path, read_only: bool) -> None:
    (tmp_path / ODD).mkdir()
    path = tmp_path / ODD / "board$$.sqlite"
    Store(str(path))
    again = Store(Store(str(path), read_only=read_only).address)
    assert (again.url, again.artifacts.parent) == (database_url(str(path)), path.parent)
    assert [each.name for each in tmp_path.iterdir()] == [ODD]
    server = "postgresql+psycopg://u:p%40%2F%3F@h/d?options=-c%20x%3D1"
    assert database_url(address(database_url(server))) == database_url(server)


def test_a_code_folder_with_odd_letters(tmp_path: Path) -> None:
    """Alembic reads % in its options as the beginning of a name."""
    shutil.copytree(ROOT / "db", tmp_path / ODD / "db", ignore=shutil.ignore_patterns("*.sqlite*", "published"))
    code = "import sys; from db.store import Store; print(Store(sys.argv[1]).was_upgraded)"
    env = os.environ | {"PYTHONPATH": str(tmp_path / ODD)}
    command = [sys.executable, "-P", "-c", code, str(tmp_path / "board.sqlite")]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr


def test_there_is_none_yet(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no database at .*absent.sqlite yet"):
        Store(str(tmp_path / "absent.sqlite"), read_only=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://a/b", "'mysql' is not supported"),
        ("://", "is not a database URL"),
        ("/", "database / is a folder"),
        ("sqlite:////", "database / is a folder"),
        (
            "postgres://u:secret@h/d",
            r"^a database URL can't begin with postgres://; write postgresql://user@host/name$",
        ),
        ("postgres+psycopg://h/d", "write postgresql://"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///exp?50/board.sqlite", "has options after the ?"),
    ],
)
def test_a_url_that_is_not_legal(url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        Store(url)


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(StoreError, match="onnection"):
        Store("postgresql://nobody@127.0.0.1:1/none")


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write anywhere")
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "with results still in the write-ahead log"])
def test_a_read_only_database_can_be_browsed_and_not_written(open_folder: Path, closed: bool) -> None:
    folder = open_folder / f"shelf-{closed}"
    folder.mkdir()
    store = Store(str(folder / "board.sqlite"))
    store.record(make_run())
    if closed:
        store._engine.dispose()
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555)
    assert as_nobody(READ, folder / "board.sqlite").stdout == "1\n"
    assert "is read-only" in as_nobody(WRITE, folder / "board.sqlite").stderr


WRITE = "import sys; from db.store import Store; Store(sys.argv[1])"
READ = "import sys; from db.store import Store; print(len(Store(sys.argv[1], read_only=True).runs()))"

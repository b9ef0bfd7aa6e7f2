"""The app's start, its shell, and what it says where there is nothing to show."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from db.store import Store
from leaderboard_app.data import snapshot
from leaderboard_app.views.leaderboard import pictures
from tests.conftest import ROOT, Bench
from tests.support.grids import grids
from tests.support.synthetic import fill

APP = str(ROOT / "leaderboard_app" / "app.py")


@pytest.fixture(autouse=True)
def restored_main() -> Iterator[None]:
    """AppTest puts the app in the place of `__main__`, which processes that are spawned later would run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


def open_app(db: Path, monkeypatch: pytest.MonkeyPatch, **query: str | list[str]) -> AppTest:
    """The first page at an address."""
    monkeypatch.setenv("BENCH_DB", str(db))
    monkeypatch.setattr(pictures, "HEAD_START", 0)
    app = AppTest.from_file(APP, default_timeout=120)
    app.query_params.update(query)
    app.run()
    assert not app.exception
    return app


def test_an_empty_database(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(str(bench.db))
    app = open_app(bench.db, monkeypatch)
    assert "No runs yet" in app.info[0].value
    assert "python -m bench run --model fru" in app.info[0].value
    assert not grids(app)


def test_no_database(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app(bench.db, monkeypatch)
    assert "there is no database at" in app.error[0].value
    assert not bench.db.exists()


def test_a_fresh_users_run_is_seen_at_once(shared_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs without a budget are in no suite; they are listed by task, the newest task first."""
    app = open_app(shared_bench.db, monkeypatch)
    assert app.query_params["suite"] == "by-task"
    configurations, runs = grids(app)
    rows = shared_bench.json("leaderboard")
    assert configurations.names() == [row["model"] for row in rows]
    assert configurations.numbers("score") == pytest.approx([row["score"] for row in rows], abs=0.05)
    assert configurations.numbers("parameters") == [row["params"] for row in rows]
    assert configurations.numbers("seeds") == [2, 1]
    assert configurations.columns["status"] == ["2 finished", "1 diverged"]
    recorded = shared_bench.json("runs")
    assert runs.links["run"] == [f"run?id={run['run_id']}" for run in recorded]
    assert runs.columns["status"][0].startswith("diverged: ")
    assert any("Newest run: **FRU**" in caption.value for caption in app.caption)


def test_new_runs_show_without_a_restart(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(bench.db))
    fill(store, models=["fru", "gru"], seeds=1)
    app = open_app(bench.db, monkeypatch, suite="by-task", task="digits")
    assert grids(app)[0].columns["seeds"] == ["1", "1"]
    fill(store, models=["fru", "gru"], seeds=2)
    app.run()
    assert grids(app)[0].columns["seeds"] == ["2", "2"]
    run = next(run for run in store.runs(task="digits", model="fru") if run.seed == 1)
    store.add_event(run, "retracted", "trained on the test split")
    app.run()
    assert sorted(grids(app)[0].columns["seeds"]) == ["1", "2"]


def test_what_was_read_is_not_read_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(bench.db))
    first = fill(store, models=["fru"], seeds=1)
    asked: list[int] = []
    after = Store.attempts_after
    monkeypatch.setattr(Store, "attempts_after", lambda self, row: asked.append(row) or after(self, row))
    before = snapshot(store)
    assert snapshot(store) is before
    fill(store, models=["gru"], seeds=1)
    later = snapshot(store)
    assert asked == [0, first[-1].id]
    assert sorted(run.model for run in later.runs) == ["fru"] * 4 + ["gru"] * 4
    assert [run for run in later.runs if run.model == "fru"] == before.runs


def test_a_database_in_the_place_of_another(bench: Bench, tmp_path: Path) -> None:
    """As where a file is replaced every night: as many rows, none of them known."""
    other = tmp_path / "other.sqlite"
    for path, model in ((bench.db, "fru"), (other, "gru")):
        store = Store(str(path))
        fill(store, models=[model], seeds=1)
        store._engine.dispose()  # the last connection's end puts everything into the one file
    reader = Store(str(bench.db), read_only=True)
    assert {run.model for run in snapshot(reader).runs} == {"fru"}
    reader._engine.dispose()
    other.replace(bench.db)
    assert {run.model for run in snapshot(Store(str(bench.db), read_only=True)).runs} == {"gru"}


def test_rows_that_become_visible_late(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two writers, the one with the lower row may commit last."""
    store = Store(str(bench.db))
    runs = fill(store, models=["fru"], seeds=1)
    after = Store.attempts_after
    hidden = lambda self, row: [run for run in after(self, row) if run.id != runs[2].id]  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(Store, "attempts_after", hidden)
        assert len(snapshot(store).runs) == 3
    fill(store, models=["gru"], seeds=1)
    assert len(snapshot(store).runs) == 8


def test_a_port_that_is_taken(shared_bench: Bench) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"can't listen on 127.0.0.1:{port}" in shared_bench.refused("app", "--port", str(port))

"""Step times of recorded entries: measured alone, kept with the runs, and what the board makes of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.catalog.suites import Suite, find_suite
from bench.common.errors import RequestError
from bench.publishing.import_published import PUBLISHED, import_files
from bench.publishing.step_times import EVENT, machine_alone, time_entries
from bench.ranking.contest import InTier
from bench.reports.board import ranked_board
from bench.runs import made_of
from db.standing import StepTime
from db.store import Store
from tests.support.synthetic import fill


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "board.sqlite"))
    files = [PUBLISHED / "quick-v1" / "10k" / f"{name}.json" for name in ("gru-plain-defaults", "lru-residual-tuned")]
    assert all(outcome.added for outcome in import_files(store, files))
    return store


@pytest.fixture
def suite() -> Suite:
    """A suite of digits alone, whose data come with scikit-learn."""
    quick = find_suite("quick-v1")
    return replace(quick, tasks={"digits": quick.tasks["digits"]})


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What the processors of a made-up machine do for other processes, in percent."""
    load = {"percent": 0.0}
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: load["percent"])
    return load


def timed(suite: Suite, store: Store, *models: str) -> list[str]:
    told: list[str] = []
    time_entries(suite, store, lambda entry: entry.model in models, data_dir=None, tell=told.append)
    return told


def test_a_cell_is_timed_once_and_the_board_uses_it(suite: Suite, store: Store, others: dict[str, float]) -> None:
    (line,) = timed(suite, store, "gru")
    assert line.startswith("1 of 1: gru (plain, 10k) on digits: ")
    assert line.endswith(" ms a step")
    events = [event for event in store.events() if event.kind == EVENT]
    runs = {run.run_id: run for run in store.runs(model="gru", task="digits")}
    assert sorted(event.run_id for event in events) == sorted(runs)
    (data,) = {tuple(event.data.values()) for event in events}
    assert data[1] == machine_alone()
    assert timed(suite, store, "gru") == []

    rows = {row.model: row for row in ranked_board(store.runs(), store.standing(), suite, InTier("10k")).rows}
    mean_steps = sum(run.steps for run in runs.values()) / len(runs)
    assert rows["gru"].train_seconds == pytest.approx(mean_steps * data[0])
    assert rows["gru"].hardware == (machine_alone(),)
    assert "alone" not in rows["lru"].hardware[0]


def test_runs_that_came_later_get_the_time_of_their_cell(suite: Suite, store: Store, others: dict[str, float]) -> None:
    first, *later = store.runs(model="gru", task="digits")
    store.add_event(first, EVENT, "for the test", StepTime(0.125, machine_alone())._asdict())
    assert timed(suite, store, "gru") == ["1 of 1: gru (plain, 10k) on digits: 125.00 ms a step"]
    assert all(store.standing().step_times[run.run_id].seconds == 0.125 for run in later)


def test_a_busy_machine_is_refused(suite: Suite, store: Store, others: dict[str, float]) -> None:
    others["percent"] = 80.0
    with pytest.raises(RequestError, match="other processes use 80% of the processors"):
        timed(suite, store, "gru")
    assert not store.standing().step_times


def test_what_cant_be_built_today_is_left_out(
    suite: Suite, store: Store, others: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(name: str) -> Any:
        raise RequestError(f"no model {name}.")

    monkeypatch.setattr(made_of, "find_model", gone)
    assert timed(suite, store, "gru") == ["1 of 1: gru (plain, 10k) on digits: left out: no model gru."]


def test_runs_on_gpus_keep_their_own_times(suite: Suite, tmp_path: Path, others: dict[str, float]) -> None:
    store, gpu = Store(str(tmp_path / "gpu.sqlite")), {"cpu": "Xeon", "threads": 1, "gpu": "H100"}
    fill(store, models=("gru",), environment=gpu, seeds=1)
    assert timed(suite, store, "gru") == []
    fill(store, models=("lru",), environment=gpu | {"execution": {"accelerator": "cpu"}}, seeds=1)
    assert len(timed(suite, store, "lru")) == 1

"""A run whose settings were chosen in two ways: it is made once and counts in both entries."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

import bench.catalog.suites
from bench.catalog.setting_sources import is_within, same, training_length
from bench.catalog.suites import SUITES, find_suite
from bench.reports.entries import entries_of
from db.store import Store
from leaderboard_app.views.compare.entries import contestants
from models.shared.training import Training
from tests.bench.training.test_suite_runs import SUITE, TINY
from tests.conftest import Bench
from tests.support.published import record_suite, suite_run

QUICK = find_suite("quick-v1")
LR = Training().lr
TUNED = {"lr": "preset"}
BY_HAND = {"lr": "flag"}
AT = ("--budget", "10k", "--wrapper", "residual")


@pytest.fixture
def presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(bench.catalog.suites.SUITES, "tiny-v1", TINY)
    monkeypatch.setattr("bench.runs.presets.FOLDER", tmp_path)
    return tmp_path


def write_preset(folder: Path, lr: float) -> None:
    (folder / "gru.toml").write_text(f'[residual.digits.10k."2 trials of 5 steps"]\nlr = {lr}\nprotocol = 2\n')


def board(bench: Bench, suite: str) -> dict[str, Any]:
    rows = bench.json("leaderboard", "--suite", suite, "--budget", "10k")
    return {row["tuning"]: (row["tasks_done"], row["seeds"], row["score"]) for row in rows}


@pytest.mark.parametrize("first", ["--preset", ""])
def test_tuning_that_chooses_the_defaults(bench: Bench, presets: Path, first: str) -> None:
    write_preset(presets, lr=LR)
    for words in ([first], ["--preset"], [], ["--preset"]):
        bench(*SUITE, "gru", "--seeds", "5", *filter(None, words))
    assert len(bench.json("runs")) == 5
    entries = board(bench, "tiny-v1")
    assert entries.keys() == {"tuned", "defaults"}
    assert entries["tuned"] == entries["defaults"]
    assert entries["tuned"][:2] == (1, 5)
    store = Store(str(bench.db))
    assert [event.kind for event in store.events()] == ["asked"] * 5


def test_a_run_by_hand_counts_once_the_suite_asks_for_it(bench: Bench, presets: Path) -> None:
    write_preset(presets, lr=LR)
    given = ("--set", "max_steps=5", "--set", "batch_size=32", "--set", f"lr={LR}", *AT)
    bench("run", "--model", "gru", *given)
    assert board(bench, "tiny-v1") == {}
    bench("run", "--model", "gru", *given[:4], "--preset", *AT)
    assert board(bench, "tiny-v1").keys() == {"tuned"}


def test_other_settings_are_another_run(bench: Bench, presets: Path) -> None:
    write_preset(presets, lr=0.01)
    bench(*SUITE, "gru", "--seeds", "1")
    bench(*SUITE, "gru", "--seeds", "1", "--preset")
    assert len(bench.json("runs")) == 2
    assert Store(str(bench.db)).events() == []


def ask_again(store: Store, sources: dict[str, str]) -> None:
    for run in store.runs():
        store.add_event(run, "asked", "again", {"config_source": sources})


def test_a_corrected_run_stays_in_both_entries(bench: Bench) -> None:
    store = Store(str(bench.db))
    run = store.record(suite_run())
    ask_again(store, TUNED)
    store.record(suite_run(attempt=2, corrects=run.attempt))
    entries = entries_of(QUICK, store.standing(), store.runs()[0])
    assert [entry.tuning for entry in entries] == ["defaults", "tuned"]


def test_the_comparison_page_has_both_entries(bench: Bench) -> None:
    store = Store(str(bench.db))
    record_suite(store, "fru", 0.9)
    ask_again(store, TUNED)
    ask_again(store, BY_HAND)
    found = contestants(store.runs(), store.standing(), QUICK)
    assert sorted(entry.tuning for entry in found.table.entries) == ["defaults", "tuned"]
    assert {len(runs) for runs in found.runs.values()} == {5}


def test_both_entries_are_published(bench: Bench, tmp_path: Path) -> None:
    store = Store(str(bench.db))
    record_suite(store, "fru", 0.9)
    bench("db", "export", str(tmp_path))
    visitor = Bench(tmp_path)
    visitor.env["BENCH_PUBLISHED"] = str(tmp_path / "quick-v1")
    visitor("runs")
    assert board(visitor, "quick-v1").keys() == {"defaults"}
    ask_again(store, TUNED)
    bench("db", "export", str(tmp_path))
    assert [path.name for path in (tmp_path / "quick-v1" / "10k").iterdir() if "fru" in path.name] == [
        "fru-plain-defaults.json"
    ]
    assert len(visitor.json("runs")) == 20
    assert board(visitor, "quick-v1").keys() == {"defaults", "tuned"}


def test_an_older_record_does_not_say_what_was_spent() -> None:
    """It was the suite's budget: asked for with that, it is asked for as before."""
    old, new, more = {"lr": "preset"}, {"lr": "preset: 12 trials of 5 steps"}, {"lr": "preset: 20 trials of 5 steps"}
    assert same(old, new)
    assert same(new, old)
    assert not same(new, more)
    assert not same(old, {"lr": "flag"})
    assert not same(old, {"lr": "preset", "clip_norm": "preset"})


@pytest.mark.parametrize("told", ["12 trials", "many trials of 5 steps", " trials of 5 steps", "words"])
def test_a_budget_that_cant_be_read_does_not_count(told: str) -> None:
    assert is_within("preset: 12 trials of 5 steps", 12, "5 steps")
    assert not is_within(f"preset: {told}", 12, "5 steps")


def test_the_length_of_training_has_the_same_words_wherever_it_is_read() -> None:
    for training in (Training(), Training(max_steps=7), Training(epochs=3)):
        assert training_length(asdict(training)) == training.length


def test_another_version_of_a_task_is_in_no_entry_of_the_suite() -> None:
    assert QUICK.includes(suite_run())
    assert not QUICK.includes(suite_run(task_version=2))
    second = replace(QUICK, versions={"digits": 2})
    assert (second.includes(suite_run()), second.includes(suite_run(task_version=2))) == (False, True)
    assert second.hash != QUICK.hash


def test_a_suite_of_another_version_of_its_task_gets_no_more_runs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SUITES, "tiny-v1", replace(TINY, versions={"digits": 2}))
    told = bench(*SUITE, "gru", "--seeds", "1").stdout
    assert "tiny-v1 has version 2 of digits, which is at version 1 now" in " ".join(told.split())
    assert bench.json("runs") == []

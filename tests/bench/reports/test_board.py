"""`bench leaderboard --suite`: which runs count, and the fields of its rows."""

from itertools import count
from typing import Any

import pytest

from bench.catalog.suites import find_suite
from db.store import Store
from tests.conftest import Bench
from tests.support.runs import make_run

IDS = count()
QUICK = find_suite("quick-v1")


def record(store: Store, model: str, metric: float, **changes: Any) -> None:
    """Five seeds of every cell of quick-v1 at 10k, trained as the suite says."""
    for task, training in QUICK.tasks.items():
        for seed in range(5):
            values = {"model": model, "task": task, "seed": seed, "budget": "10k", "metric_value": metric + seed / 100}
            store.record(make_run(f"{next(IDS):016x}", **values | {"config": {"training": dict(training)}} | changes))


@pytest.fixture
def filled(bench: Bench) -> Bench:
    store = Store(str(bench.db))
    record(store, "fru", 0.9)
    record(store, "gru", 0.3)
    record(store, "fru", 0.1, protocol=0)
    record(store, "fru", 0.1, config={"training": {"max_steps": 7}})
    record(store, "lstm", 0.5, budget="100k")
    return bench


def test_rows(filled: Bench) -> None:
    first, second = filled.json("leaderboard", "--suite", "quick-v1", "--budget", "10k")
    assert (first["model"], first["rank_low"], first["rank_high"], first["seeds"]) == ("fru", 1, 1, 5)
    assert (second["model"], second["rank_low"], second["rank_high"]) == ("gru", 2, 2)
    # accuracies 0.90 to 0.94 between chance 0.1 and 1: a mean of 0.92 scores 100 · 0.82 / 0.9
    assert first["score"] == pytest.approx(100 * 0.82 / 0.9)
    assert first["score_low"] < first["score"] < first["score_high"]
    assert (first["tasks_done"], first["tasks_total"], first["failures"]) == (4, 4, 0)
    assert (first["budget_auc"], first["verification"]) == (None, "self-reported")
    assert first["p_front"] > 0.99
    assert first["params"] == pytest.approx(10)


def test_the_first_tier_is_ranked_unless_one_is_given(filled: Bench) -> None:
    first, third = (filled.json("leaderboard", "--suite", "quick-v1", *words) for words in ((), ("--budget", "100k")))
    assert [row["model"] for row in first] == ["fru", "gru"]
    assert [row["model"] for row in third] == ["lstm"]


def test_table(filled: Bench) -> None:
    table = filled("leaderboard", "--suite", "quick-v1", "--budget", "10k").stdout
    assert "1–1" in table
    assert "4 of 4" in table


def test_wrong_requests(filled: Bench) -> None:
    words = ("leaderboard", "--suite", "quick-v1")
    assert "--suite quick-v1 needs --budget 10k or 100k" in filled.refused(*words, "--budget", "1M")
    assert "--suite quick-v1 needs --budget 10k or 100k, and no --task" in filled.refused(*words, "--task", "digits")
    assert "Did you mean 'quick-v1'" in filled.refused("leaderboard", "--suite", "quick", "--budget", "10k")


def test_no_runs_of_the_suite(shared_bench: Bench) -> None:
    assert (
        "No runs of quick-v1 at 10k yet" in shared_bench("leaderboard", "--suite", "quick-v1", "--budget", "10k").stderr
    )


@pytest.mark.parametrize(
    ("source", "counts"),
    [({"max_steps": "flag"}, True), ({"lr": "preset"}, True), ({"size": "flag"}, True), ({"lr": "flag"}, False)],
)
def test_training_by_hand_does_not_count(bench: Bench, source: dict[str, str], counts: bool) -> None:
    """A learning rate is for defaults and tuning to say; a setting of the architecture makes another entry."""
    store = Store(str(bench.db))
    training = {**QUICK.tasks["digits"], "lr": 0.1}
    run = store.record(
        make_run(budget="10k", config={"model": {"size": 3}, "training": training}, config_source=source)
    )
    assert QUICK.includes(run) == counts


def test_two_tunings_of_a_cell_are_refused_with_advice(bench: Bench) -> None:
    store = Store(str(bench.db))
    for lr in (0.1, 0.2):
        config = {"training": {**QUICK.tasks["digits"], "lr": lr}}
        store.record(make_run(f"{next(IDS):016x}", budget="10k", config=config, config_source={"lr": "preset"}))
    message = bench.refused("leaderboard", "--suite", "quick-v1", "--budget", "10k")
    assert "fru plain 10k tuned on digits has two results for seed 0" in message
    assert "retract" in message

"""`bench leaderboard --suite`: which runs count, and the fields of its rows."""

from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from bench.catalog.suites import SUITES, find_suite
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
    record(store, "fru", 0.1, protocol=2)
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
    assert {"wrapper", "learned"} <= {*table.splitlines()[0].split()}
    assert "1–1" in table
    assert "4 of 4" in table


def test_wrong_requests(filled: Bench) -> None:
    words = ("leaderboard", "--suite", "quick-v1")
    assert "--suite quick-v1 needs --budget 10k or 100k" in filled.refused(*words, "--budget", "1M")
    assert "--suite quick-v1 needs --budget 10k or 100k, and no --task" in filled.refused(*words, "--task", "digits")
    assert "Did you mean 'quick-v" in filled.refused("leaderboard", "--suite", "quick", "--budget", "10k")


def test_no_runs_of_the_suite(shared_bench: Bench) -> None:
    assert (
        "No runs of quick-v1 at 10k yet" in shared_bench("leaderboard", "--suite", "quick-v1", "--budget", "10k").stderr
    )


@pytest.fixture
def both(bench: Bench) -> Bench:
    """A quick-v1 and the same suite in protocol 2, with three entries each: two plain, one in the residual block."""
    store = Store(str(bench.db))
    for protocol in (1, 2):
        record(store, "gru", 0.3, protocol=protocol)
        record(store, "fru", 0.5, protocol=protocol)
        record(store, "s5", 0.9, protocol=protocol, wrapper="residual")
    return bench


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    suite = replace(QUICK, name="toy-v2", protocol=2, superseded=None)
    monkeypatch.setitem(SUITES, suite.name, suite)
    return suite.name


def ranks(bench: Bench, suite: str, *words: str) -> list[tuple[Any, ...]]:
    rows = bench.json("leaderboard", "--suite", suite, "--budget", "10k", *words)
    return [(row["model"], row["wrapper"], row["rank_low"], row["rank_high"]) for row in rows]


PLAIN = [("fru", "plain", 1, 1), ("gru", "plain", 2, 2)]
RESIDUAL = [("s5", "residual", 1, 1)]


def test_a_suite_of_protocol_1_is_ranked_across_wrappers_as_published(both: Bench) -> None:
    every = [("s5", "residual", 1, 1), ("fru", "plain", 2, 2), ("gru", "plain", 3, 3)]
    assert ranks(both, "quick-v1") == every
    assert ranks(both, "quick-v1", "--wrapper", "plain") == PLAIN
    assert ranks(both, "quick-v1", "--wrapper", "residual") == RESIDUAL


def test_a_later_suite_is_ranked_within_each_wrapper(both: Bench, toy: str) -> None:
    assert ranks(both, toy) == [*RESIDUAL, *PLAIN]
    assert ranks(both, toy, "--wrapper", "plain") == PLAIN
    words = ("leaderboard", "--suite", toy, "--budget", "10k", "--wrapper", "plain")
    assert [line.split(",")[2] for line in both(*words, "--csv").stdout.splitlines()] == ["model", "fru", "gru"]
    assert both(*words, "--latex").stdout.count("& plain &") == 2
    assert "residual" not in both(*words).stdout


def test_the_rows_of_tasks_by_wrapper(both: Bench) -> None:
    assert {row["model"] for row in both.json("leaderboard", "--wrapper", "residual")} == {"s5"}
    assert {row["model"] for row in both.json("leaderboard", "--wrapper", "plain")} == {"fru", "gru"}


def test_a_wrapper_that_does_not_exist(shared_bench: Bench) -> None:
    for words in ((), ("--suite", "quick-v1")):
        assert "no wrapper named 'plan'. Did you mean 'plain'" in shared_bench.refused(
            "leaderboard", *words, "--wrapper", "plan"
        )


def test_a_superseded_suite_says_so_on_stderr(both: Bench, toy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SUITES, "old-v2", replace(SUITES[toy], name="old-v2", superseded="its [data] are wrong."))
    told = "old-v2 is superseded: its [data] are wrong."
    for words in ((), ("--json",), ("--csv",), ("--latex",)):
        done = both("leaderboard", "--suite", "old-v2", *words)
        assert told in done.stderr
        assert told not in done.stdout
        assert "superseded" not in both("leaderboard", "--suite", toy, *words).stderr
    assert "superseded: " in both("suites").stdout
    assert {each["name"]: each["superseded"] for each in both.json("suites")}["old-v2"] == "its [data] are wrong."
    assert "its [data] are wrong." in both("suites", "--csv").stdout


def test_the_share_of_seeds_that_learned(both: Bench) -> None:
    """Accuracies from 0.50 to 0.54 between 0.1 and 1: utilities to 0.49; from 0.90 on all have learned."""
    best, middle, _ = both.json("leaderboard", "--suite", "quick-v1", "--budget", "10k")
    assert (best["learned"], middle["learned"]) == (1, 0)
    assert {each["learned"] for each in best["tasks"]} == {1}
    by_task = {row["model"]: row["learned"] for row in both.json("leaderboard", "--task", "digits") if row["learned"]}
    assert by_task == {"s5": 1}
    assert "100%" in both("leaderboard", "--suite", "quick-v1", "--budget", "10k").stdout


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

"""The first page of the app through Streamlit's AppTest, on small and large databases of made-up results."""

import re
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from bench.catalog.names import display_name
from bench.catalog.suites import find_suite
from bench.ranking.utility import score
from bench.reports.listings import model_facts
from db.schema import Run
from db.store import Store
from leaderboard_app.views.leaderboard import pictures
from leaderboard_app.views.leaderboard import table as table_view
from leaderboard_app.views.leaderboard.capability_map import CAPTION, likeness
from leaderboard_app.views.leaderboard.pictures import PICTURES
from leaderboard_app.views.leaderboard.rates import TITLE as RATES
from leaderboard_app.views.leaderboard.sentences import duration
from leaderboard_app.views.leaderboard.two_entries import TITLE as TWO
from leaderboard_app.widgets import heat_map
from leaderboard_app.widgets.figures import bytes_text
from tests.conftest import Bench
from tests.leaderboard_app.test_app import open_app, restored_main  # noqa: F401
from tests.support.grids import Grid
from tests.support.grids import grids as every_grid
from tests.support.runs import make_trial
from tests.support.synthetic import MACHINES, by_finish, fill, synthetic_runs

QUICK, QUICK_V2 = find_suite("quick-v1"), find_suite("quick-v2")
HOSTILE = "<img src=x onerror=alert(1)>[x](javascript:alert(1))"
EPYC, H100 = "AMD EPYC 7B13, 2 threads", "NVIDIA H100 80GB HBM3"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Five entries at two tiers, one without all of its seeds, one on another machine, one verified."""
    bench = Bench(tmp_path_factory.mktemp("small"))
    store = Store(str(bench.db))
    recorded = fill(store, models=["fru", "gru", "lstm", "s5"], tiers=("10k", "100k"), curves=5)
    fill(store, models=["tcn"], machine=1)
    fill(store, models=["sru"], seeds=3)
    for run in recorded:
        if run.model == "gru" and run.budget == "10k":
            store.add_event(run, "verified", "trained again", {"rung": "reproduced"})
    return bench


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """36 entries at two tiers: 1,440 runs."""
    bench = Bench(tmp_path_factory.mktemp("large"))
    models = [*model_facts(), *(f"model-{index}" for index in range(36 - len(model_facts())))]
    fill(Store(str(bench.db)), models=models, tiers=("10k", "100k"), curves=50)
    return bench


@pytest.fixture
def show(small: Bench, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Opens the small database at an address."""
    return lambda **query: open_app(small.db, monkeypatch, **query)


def grids(app: AppTest) -> list[Grid]:
    """The tables below the map."""
    return [grid for grid in every_grid(app) if grid.caption != CAPTION]


def the_map(app: AppTest) -> Grid:
    (grid,) = [grid for grid in every_grid(app) if grid.caption == CAPTION]
    return grid


def table(app: AppTest) -> Grid:
    return grids(app)[0]


def models(app: AppTest) -> list[str]:
    return table(app).names()


def ranked(bench: Bench, tier: str = "10k") -> list[dict[str, Any]]:
    return bench.json("leaderboard", "--suite", "quick-v1", "--budget", tier)


def said(app: AppTest) -> str:
    """All that the page says."""
    return "\n".join(each.value for kind in ("markdown", "caption", "info", "error") for each in app.get(kind))


@pytest.mark.parametrize("tier", ["10k", "100k"])
def test_the_table_agrees_with_the_command_line(show: Any, small: Bench, tier: str) -> None:
    app = show(suite="quick-v1", tier=tier)
    rows, shown = ranked(small, tier), table(app)
    assert models(app) == [row["model"] for row in rows]
    for column, field in {"score": "score", "parameters": "params", "core": "params_core", "seeds": "seeds",
                          "samples/s": "samples_per_second", "failures": "failures"}.items():  # fmt: skip
        assert shown.numbers(column) == pytest.approx([row[field] for row in rows], abs=0.5), column
    assert shown.columns["95% interval"] == [f"{row['score_low']:.1f} – {row['score_high']:.1f}" for row in rows]
    assert shown.columns["tasks"] == [f"{row['tasks_done']} of {row['tasks_total']}" for row in rows]
    assert shown.columns["state"] == [bytes_text(row["state_bytes"]) for row in rows]
    for row, rank in zip(rows, shown.columns["rank"], strict=True):
        low, high = row["rank_low"], row["rank_high"]
        assert rank == ("–" if low is None else f"{low}–{high}" if low < high else f"{low}")
    assert shown.faded == [row["rank_low"] is None for row in rows]


def test_words_and_tables_are_sent_before_the_first_chart_which_waits_once(
    show: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def also_say(word: str, place: Any, name: str) -> None:
        real = getattr(place, name)
        monkeypatch.setattr(place, name, lambda *args, **kwargs: (said.append(word), real(*args, **kwargs))[1])

    also_say("table", table_view, "show")
    also_say("map", heat_map, "show")
    also_say("wait", pictures, "sleep")
    also_say("chart", pictures.st, "vega_lite_chart")
    app = show(suite="quick-v1")
    assert said == ["table", "map", "wait", "chart", "chart"]
    said.clear()
    app.run()
    assert said == ["table", "map", "chart", "chart"]


def test_columns_that_are_switched_on(show: Any, small: Bench) -> None:
    app = show()
    before = list(table(app).columns)
    assert before[:4] == ["rank", "architecture", "score", "95% interval"]
    app.toggle(key="tasks").set_value(True).run()
    app.multiselect(key="columns").select("on front").select("year").run()
    rows, shown = ranked(small), table(app)
    by_task = [name for task in QUICK.tasks for name in (task, f"{task} learned")]
    assert list(shown.columns) == [*before, *by_task, "on front", "year"]
    for task in QUICK.tasks:
        learned = [next(each["learned"] for each in row["tasks"] if each["task"] == task) for row in rows]
        assert shown.columns[f"{task} learned"] == [f"{share:.0%}" for share in learned]
        scores = [next(each["score"] for each in row["tasks"] if each["task"] == task) for row in rows]
        assert shown.numbers(task) == pytest.approx(scores, abs=0.05)
    assert shown.columns["on front"] == ["" if row["p_front"] is None else f"{row['p_front']:.0%}" for row in rows]
    assert table(show(tasks="true", columns=["on front", "year"])) == shown


def test_what_needs_several_tiers_is_offered_where_there_are(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(bench.db))
    fill(store, models=["fru", "gru"], suite="long-v2", tiers=("10k", "100k", "1M"), wrapper="residual")
    fill(store, models=["fru"], suite="gpu-v1", tiers=("100k",), wrapper="residual")
    asked: dict[str, Any] = {"columns": "BudgetAUC", "order": "best BudgetAUC"}
    app = open_app(bench.db, monkeypatch, suite="long-v2", **asked)
    values = [row["budget_auc"] for row in bench.json("leaderboard", "--suite", "long-v2", "--budget", "10k")]
    assert table(app).numbers("BudgetAUC") == pytest.approx(sorted(values, reverse=True), abs=0.05)
    app.segmented_control(key="suite").set_value("gpu-v1").run()
    for there in (app, open_app(bench.db, monkeypatch, suite="gpu-v1", **asked)):
        assert "BudgetAUC" not in table(there).columns
        assert "BudgetAUC" not in there.multiselect(key="columns").options
        assert "best BudgetAUC" not in there.selectbox(key="order").options
        assert there.selectbox(key="order").value == "rank"


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("rank", lambda row: 0),
        ("fewest parameters", lambda row: row["params"]),
        ("most samples/s", lambda row: -row["samples_per_second"]),
        ("shortest training", lambda row: row["train_seconds"]),
        ("fewest failures", lambda row: row["failures"]),
        ("name", lambda row: row["model"]),
        ("mix-sin", lambda row: -next(each["score"] for each in row["tasks"] if each["task"] == "mix-sin")),
    ],
)
def test_orders(show: Any, small: Bench, order: str, key: Any) -> None:
    app = show(order=order)
    assert models(app) == [row["model"] for row in sorted(ranked(small), key=key)]


def test_entries_to_compare(show: Any) -> None:
    app = show()
    chooser = next(each for each in app.multiselect if "entries" in each.label)
    assert chooser.label == "Two to 4 entries"
    assert len(chooser.options) == 6


def test_the_first_view_says_who_is_best_how_sure_and_how_verified(show: Any, small: Bench) -> None:
    app = show()
    best = ranked(small)[0]
    text = said(app)
    assert f"**{display_name(best['model'])}** scores highest at 10k parameters: {best['score']:.1f} of 100" in text
    assert f"{best['score_low']:.1f} to {best['score_high']:.1f}" in text
    assert "points** to be told apart here" in text
    assert "lacks one of seeds 0 to 4 on any task, or a seed before its last, is not ranked" in text
    verification = dict(zip(models(app), table(app).columns["verification"], strict=True))
    assert (verification["gru"], verification["fru"]) == ("✓✓ reproduced", "self-reported")
    assert (models(app)[-1], table(app).columns["rank"][-1]) == ("sru", "–")


def test_the_address_of_a_view_reproduces_it(show: Any) -> None:
    """That the widgets write the address is the browser's doing, and tested there."""
    app = show()
    assert app.query_params == {"suite": "quick-v1", "tier": "10k"}
    app.segmented_control(key="tier").set_value("100k").run()
    app.text_input(key="q").set_value("gated").run()
    app.multiselect(key="verification").select("self-reported").run()
    assert set(models(app)) == {"gru", "lstm"}
    again = show(suite="quick-v1", tier="100k", q="gated", verification="self-reported")
    assert table(again) == table(app)
    assert again.segmented_control(key="tier").value == "100k"
    assert again.text_input(key="q").value == "gated"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"q": "FOURIER"}, {"fru"}),
        ({"family": ["convolution", "nonlinear recurrence"]}, {"fru", "sru", "tcn"}),
        ({"causal": "causal"}, {"fru", "gru", "lstm", "s5", "tcn", "sru"}),
        ({"years": ["2018", "2023"]}, {"fru", "tcn", "s5"}),
        ({"verification": "reproduced"}, {"gru"}),
        ({"hardware": H100}, {"tcn"}),
        ({"hardware": [H100, EPYC], "q": "gated recurrence"}, {"gru", "lstm"}),
    ],
)
def test_filters_hide_rows_and_change_no_rank(show: Any, query: dict[str, Any], expected: set[str]) -> None:
    every, some = show(), show(**query)
    assert set(models(some)) == expected
    assert standings(some).items() <= standings(every).items()
    assert (f"**{len(expected)} of 6** entries" in said(some)) == (len(expected) < 6)


def standings(app: AppTest) -> dict[str, tuple[str, str]]:
    shown = table(app)
    return dict(zip(shown.names(), zip(shown.columns["rank"], shown.columns["score"], strict=True), strict=True))


def test_filters_that_nothing_passes_and_their_end(show: Any) -> None:
    app = show(q="nothing like it", family="attention", years=["1997", "2000"], causal="causal")
    assert "No entry matches" in said(app)
    assert not grids(app)
    next(button for button in app.button if button.label == "Clear").click().run()
    assert len(models(app)) == 6
    assert app.query_params == {"suite": "quick-v1", "tier": "10k"}


@pytest.mark.parametrize(
    "query",
    [{"suite": "quick-v9"}, {"tier": "7k"}, {"tier": ""}, {"years": "soon"}, {"family": "<b>"}, {"equal": "luck"},
     {"causal": "x"}, {"verification": "gold"}, {"columns": "x"}],
)  # fmt: skip
def test_an_address_that_makes_no_sense_shows_the_first_view(show: Any, query: dict[str, str]) -> None:
    app = show(**query)
    assert len(models(app)) == 6
    app.run()
    assert app.query_params == {"suite": "quick-v1", "tier": "10k"}


def test_equal_training_time(show: Any, small: Bench) -> None:
    app = show(equal="training time")
    assert app.query_params["machine"] == EPYC
    assert app.selectbox(key="machine").options == [EPYC, H100]
    seconds = {
        (row["model"], tier): row["train_seconds"] for tier in QUICK.tiers for row in ranked(small, tier)
        if row["hardware"] == [EPYC]
    }  # fmt: skip
    assert min(seconds.values()) < 600 < max(seconds.values())
    app.selectbox(key="within").select("10 min").run()
    shown = set(zip(models(app), table(app).columns["tier"], strict=True))
    assert shown == {entry for entry, each in seconds.items() if each <= 600}
    assert "scores highest within 10 min of training on AMD EPYC 7B13\\, 2 threads" in said(app)
    assert "Times on other hardware can't be compared" in said(app)
    app.selectbox(key="machine").select(H100).run()
    assert models(app) == ["tcn"]


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ({"suite": "foo"}, "No suite named 'foo'. Suites: "),
        ({"suite": "quick-v3"}, "No suite named 'quick-v3'. Did you mean 'quick-v"),
        ({"suite": "quick-v1", "tier": "5k"}, "No tier named '5k'. Tiers: 100k, 10k, all tiers."),
        ({"suite": "quick-v1", "block": "foo"}, "No block named 'foo'. Blocks: all, plain, residual."),
        ({"suite": "quick-v1", "equal": "foo"}, "No contest named 'foo'. Contests: parameters, training time."),
        ({"suite": "quick-v1", "order": "foo"}, "No order named 'foo'. Orders: "),
        ({"suite": "quick-v1", "map": "foo"}, "No sorting named 'foo'. Sortings: family, likeness, score."),
        ({"suite": "quick-v1", "picture": "foo"}, "No picture named 'foo'. Pictures: "),
        ({"suite": "by-task", "task": "foo"}, "No task named 'foo'. Tasks: "),
        ({"suite": "by-task", "size": "5k"}, "No tier named '5k'. Tiers: "),
    ],
)
def test_a_wrong_address_says_so(show: Any, address: dict[str, str], told: str) -> None:
    """Another board is shown in its place, and the address is that board's."""
    app = show(**address)
    (error,) = app.error
    assert error.value.replace("\\", "").startswith(told)
    assert grids(app)
    wrong = {name: value for name, value in address.items() if value in ("foo", "5k", "quick-v3")}
    assert not wrong.items() & dict(app.query_params).items()
    app.run()
    assert not app.error


def test_a_click_is_never_called_a_wrong_address(show: Any) -> None:
    """A tier or a block that the next suite does not have."""
    app = show(suite="quick-v1", tier="100k")
    app.segmented_control(key="suite").set_value("lra-v2").run()
    assert not app.error
    assert app.query_params["tier"] != "100k"


def test_a_suite_without_runs_says_how_to_fill_it(show: Any) -> None:
    app = show(suite="long-v2", tier="1M")
    assert "No runs of long-v2 here yet" in said(app)
    assert app.code[0].value == "python -m bench suite --suite long-v2 --models fru,lstm,gru --seeds 5 --budget 1M"
    app = show(suite="long-v2", equal="training time")
    assert "No training times to compare" in said(app)


def test_where_no_entry_is_complete_the_tasks_that_have_scores_are_shown(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(bench.db))
    fill(store, models=["fru", "gru"], seeds=3)
    for run in store.runs():
        if run.task != "digits":
            store.add_event(run, "retracted", "not yet")
    app = open_app(bench.db, monkeypatch)
    rows, shown = ranked(bench), table(app)
    assert [name for name in shown.columns if name in QUICK.tasks] == ["digits"]
    scores = [next(task["score"] for task in row["tasks"] if task["task"] == "digits") for row in rows]
    assert shown.numbers("digits") == pytest.approx(scores, abs=0.05)
    assert not app.get("vega_lite_chart")


def test_every_run_task_by_task(show: Any, small: Bench) -> None:
    app = show(suite="by-task", task="digits", size="100k")
    rows = small.json("leaderboard", "--task", "digits", "--budget", "100k")
    assert models(app) == [row["model"] for row in rows]
    assert table(app).numbers("score") == pytest.approx([row["score"] for row in rows], abs=0.05)
    assert set(table(app).columns["steps"]) == {"1,000"}
    recorded = by_finish(Store(str(small.db), read_only=True).runs())
    newest = [run.run_id for run in recorded if (run.task, run.budget) == ("digits", "100k")][::-1]
    assert grids(app)[1].links["run"] == [f"run?id={run_id}" for run_id in newest]
    again = show(suite="by-task")
    assert again.query_params["task"] == recorded[-1].task


def test_runs_that_cannot_be_ranked_say_why(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(bench.db))
    fill(store, models=["fru"], config_source={"hidden_size": "preset"})
    fill(store, models=["fru"], seeds=1, machine=1, config_source={"hidden_size": "preset"})  # tuned again
    app = open_app(bench.db, monkeypatch)
    assert "has two results for seed 0" in app.error[0].value.replace("\\", "")
    app.segmented_control(key="suite").set_value("by-task").run()
    assert not app.error
    assert grids(app)


def test_names_are_shown_as_they_are(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(bench.db))
    fill(store, models=["gru"])
    name = f"model-{HOSTILE}"
    fill(store, models=[name], metric_value=1.0, status="finished", chance=0.0, solved=1.0)
    fill(store, models=[name], seeds=1, budget=None, machine=1, finished_at=datetime.now(UTC))
    app = open_app(bench.db, monkeypatch)
    text = said(app)
    assert name in text.replace("\\", "")
    assert name in models(app)
    assert name in table(app).columns["architecture"]
    assert "<img" not in text.replace("\\<", "")
    assert "[x](" not in text
    assert any("so no board ranks it" in caption.value for caption in app.caption)


def test_a_large_database(large: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app(large.db, monkeypatch)
    rows = ranked(large)
    assert models(app) == [row["model"] for row in rows]
    assert len(rows) == 36
    app.text_input(key="q").set_value("recurrence").run()
    facts = model_facts()
    assert set(models(app)) == {name for name in facts if "recurrence" in facts[name].family}
    assert f"**{len(models(app))} of 36**" in said(app)


def test_the_machines_are_as_made_up() -> None:
    assert EPYC.startswith(str(MACHINES[0]["cpu"]))
    assert MACHINES[1]["gpu"] == H100


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Two architectures in both wrappers and one in the residual block only, in quick-v1 and in quick-v2."""
    bench = Bench(tmp_path_factory.mktemp("blocks"))
    store = Store(str(bench.db))
    for suite in ("quick-v1", "quick-v2"):
        fill(store, models=["s5", "fru", "gru"], suite=suite, wrapper="residual")
        fill(store, models=["gru", "fru"], suite=suite, wrapper="plain")
    return bench


def standing(bench: Bench, suite: str, *words: str) -> list[tuple[str, str]]:
    rows = bench.json("leaderboard", "--suite", suite, "--budget", "10k", *words)
    return [(row["model"], rank(row)) for row in rows]


def rank(row: dict[str, Any]) -> str:
    low, high = row["rank_low"], row["rank_high"]
    return f"{low}–{high}" if low < high else f"{low}"


def shown(grid: Grid) -> list[tuple[str, str]]:
    return list(zip(grid.names(), grid.columns["rank"], strict=True))


def test_the_main_contest_is_the_same_block_for_all(blocks: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app(blocks.db, monkeypatch, suite="quick-v2")
    assert app.query_params == {"suite": "quick-v2", "tier": "10k"}
    assert [shown(grid) for grid in grids(app)] == [standing(blocks, "quick-v2", "--wrapper", "residual")]
    assert "scores highest at 10k parameters, in the same block for all" in said(app)
    assert len(app.get("vega_lite_chart")) == 2


def test_the_other_block_has_an_address(blocks: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app(blocks.db, monkeypatch, suite="quick-v2")
    app.segmented_control(key="block").set_value("plain").run()
    expected = [standing(blocks, "quick-v2", "--wrapper", "plain")]
    assert [shown(grid) for grid in grids(app)] == expected
    assert {name for name, _ in expected[0]} == {"fru", "gru"}
    assert "in plain layers as in the RNN papers" in said(app)
    assert app.query_params == {"suite": "quick-v2", "tier": "10k", "block": "plain"}
    again = open_app(blocks.db, monkeypatch, suite="quick-v2", block="plain")
    assert grids(again) == grids(app)
    again.segmented_control(key="block").set_value("residual").run()
    assert "block" not in again.query_params


def test_all_blocks_are_a_table_each(blocks: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app(blocks.db, monkeypatch, suite="quick-v2", block="all")
    residual, plain = (standing(blocks, "quick-v2", "--wrapper", wrapper) for wrapper in ("residual", "plain"))
    assert [shown(grid) for grid in grids(app)] == [residual, plain]
    assert standing(blocks, "quick-v2") == [*residual, *plain]
    assert said(app).count("scores highest at 10k parameters") == 2
    assert len(app.get("vega_lite_chart")) == 2
    app.text_input(key="q").set_value("fru").run()
    assert [grid.names() for grid in grids(app)] == [["fru"], ["fru"]]
    assert "**2 of 5** entries" in said(app)


def test_a_suite_of_protocol_1_begins_as_published(blocks: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app(blocks.db, monkeypatch, suite="quick-v1")
    assert app.query_params == {"suite": "quick-v1", "tier": "10k"}
    assert [shown(grid) for grid in grids(app)] == [standing(blocks, "quick-v1")]
    assert len(models(app)) == 5
    assert "ranked against one another, as this suite was published" in said(app)
    assert "all, as published" in app.segmented_control(key="block").options
    assert "**quick-v1 is superseded:**" in app.warning[0].value
    plain = open_app(blocks.db, monkeypatch, suite="quick-v1", block="plain")
    assert [shown(grid) for grid in grids(plain)] == [standing(blocks, "quick-v1", "--wrapper", "plain")]
    app.segmented_control(key="suite").set_value("quick-v2").run()
    assert "block" not in app.query_params
    assert app.segmented_control(key="block").value == "residual"
    assert not app.warning


def test_equal_time_within_a_block(blocks: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app(blocks.db, monkeypatch, suite="quick-v2", equal="training time", block="plain")
    assert set(models(app)) <= {"fru", "gru"}
    assert "in plain layers" in said(app)


def test_a_block_without_entries_says_how_to_fill_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(Store(str(bench.db)), models=["fru"], suite="quick-v2", wrapper="residual")
    app = open_app(bench.db, monkeypatch, suite="quick-v2", block="plain")
    assert "No runs of quick-v2 here yet" in said(app)
    assert app.code[0].value.endswith("--budget 10k --wrapper plain")
    assert [grid.names() for grid in grids(open_app(bench.db, monkeypatch, block="all"))] == [["fru"]]


# The first view: the map, all tiers, and further pictures


@pytest.fixture(scope="module")
def tiers(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Four architectures at the three tiers of quick-v2, one that learned a task with some seeds; published trials."""
    bench = Bench(tmp_path_factory.mktemp("tiers"))
    store = Store(str(bench.db))
    fill(store, models=["s5", "fru", "none"], suite="quick-v2", tiers=("3k", "10k", "30k"), wrapper="residual")
    values = [Run(**values | {"wrapper": "residual"}) for values in synthetic_runs(["gru"], "quick-v2", ("10k",), 5)]
    for run in values:
        if run.task == "copy-50":
            run.metric_value, run.status = (0.95 if run.seed < 2 else 0.1), "finished"
        run.facts |= {"step_seconds": 0.002, "gpu_joules": 500.0 + run.seed}
        store.record(run)
    tried = [(1e-3, 0.91), (2e-3, 0.8), (1e-2, 0.46)]
    trials = [
        make_trial(number, model="fru", task="copy-50", task_version=2, value=value, settings={"lr": lr})
        for number, (lr, value) in enumerate(tried)
    ]
    store.add_trials(trials, "a" * 64)
    return bench


@pytest.fixture
def first(tiers: Bench, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Opens that database at an address."""
    return lambda **query: open_app(tiers.db, monkeypatch, **query)


def rows_of(bench: Bench, tier: str) -> list[dict[str, Any]]:
    return bench.json("leaderboard", "--suite", "quick-v2", "--budget", tier, "--wrapper", "residual")


def test_the_map_has_every_score_and_leads_to_its_runs(first: Any, tiers: Bench) -> None:
    shown = the_map(first())
    rows = {row["model"]: {cell["task"]: cell for cell in row["tasks"]} for row in rows_of(tiers, "10k")}
    assert shown.names() == ["fru", "gru", "s5", "none"]  # by family
    for task in QUICK_V2.tasks:
        assert shown.columns[task] == [f"{rows[name][task]['score']:.0f}" for name in shown.names()]
        assert shown.links[task] == [f"run?model={name}&task={task}" for name in shown.names()]


def test_the_map_is_hatched_where_seeds_disagree(first: Any) -> None:
    html = next(each.value for each in first().html if CAPTION in each.value)
    told = re.findall('<td class="hatched"[^>]* title="([^"]*)"', html)
    assert [text for text in told if text.startswith("GRU on copy-50")] == [
        "GRU on copy-50: 37.8, 2 of 5 seeds learned"
    ]
    assert not [text for text in told if "0 of 5" in text or "5 of 5" in text]


def test_the_map_is_sorted_as_asked(first: Any, tiers: Bench) -> None:
    by_score = [row["model"] for row in rows_of(tiers, "10k")]
    assert the_map(first(map="score")).names() == by_score
    app = first(map="likeness")
    assert sorted(the_map(app).names()) == sorted(by_score)
    app.segmented_control(key="map").set_value("family").run()
    assert the_map(app).names() == ["fru", "gru", "s5", "none"]


def test_likeness_puts_those_who_score_alike_side_by_side() -> None:
    good, bad = [90.0, 10.0, 80.0], [10.0, 90.0, 5.0]
    order = likeness(np.array([good, bad, [g - 1 for g in good], [b + 2 for b in bad], [g - 2 for g in good]]))
    assert {*order[:3]} == {0, 2, 4}
    assert likeness(np.empty((0, 3))) == []


def test_filters_hide_rows_of_the_map_too(first: Any) -> None:
    assert the_map(first(q="gru")).names() == ["gru"]


def test_all_tiers_stand_in_one_table(first: Any, tiers: Bench) -> None:
    app = first(tier="all tiers")
    ranks = {
        (row["model"], tier): rank(row) for tier in ("3k", "10k", "30k") for row in rows_of(tiers, tier)
    }  # fmt: skip
    shown = table(app)
    assert (
        dict(zip(zip(shown.names(), shown.columns["tier"], strict=True), shown.columns["rank"], strict=True)) == ranks
    )
    scores = shown.numbers("score")
    assert scores == sorted(scores, reverse=True)
    text = said(app)
    best = {tier: rows_of(tiers, tier)[0] for tier in ("3k", "10k", "30k")}
    leads = ", ".join(f"at {tier} **{display_name(row['model'])}** ({row['score']:.1f})" for tier, row in best.items())
    assert f"Highest scores of 100, in the same block for all: {leads}" in text
    auc = max(row["budget_auc"] or 0 for row in rows_of(tiers, "10k"))
    assert f"BudgetAUC {auc:.1f}" in text
    assert "At 3k, it can" in text
    assert "Ranks are among the entries of a tier." in text
    app.segmented_control(key="tier").set_value("3k").run()
    assert "tier" not in table(app).columns


def test_a_suite_of_one_tier_offers_no_others(first: Any) -> None:
    app = first(suite="state-v1", tier="all tiers")
    assert app.segmented_control(key="tier").options == ["10k"]


def test_superseded_suites_are_in_a_menu_with_their_reason(blocks: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app(blocks.db, monkeypatch)
    assert app.query_params["suite"] == "quick-v2"
    assert "quick-v1" not in app.segmented_control(key="suite").options
    assert find_suite("quick-v1").superseded in said(app).replace("\\", "")
    next(button for button in app.button if button.label == "quick-v1").click().run()
    assert app.query_params["suite"] == "quick-v1"
    assert app.segmented_control(key="suite").value == "quick-v1"
    assert [shown(grid) for grid in grids(app)] == [standing(blocks, "quick-v1")]
    assert "No suite that takes new runs has results" not in app.warning[0].value
    app.segmented_control(key="suite").set_value("quick-v2").run()
    assert "quick-v1" not in app.segmented_control(key="suite").options
    assert [shown(grid) for grid in grids(app)] == [standing(blocks, "quick-v2", "--wrapper", "residual")]


def test_where_only_superseded_suites_have_results_the_page_says_so(show: Any) -> None:
    app = show()
    assert app.query_params["suite"] == "quick-v1"
    assert "No suite that takes new runs has results yet." in app.warning[0].value


def test_columns_that_are_computed_where_they_are_shown(first: Any, tiers: Bench) -> None:
    app = first(columns=["mixer", "latency", "memory", "energy", "audit flags", "train time"])
    shown = table(app)
    place = shown.names().index("gru")
    assert {name: shown.columns[name][place] for name in ("latency", "memory", "energy")} == {
        "latency": "2.00 ms", "memory": "1 GiB", "energy": "4.02 kJ",
    }  # fmt: skip
    assert [text for at, text in enumerate(shown.columns["energy"]) if at != place] == ["", "", ""]
    assert "seeds-disagree" in shown.columns["audit flags"][place].split(", ")
    seconds = {row["model"]: row["train_seconds"] for row in rows_of(tiers, "10k")}
    assert shown.columns["train time"] == [duration(seconds[name]) for name in shown.names()]


@pytest.mark.parametrize("picture", [title for title in PICTURES if title != RATES])
def test_every_picture_has_numbers_beside_it(first: Any, picture: str) -> None:
    app = first(picture=picture)
    assert not app.exception
    assert len(app.get("vega_lite_chart")) == 2
    labels = [button.label for button in app.get("download_button")]
    assert labels[-3:] == ["PNG", "SVG", "CSV"]


def test_what_another_learning_rate_costs(first: Any) -> None:
    app = first(picture=RATES)
    shown = next(grid for grid in grids(app) if grid.caption == RATES)
    # Copying is solved at 1 and at chance at 1/10 in these runs: 0.91 is 90, 0.46 is 40; 0.8 has twice the rate only.
    assert (shown.columns["architecture"], shown.columns["copy-50"]) == (["FRU"], ["50.0"])
    assert "are not published yet" in said(first(tier="30k", picture=RATES))


def test_two_entries_task_by_task(first: Any, tiers: Bench) -> None:
    app = first(picture=TWO, first="GRU", second="FRU")
    shown = next(grid for grid in grids(app) if grid.caption == TWO)
    runs = Store(str(tiers.db), read_only=True).runs()
    scores = {
        model: {
            task: [score(run) for run in runs if (run.model, run.task, run.budget) == (model, task, "10k")]
            for task in QUICK_V2.tasks
        }
        for model in ("gru", "fru")
    }
    rates = []
    for task in QUICK_V2.tasks:
        pairs = [(a > b) + (a == b) / 2 for a in scores["gru"][task] for b in scores["fru"][task]]
        rates.append(sum(pairs) / len(pairs))
    assert shown.columns["win rate"] == [f"{rate:.0%}" for rate in rates]
    assert f"in {sum(rates) / len(rates):.0%} of pairs" in said(app)
    assert f"GRU is ahead on {sum(rate > 0.5 for rate in rates)} of 8 tasks" in said(app)
    app.selectbox(key="first").select("FRU").run()
    assert app.selectbox(key="second").value == "S5"  # an entry is not compared with itself
    alone = first(q="gru", picture=TWO)
    assert "one is shown" in said(alone)

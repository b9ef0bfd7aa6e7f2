"""The first page of the app through Streamlit's AppTest, on small and large databases of made-up results."""

from datetime import UTC, datetime
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from bench.catalog.names import display_name
from bench.catalog.suites import find_suite
from bench.reports.listings import model_facts
from db.store import Store
from leaderboard_app.widgets.figures import bytes_text
from tests.conftest import Bench
from tests.leaderboard_app.test_app import open_app, restored_main  # noqa: F401
from tests.support.grids import Grid, grids
from tests.support.synthetic import MACHINES, by_finish, fill

QUICK = find_suite("quick-v1")
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
    app.button[0].click().run()
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
        ({"suite": "quick-v1", "tier": "5k"}, "No tier named '5k'. Tiers: 100k, 10k."),
        ({"suite": "quick-v1", "block": "foo"}, "No block named 'foo'. Blocks: all, plain, residual."),
        ({"suite": "quick-v1", "equal": "foo"}, "No contest named 'foo'. Contests: parameters, training time."),
        ({"suite": "quick-v1", "order": "foo"}, "No order named 'foo'. Orders: "),
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

"""The first page of the app through Streamlit's AppTest, on small and large databases of made-up results."""

import math
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from bench.catalogue import model_facts
from bench.suites import find_suite
from db.store import Store
from tests.conftest import Bench
from tests.synthetic import MACHINES, fill
from tests.test_app import open_app, restored_main  # noqa: F401

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


def table(app: AppTest) -> pd.DataFrame:
    return app.dataframe[0].value


def models(app: AppTest) -> list[str]:
    return [link.partition("name=")[2].partition("#")[0] for link in table(app)["architecture"]]


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
    for column, field in {"score": "score", "parameters": "params", "core": "params_core", "state": "state_bytes",
                          "samples/s": "samples_per_second", "seeds": "seeds", "failures": "failures",
                          "on front": "p_front", "train time": "train_seconds"}.items():  # fmt: skip
        expected = [math.nan if row[field] is None else row[field] for row in rows]
        assert shown[column].to_list() == pytest.approx(expected, nan_ok=True), column
    assert shown["95% interval"].to_list() == [f"{row['score_low']:.1f} – {row['score_high']:.1f}" for row in rows]
    assert shown["tasks"].to_list() == [f"{row['tasks_done']} of {row['tasks_total']}" for row in rows]
    for row, rank in zip(rows, shown["rank"], strict=True):
        low, _, high = rank.replace(" ", "").partition("–")
        assert (low and int(low), high and int(high)) == (
            row["rank_low"] or "", "" if row["rank_low"] == row["rank_high"] else row["rank_high"]
        )  # fmt: skip
    for task in QUICK.tasks:
        scores = [next(each["score"] for each in row["tasks"] if each["task"] == task) for row in rows]
        assert shown[task].to_list() == pytest.approx(scores)


def test_the_first_view_says_who_is_best_how_sure_and_how_verified(show: Any, small: Bench) -> None:
    app = show()
    best = ranked(small)[0]
    text = said(app)
    assert f"**{best['model']}** scores highest at 10k parameters: {best['score']:.1f} of 100" in text
    assert f"{best['score_low']:.1f} to {best['score_high']:.1f}" in text
    assert "points** to be told apart here" in text
    assert "fewer than five seeds on some task is listed and not ranked" in text
    verification = dict(zip(models(app), table(app)["verification"], strict=True))
    assert (verification["gru"], verification["fru"]) == ("✓✓ reproduced", "self-reported")
    assert (models(app)[-1], table(app)["rank"].iloc[-1]) == ("sru", "–")


def test_the_address_of_a_view_reproduces_it(show: Any) -> None:
    """That the widgets write the address is the browser's doing, and tested there."""
    app = show()
    assert app.query_params == {"suite": "quick-v1", "tier": "10k"}
    app.segmented_control(key="tier").set_value("100k").run()
    app.text_input(key="q").set_value("gated").run()
    app.multiselect(key="verification").select("self-reported").run()
    assert set(models(app)) == {"gru", "lstm"}
    again = show(suite="quick-v1", tier="100k", q="gated", verification="self-reported")
    pd.testing.assert_frame_equal(table(again), table(app))
    assert again.segmented_control(key="tier").value == "100k"
    assert again.text_input(key="q").value == "gated"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"q": "FOURIER"}, {"fru"}),
        ({"family": ["convolution", "statistical recurrence"]}, {"fru", "sru", "tcn"}),
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
    ranks = {model: list(row) for model, row in zip(models(every), table(every)[["rank", "score"]].values, strict=True)}
    digits = max(len(rank) for rank, _ in ranks.values())
    for model, (rank, score) in zip(models(some), table(some)[["rank", "score"]].values, strict=True):
        assert (rank.replace(" ", "").rjust(digits), score) == (ranks[model][0].rjust(digits), ranks[model][1])
    counted = f"**{len(expected)} of 6** entries"
    assert (counted in said(some)) == (len(expected) < 6)


def test_filters_that_nothing_passes_and_their_end(show: Any) -> None:
    app = show(q="nothing like it", family="attention", years=["1997", "2000"], causal="causal")
    assert "No entry is like that" in said(app)
    assert not app.dataframe
    app.button[0].click().run()
    assert len(table(app)) == 6
    assert app.query_params == {"suite": "quick-v1", "tier": "10k"}


@pytest.mark.parametrize(
    "query",
    [{"suite": "quick-v9"}, {"tier": "7k"}, {"tier": ""}, {"years": "soon"}, {"family": "<b>"}, {"equal": "luck"},
     {"causal": "x"}, {"verification": "gold"}, {"columns": "x"}],
)  # fmt: skip
def test_an_address_that_makes_no_sense_shows_the_first_view(show: Any, query: dict[str, str]) -> None:
    app = show(**query)
    assert len(table(app)) == 6
    app.run()
    assert app.query_params == {"suite": "quick-v1", "tier": "10k"}


def test_columns_that_are_switched_on(show: Any) -> None:
    app = show()
    assert list(app.dataframe[0].proto.column_order)[:4] == ["rank", "architecture", "score", "95% interval"]
    assert not {*QUICK.tasks, "on front"} & {*app.dataframe[0].proto.column_order}
    app.toggle(key="tasks").set_value(True).run()
    app.multiselect(key="columns").select("on front").run()
    assert list(app.dataframe[0].proto.column_order)[-5:] == [*QUICK.tasks, "on front"]
    again = show(tasks="true", columns="on front")
    assert list(again.dataframe[0].proto.column_order) == list(app.dataframe[0].proto.column_order)


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
    shown = set(zip(models(app), table(app)["tier"], strict=True))
    assert shown == {entry for entry, each in seconds.items() if each <= 600}
    assert "scores highest within 10 min of training on AMD EPYC 7B13\\, 2 threads" in said(app)
    assert "times on other hardware can't be compared" in said(app)
    app.selectbox(key="machine").select(H100).run()
    assert models(app) == ["tcn"]


def test_a_suite_without_runs_says_how_to_fill_it(show: Any) -> None:
    app = show(suite="long-v1", tier="1M")
    assert "No runs of long-v1 here yet" in said(app)
    assert app.code[0].value == "python -m bench suite --suite long-v1 --models fru,lstm,gru --seeds 5 --budget 1M"
    app = show(suite="long-v1", equal="training time")
    assert "no times to compare" in said(app).replace("\\", "")


def test_every_run_task_by_task(show: Any, small: Bench) -> None:
    app = show(suite="by-task", task="digits", size="100k")
    rows = small.json("leaderboard", "--task", "digits", "--budget", "100k")
    assert models(app) == [row["model"] for row in rows]
    assert table(app)["score"].to_list() == pytest.approx([row["score"] for row in rows])
    runs = app.dataframe[1].value
    assert len(runs) == 20
    assert runs["run"].str.startswith("run?id=").all()
    again = show(suite="by-task")
    assert again.query_params["task"] == Store(str(small.db), read_only=True).runs()[-1].task


def test_runs_that_cannot_be_ranked_say_why(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(bench.db))
    fill(store, models=["fru"], config_source={"hidden_size": "preset"})
    fill(store, models=["fru"], seeds=1, machine=1, config_source={"hidden_size": "preset"})  # tuned again
    app = open_app(bench.db, monkeypatch)
    assert "has two results for seed 0" in app.error[0].value.replace("\\", "")
    app.segmented_control(key="suite").set_value("by-task").run()
    assert not app.error
    assert app.dataframe


def test_names_are_shown_as_they_are(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(bench.db))
    fill(store, models=["gru"])
    name = f"model-{HOSTILE}"
    fill(store, models=[name], metric_value=1.0, status="finished", chance=0.0, solved=1.0)
    fill(store, models=[name], seeds=1, budget=None, machine=1)
    app = open_app(bench.db, monkeypatch)
    text = said(app)
    assert name in text.replace("\\", "")
    assert "<img" not in text.replace("\\<", "")
    assert "[x](" not in text
    assert any("belongs to no suite and tier" in caption.value for caption in app.caption)


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

"""The page of a task."""

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from bench.catalog.registry import task_names
from bench.catalog.suites import find_suite
from bench.ranking.by_task import leaderboard
from db.schema import Run
from db.store import Store
from leaderboard_app.views.task import lengths, results
from leaderboard_app.views.task.results import Anchors
from leaderboard_app.widgets.grid import Words
from leaderboard_app.widgets.row_labels import labels
from leaderboard_app.widgets.trained_for import trained
from tests.support.grids import Grid, grids
from tests.support.pages import HOSTILE, assert_escaped, facts, hostile, one_run, open_page, run, said
from tests.support.synthetic import fill, synthetic_runs


def configurations(app: AppTest) -> Grid:
    (table,) = grids(app)
    return table


def runs_in(db: Path) -> list[Run]:
    return Store(str(db), read_only=True).runs()


def test_its_results_are_those_of_the_command_line(small_db: Path) -> None:
    app = open_page("task", small_db, name="digits", tier="10k", training="any training")
    rows = leaderboard(run for run in runs_in(small_db) if (run.task, run.budget) == ("digits", "10k"))
    table = configurations(app)
    assert table.names() == [row.model for row in rows]
    assert table.numbers("score") == pytest.approx([row.score for row in rows], abs=0.05)
    assert table.numbers("seeds") == [len(row.seeds) for row in rows]
    assert table.numbers("parameters") == [row.params for row in rows]


def test_every_seed_is_a_dot_between_the_anchors(small_db: Path) -> None:
    assert len(open_page("task", small_db, name="adding-200", tier="10k").get("vega_lite_chart")) == 1
    runs = [run for run in runs_in(small_db) if (run.task, run.budget) == ("adding-200", "10k")]
    rows = leaderboard(runs)
    frame = results.seeds(rows, labels(rows), {run.run_id: run for run in runs})
    drawn = results.dots(frame, Anchors("mse", 1 / 6, 1e-3)).to_dict()
    anchors, dots = sorted(drawn["datasets"].values(), key=len)
    assert {(row["what"], row["value"]) for row in anchors} == {("trivial", 1 / 6), ("solved", 1e-3)}
    assert sorted(row["value"] for row in dots) == sorted(run.metric_value for run in runs if run.metric_value)


def test_labels_say_what_differs_and_no_two_are_alike() -> None:
    def config(lr: float) -> dict[str, Any]:
        return {"model": {}, "wrapper": {}, "training": {"lr": lr, "epochs": 9}}

    given = {"lr": "flag", "epochs": "flag"}
    runs = [
        one_run("1" * 16, budget="10k", config=config(0.1), config_source=given),
        one_run("2" * 16, budget="10k", config=config(0.2), config_source=given),
        one_run("3" * 16, budget="100k", config=config(0.1), config_source=given),
        one_run("4" * 16, budget="10k", config=config(0.1), config_source=given, protocol=2),
        one_run("5" * 16, model="gru", wrapper="residual", budget="10k", config=config(0.1), config_source=given),
    ]
    assert sorted(labels(leaderboard(runs))) == [
        "FRU · 100k", "FRU · 10k · lr=0.1", "FRU · 10k · lr=0.1 (2)", "FRU · 10k · lr=0.2", "GRU · 10k",
    ]  # fmt: skip
    tuned = one_run("6" * 16, budget="10k", config=config(0.2), config_source={"lr": "preset"})
    assert sorted(labels(leaderboard([runs[0], tuned]))) == ["FRU · by hand", "FRU · tuned"]
    assert labels(leaderboard(runs[:1])) == ["FRU"]
    assert labels([]) == []


def test_rows_say_how_long_they_were_trained_and_with_which_settings() -> None:
    """To three digits, the model's own first, what tuning found marked, what a suite fixes only where rows differ."""
    chosen: dict[str, Any] = {"lr": 0.019076433038108097, "lr_schedule": "constant"}
    sources = dict.fromkeys(chosen, "preset: 12 trials of 3000 steps") | {"dt_min": "flag", "batch_size": "flag"}

    def trained_for(steps: int, batch_size: int = 64, **changes: Any) -> Run:
        training = chosen | {"max_steps": steps, "batch_size": batch_size, "epochs": 60}
        config = {"model": {"dt_min": 0.1 + 0.2}, "wrapper": {}, "training": training}
        own = {"config": config, "config_source": sources | {"max_steps": "flag"}, "steps": 5}
        return one_run(f"{steps:012d}{batch_size:04d}", **own | changes)

    epochs = one_run(
        "e" * 16, model="gru", task="fashion", config={"model": {}, "wrapper": {}, "training": {"epochs": 60}}
    )
    by_size = [trained_for(9, task="copy-100"), trained_for(9, 128, task="copy-100")]
    runs = [trained_for(3_000), trained_for(24_000), epochs, *by_size]
    cells = [(row.model, steps, text(settings)) for row, steps, settings in trained(leaderboard(runs))]
    words = "dt_min=0.3 *lr=0.0191* *lr_schedule=constant*"
    assert sorted(cells) == sorted([
        ("fru", "3,000", words), ("fru", "24,000", words), ("gru", "60 epochs", "defaults"),
        ("fru", "9", f"{words} batch_size=64"), ("fru", "9", f"{words} batch_size=128"),
    ])  # fmt: skip


def text(settings: Words) -> str:
    return " ".join(f"*{word.text}*" if word.marked else word.text for word in settings.words)


def test_better_is_to_the_right_for_errors_too() -> None:
    error, accuracy = Anchors("mse", 1 / 6, 1e-3), Anchors("accuracy", 0.1, 1.0)
    scale = results._scale(error, [1e-3, 1 / 6]).to_dict()
    assert (scale["type"], scale["reverse"]) == ("log", True)
    assert "reverse" not in results._scale(accuracy, [0.1, 1.0]).to_dict()


def test_failures_are_counted_where_there_is_no_dot(small_db: Path) -> None:
    failed = [run for run in runs_in(small_db) if run.task == "digits" and run.status != "finished"]
    app = open_page("task", small_db, name="digits", training="any training")
    assert len(failed) > 2
    assert f"{len(failed)} runs did not finish successfully" in said(app)


def test_filters(small_db: Path) -> None:
    app = open_page("task", small_db, name="digits")
    tier, training = app.segmented_control
    assert tier.options == ["all", "10k", "100k"]
    assert training.options == ["quick-v1", "any training"]
    everything = len(configurations(app).faded)
    tier.set_value("100k")
    run(app, small_db)
    assert 0 < len(configurations(app).faded) < everything


def test_runs_trained_otherwise_are_apart(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    fill(store, models=("fru",))
    store.record(one_run("f" * 16, task="digits", config={"model": {}, "wrapper": {}, "training": {"max_steps": 7}}))
    assert configurations(open_page("task", tmp_path / "board.sqlite", name="digits")).numbers("seeds") == [5]
    app = open_page("task", tmp_path / "board.sqlite", name="digits", training="any training")
    assert sorted(configurations(app).columns["seeds"]) == ["1", "5"]


def test_withdrawn_runs_are_left_out(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    runs = fill(store, models=("fru",))
    store.add_event(next(run for run in runs if run.task == "digits"), "retracted", "wrong")
    assert configurations(open_page("task", tmp_path / "board.sqlite", name="digits")).numbers("seeds") == [4]


def test_definition_and_facts(small_db: Path) -> None:
    app = open_page("task", small_db, name="adding-200")
    assert "the sum of the two marked numbers" in said(app)
    assert any(">>> task = Adding(tiny=True)" in each.value for each in app.code)
    shown = facts(app)
    assert shown["input"] == "200 steps of 2 real"
    assert shown["trivial predictor"] == "0.167: a score of 0"
    assert shown["counts as solved"] == "0.001: a score of 100"
    assert shown["licence"] == "MIT"
    assert shown["version"] == "1"
    assert "[adding-400](task?name=adding-400)" in shown["other variants"]


def test_what_takes_no_memory_of_order(small_db: Path) -> None:
    app = open_page("task", small_db, name="adding-200")
    (table,) = [each.value for each in app.table if "predictor" in each.value]
    held = dict(zip(table["predictor"].str.replace("\\", ""), table["score"], strict=True))
    assert held["hidden-bag"] == "100.0"
    assert held["majority"] == "0.0"
    assert not [each for each in open_page("task", small_db, name="digits").table if "predictor" in each.value]


def test_split_hashes_and_their_disagreement(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    store.record(one_run("a" * 16, facts={"splits": {"test": "abc", "train": "def"}}))
    store.record(one_run("b" * 16, seed=1, facts={"splits": {"test": "abc", "train": "def"}}))
    app = open_page("task", tmp_path / "board.sqlite", name="digits")
    assert app.code[-1].value.splitlines() == ["abc  test, version 1", "def  train, version 1"]
    assert not app.warning
    store.record(one_run("c" * 16, seed=2, facts={"splits": {"test": "xyz"}}))
    assert "different data" in open_page("task", tmp_path / "board.sqlite", name="digits").warning[0].value


def test_lengths_by_hand() -> None:
    runs = [
        one_run("a" * 16, task="parity-40", metric_value=1.0, metrics={"test-2x": {"accuracy": 0.8}, "test": {}}),
        one_run("b" * 16, task="parity-40", metric_value=0.8, metrics={"test-2x": {"accuracy": 0.6}}, seed=1),
        one_run("c" * 16, task="parity-200", metric_value=None, status="failed", metrics={}),
        one_run("d" * 16, task="parity-40", metric_value=None, status="diverged", metrics={}, seed=2),
    ]
    found = lengths.points(runs, {"parity-40": 40, "parity-200": 200})
    assert [(point.trained_at, point.length, pytest.approx(point.value), point.seeds) for point in found] == [
        (40, 40, 0.9, 2), (40, 80, 0.7, 2),
    ]  # fmt: skip
    assert {point.failures for point in found} == {1}


def test_a_point_has_the_seeds_of_one_training() -> None:
    """Whoever trains for longer has other points, and so has another wrapper."""
    trained = {steps: {"training": {"max_steps": steps}} for steps in (3_000, 24_000)}
    runs = [
        one_run("a" * 16, task="parity-40", metric_value=0.5, config=trained[3_000]),
        one_run("b" * 16, task="parity-40", metric_value=1.0, config=trained[24_000]),
        one_run("c" * 16, task="parity-40", metric_value=0.6, config=trained[3_000], wrapper="residual"),
    ]
    found = lengths.points(runs, {"parity-40": 40})
    assert [(point.wrapper, point.training, point.value, point.seeds) for point in found] == [
        ("plain", "24000 steps", 1.0, 1), ("plain", "3000 steps", 0.5, 1), ("residual", "3000 steps", 0.6, 1),
    ]  # fmt: skip


def test_lengths_are_of_runs_trained_as_in_the_chosen_suite(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    fill(store, models=("fru",))
    quick = find_suite("quick-v1").tasks["adding-200"]
    for number, changes in enumerate(({}, {"max_steps": 9_000})):
        config = {"model": {}, "training": {**quick, **changes}}
        store.record(one_run(f"{number:x}" * 16, task="adding-400", config=config, budget="10k", metric_value=0.1))
    app = open_page("task", tmp_path / "board.sqlite", name="adding-200", training="quick-v1")
    table = next(each.value for each in app.table if "tested at" in each.value.columns)
    assert list(zip(table["tested at"], table["seeds"], strict=True)) == [("200", "5"), ("400", "1")]


def test_the_legend_of_lengths_leaves_the_plot_its_size() -> None:
    """Below the plot, which is as wide as a telephone's screen then, and with height of its own."""

    def drawn(models: int) -> dict[str, Any]:
        found = [lengths.Point(f"m{index}", "plain", "10k", "9 steps", 40, 40, 0.9, 5, 0) for index in range(models)]
        return lengths.chart(found, Anchors("accuracy", 0.1, 1.0)).to_dict()

    one, many = drawn(1), drawn(21)
    legends = [layer["encoding"]["color"]["legend"] for layer in many["layer"]]
    assert {(legend["orient"], legend["columns"]) for legend in legends} == {("bottom", 3)}
    assert many["height"] - one["height"] == 6 * lengths.LEGEND_ROW


def test_lengths_are_shown_where_a_family_has_several(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    fill(store, models=("fru", "gru"))
    fill(store, models=("fru", "gru"), suite="long-v2")
    app = open_page("task", tmp_path / "board.sqlite", name="adding-200", training="any training")
    assert "Against the length" in said(app)
    table = next(each.value for each in app.table if "tested at" in each.value.columns)
    assert set(table["tested at"]) == {"200", "2,000"}
    assert "Against the length" not in said(open_page("task", tmp_path / "board.sqlite", name="digits"))


def test_a_task_that_is_not_in_the_code(tmp_path: Path) -> None:
    Store(str(tmp_path / "board.sqlite")).record(one_run(task="their-task", task_version=3))
    app = open_page("task", tmp_path / "board.sqlite", name="their-task")
    assert "not in this copy of the code" in app.info[0].value
    assert facts(app)["version"] == "3"
    assert configurations(app).names() == ["fru"]


def test_hostile_text_is_only_text(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    values = next(synthetic_runs(("model-h",), "quick-v1", ("10k",), 1))
    bad = values | hostile(0) | {"task": HOSTILE, "task_version": 1, "status": "finished", "metric_value": 0.5}
    store.record(Run(**bad))
    assert_escaped(open_page("task", tmp_path / "board.sqlite", name=HOSTILE))
    assert_escaped(open_page("task", tmp_path / "board.sqlite"))


def test_a_name_that_does_not_exist(small_db: Path) -> None:
    app = open_page("task", small_db, name="diggits")
    assert "No task named 'diggits'. Did you mean 'digits'? Tasks: adding-100" in app.error[0].value.replace("\\", "")
    assert app.title[0].value == "Tasks"
    wrong = open_page("task", small_db, name="digits", tier="1G")
    assert "No parameter tier named '1G'" in wrong.error[0].value.replace("\\", "")
    assert configurations(wrong).names()


def test_without_a_name_every_task_is_listed(small_db: Path, empty_db: Path, large_db: Path) -> None:
    for db in (small_db, large_db, empty_db):
        listed = said(open_page("task", db))
        assert all(f"[{name}](task?name={name})" in listed for name in task_names())
    empty = open_page("task", empty_db, name="digits")
    assert "No runs of this task yet" in empty.info[0].value
    assert any("--task digits" in each.value for each in empty.code)


def test_a_large_database(large_db: Path) -> None:
    app = open_page("task", large_db, name="listops-2")
    assert len(configurations(app).faded) == 150
    assert "The best 40 of 150 configurations are drawn" in said(app)

"""The page that sets entries side by side."""

import json
from pathlib import Path
from typing import Any

from scipy import stats

from bench.catalog.names import display_name
from bench.catalog.suites import find_suite
from bench.ranking.cells import EntryKey
from bench.ranking.utility import score
from bench.reports.board import suite_boards
from db.schema import Run
from db.store import Store
from leaderboard_app.views.compare import diff
from leaderboard_app.views.compare.gaps import sentence
from leaderboard_app.views.compare.sides import Sides
from leaderboard_app.widgets.links import entry_id
from tests.support.pages import HOSTILE, assert_escaped, hostile, one_run, open_page, run, said
from tests.support.synthetic import fill, synthetic_runs

FRU, LSTM, GRU = (f"{name} plain 10k defaults" for name in ("fru", "lstm", "gru"))


def table(app: Any, column: str) -> Any:
    return next(each.value for each in app.table if column in [name.replace("\\", "") for name in each.value.columns])


def clean(values: Any) -> list[str]:
    return [str(value).replace("\\", "") for value in values]


def scores(db: Path, model: str, task: str) -> list[float]:
    runs = Store(str(db), read_only=True).runs(task=task, model=model)
    return [score(run) for run in runs if run.budget == "10k"]


def test_differences_are_welchs(small_db: Path) -> None:
    app = open_page("compare", small_db, suite="quick-v1", entries=[FRU, GRU])
    shown = table(app, "GRU, difference")
    for _, row in shown.iloc[1:].iterrows():
        task, own = row.iloc[0].replace("\\", ""), clean(row)
        gru, fru = scores(small_db, "gru", task), scores(small_db, "fru", task)
        interval = stats.ttest_ind(gru, fru, equal_var=False).confidence_interval(0.95)
        gap = sum(gru) / len(gru) - sum(fru) / len(fru)
        expected = f"{gap:+.1f} ({interval.low:+.1f} to {interval.high:+.1f})"
        assert own[1:] == [f"{sum(fru) / 5:.1f}", f"{sum(gru) / 5:.1f}", expected.replace("-", "−")]


def test_entries_are_as_on_the_board(small_db: Path) -> None:
    (board,) = suite_boards(Store(str(small_db), read_only=True), find_suite("quick-v1"), "10k")
    chosen = [row for row in board.rows if row.model in ("fru", "gru")]
    app = open_page("compare", small_db, suite="quick-v1", entries=[entry_id(row) for row in chosen])
    summary = table(app, "rank in its tier")
    assert clean(summary["score"]) == [f"{row.score:.1f}" for row in chosen]
    assert clean(summary["parameters"]) == [f"{row.params:,.0f}" for row in chosen]
    overall = table(app, f"{display_name(chosen[1].model)}, difference").iloc[0]
    assert clean(overall)[1:3] == [f"{row.score:.1f}" for row in chosen]


def test_four_entries_of_several_tiers(small_db: Path) -> None:
    entries = [FRU, LSTM, "fru plain 100k defaults", "mine@1234abcd plain 10k defaults"]
    app = open_page("compare", small_db, suite="quick-v1", entries=entries)
    assert [each.replace("\\", "").split("]")[0] for each in table(app, "rank in its tier")["entry"]] == [
        "[FRU · 10k", "[LSTM · 10k", "[FRU · 100k", "[mine@1234abcd · 10k",
    ]  # fmt: skip
    assert len(app.get("vega_lite_chart")) == 2


def test_settings_that_differ(small_db: Path) -> None:
    app = open_page("compare", small_db, suite="quick-v1", entries=[FRU, "fru plain 100k defaults"])
    few = table(app, "setting")
    assert list(few["setting"]) == ["`FRU: hidden_size`"]
    assert "`93`" in few.iloc[0].tolist()
    app.toggle[0].set_value(True)
    every = table(run(app, small_db), "setting")
    assert set(every["setting"]) == {"`FRU: hidden_size`", "`depth`", "`max_steps`", "`batch_size`", "`patience`"}


def test_settings_of_two_models_are_two_things() -> None:
    first = one_run(config={"model": {"size": 3}, "wrapper": {"depth": 2}, "training": {}})
    second = one_run(model="gru", config={"model": {"size": 3}, "wrapper": {"depth": 2}, "training": {}})
    configs = {"fru": diff.flat(first), "gru": diff.flat(second)}
    assert [name for name in diff.names(configs) if diff.differs(name, configs)] == ["FRU: size", "GRU: size"]


def test_settings_have_three_digits_and_what_tuning_chose_is_bold() -> None:
    """The architectures' own come first, also those that the first entry does not have."""

    def settings(model: str, lr: float, sources: dict[str, str]) -> dict[str, diff.Setting]:
        config = {"model": {"size": 8}, "wrapper": {"depth": 2}, "training": {"lr": lr}}
        return diff.flat(one_run(model=model, config=config, config_source=sources))

    configs = {"FRU": settings("fru", 0.002062515711686576, {"lr": "preset"}), "GRU": settings("gru", 0.004125031, {})}
    assert diff.names(configs) == ["FRU: size", "GRU: size", "depth", "lr"]
    assert list(diff._row("lr", configs).values()) == ["`lr`", "**`0.00206`**", "`0.00413`"]


def test_curves_of_the_chosen_task(small_db: Path) -> None:
    app = open_page("compare", small_db, suite="quick-v1", entries=[FRU, LSTM], task="digits")
    curves = table(app, "curves")
    assert curves["curves"].tolist() == ["5", "0"]
    last = [
        point.value
        for run in Store(str(small_db), read_only=True).runs(task="digits", model="fru")
        if run.budget == "10k"
        for point in Store(str(small_db), read_only=True).curves(run)
        if point.name == "validation/accuracy" and point.epoch == 10
    ]
    assert curves["at the end"][0] == f"{sum(last) / 5:.4f}"


def test_tasks_that_only_one_has_are_left_out(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    fill(store, models=("fru",))
    for values in synthetic_runs(("lstm",), "quick-v1", ("10k",), 5):
        if values["task"] != "digits":
            store.record(Run(**values))
    app = open_page("compare", tmp_path / "board.sqlite", suite="quick-v1", entries=[FRU, LSTM])
    assert "on the 3 of 4 tasks that both have" in said(app)
    digits = next(row for _, row in table(app, "LSTM, difference").iterrows() if row.iloc[0] == "digits")
    assert digits.tolist()[2:] == ["–", "–"]


def test_what_an_interval_says() -> None:
    from bench.ranking import difference

    def told(low: float | None, high: float | None) -> str:
        gap = difference.Difference(score=-4.0, low=low, high=high)
        return sentence("b", "a", difference.Differences(by_task={"t": gap}, overall=gap), 1)

    assert told(-6.0, -2.0).endswith("is larger than the variation between seeds explains.")
    assert told(-6.0, 2.0).endswith("could be zero.")
    assert "4.0 points below a" in told(-6.0, 2.0)
    assert "too few seeds" in told(None, None)
    assert "no task in common" in sentence("b", "a", difference.Differences(by_task={}, overall=None), 1)


def test_entries_differ_in_colour_shape_and_dash_also_where_their_architecture_is_the_same() -> None:
    keys = [EntryKey("fru", "plain", tier, "defaults", "") for tier in ("10k", "100k")]
    sides = Sides((*keys, EntryKey("rnn", "plain", "10k", "defaults", "")))
    assert sides.names == ["FRU · 10k", "FRU · 100k", "RNN · 10k"]
    for channel in (sides.colour, sides.shape, sides.dash):
        scale = channel(sides.names).to_dict()["scale"]
        assert scale["domain"] == sides.names
        assert len({str(each) for each in scale["range"]}) == 3


def test_both_charts_have_a_legend(small_db: Path) -> None:
    app = open_page("compare", small_db, suite="quick-v1", entries=[FRU, LSTM, GRU], task="digits")
    gaps, curves = (json.loads(each.proto.spec) for each in app.get("vega_lite_chart"))
    for layer in gaps["layer"][1:]:
        assert layer["encoding"]["color"]["legend"]["values"] == ["LSTM", "GRU"]
    for layer in curves["layer"]:
        assert layer["encoding"]["color"]["legend"]["orient"] == "top"
        assert layer["encoding"]["color"]["scale"]["domain"] == ["FRU", "LSTM", "GRU"]


def test_withdrawn_runs_do_not_count(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    runs = fill(store, models=("fru", "lstm"))
    for run_ in runs:
        if run_.model == "lstm":
            store.add_event(run_, "retracted", "wrong")
    app = open_page("compare", tmp_path / "board.sqlite", suite="quick-v1", entries=[FRU, LSTM])
    assert "No entry named 'lstm plain 10k defaults'" in app.error[0].value.replace("\\", "")


def test_names_that_do_not_exist(small_db: Path) -> None:
    app = open_page("compare", small_db, suite="quick-v1", entries=["fruu plain 10k defaults", GRU])
    assert "Did you mean 'fru plain 10k defaults'?" in app.error[0].value.replace("\\", "")
    assert app.multiselect[0].value == [GRU]
    wrong = open_page("compare", small_db, suite="quick")
    assert "No suite named 'quick'. Did you mean 'quick-v" in wrong.error[0].value.replace("\\", "")


def test_hostile_text_is_only_text(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    fill(store, models=("fru",))
    for number, values in enumerate(synthetic_runs(("model-h",), "quick-v1", ("10k",), 2)):
        config = {"model": {HOSTILE: HOSTILE}, "wrapper": {}, "training": values["config"]["training"]}
        store.record(Run(**values | hostile(number) | {"config": config}))
    (bad,) = (name for name in open_page("compare", tmp_path / "board.sqlite").multiselect[0].options if "img" in name)
    assert_escaped(open_page("compare", tmp_path / "board.sqlite", entries=[FRU, bad]))


def test_empty_and_large_databases(empty_db: Path, large_db: Path) -> None:
    assert "No entry of quick-v1 yet" in open_page("compare", empty_db).info[0].value
    assert "Choose two entries or more" in open_page("compare", large_db).info[0].value
    app = open_page("compare", large_db, suite="long-v2", entries=[FRU, "model-7 plain 10k defaults"])
    assert len(table(app, "model-7, difference")) == 11


def test_two_results_of_one_seed_are_refused(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    fill(store, models=("fru",))
    again = next(synthetic_runs(("fru",), "quick-v1", ("10k",), 1))
    store.record(Run(**again | {"run_id": "f" * 16, "config": again["config"] | {"model": {"size": 9}}}))
    app = open_page("compare", tmp_path / "board.sqlite", suite="quick-v1")
    assert "has two results for seed 0" in app.error[0].value.replace("\\", "")

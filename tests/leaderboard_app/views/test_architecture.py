"""The page of an architecture."""

from pathlib import Path
from typing import Any

import pytest

import bench.runs.presets
from bench.catalog.names import display_name
from bench.catalog.registry import find_model, model_names
from bench.catalog.suites import find_suite
from bench.common.errors import RequestError
from bench.probe.events import PROBES
from bench.ranking.by_task import leaderboard
from bench.reports.board import suite_boards
from db.store import Store
from tests.support.grids import grids
from tests.support.pages import HOSTILE, assert_escaped, facts, one_run, open_page, probes, said
from tests.support.synthetic import fill


def table(app: Any, column: str) -> Any:
    return next(each.value for each in app.table if column in each.value.columns)


@pytest.mark.parametrize("name", model_names())
def test_the_card_of_every_architecture(empty_db: Path, name: str) -> None:
    app, cls = open_page("architecture", empty_db, name=name), find_model(name).cls
    shown = facts(app)
    assert cls.paper.title in shown["paper"]
    assert cls.paper.url in shown["paper"]
    assert str(cls.paper.year) in shown["paper"]
    assert shown["family"] == cls.family
    assert shown["causal"].startswith("yes" if cls.causal else "no")
    assert shown["step by step"].startswith("yes" if cls.is_recurrent() else "no")
    assert shown["time"].startswith("O(")
    assert shown["state"] != "see its file"
    differs = {key.partition(": ")[2]: why for key, why in shown.items() if key.startswith("differs from its authors'")}
    assert differs == dict(cls.deviations)
    assert any(f"--model {name} " in each.value for each in app.code)


def test_its_equations_and_its_code(empty_db: Path) -> None:
    app = open_page("architecture", empty_db, name="fru")
    assert any("φ_t = σ(W_x x_t + W_h r_t + b_φ)" in each.value for each in app.code)
    source = next(each.value for each in app.code if "class FRU" in each.value)
    assert source == find_model("fru").path.read_text("utf-8").strip()
    assert find_model("fru").source_hash in said(app)


def test_its_scores_are_those_of_the_boards(small_db: Path) -> None:
    scores = table(open_page("architecture", small_db, name="fru"), "95% interval")
    store = Store(str(small_db), read_only=True)
    for tier, (_, shown) in zip(("10k", "100k"), scores.iterrows(), strict=True):
        row = next(row for row in suite_boards(store, find_suite("quick-v1"), tier)[0].rows if row.model == "fru")
        assert shown["score"] == f"{row.score:.1f}"
        assert shown["95% interval"] == f"{row.score_low:.1f} to {row.score_high:.1f}"
        assert shown["rank"] in (f"{row.rank_low}–{row.rank_high}", f"{row.rank_low}")
        assert shown["parameters"] == f"{row.params:,.0f}"
        assert shown["tasks"] == "4 of 4"
        assert f"suite=quick-v1&tier={tier}" in shown["suite"]


def test_its_tasks(small_db: Path) -> None:
    (tasks,) = grids(open_page("architecture", small_db, name="gru"))
    rows = leaderboard(Store(str(small_db), read_only=True).runs(model="gru"))
    assert tasks.names("task") == [row.task for row in rows]
    assert len(rows) == 8
    assert tasks.numbers("score") == pytest.approx([row.score for row in rows], abs=0.05)
    assert tasks.numbers("parameters") == [row.params for row in rows]
    steps = {name: f"{settings['max_steps']:,}" for name, settings in find_suite("quick-v1").tasks.items()}
    assert tasks.columns["steps"] == [steps[row.task] for row in rows]
    assert tasks.links["runs"] == [f"run?model=gru&task={row.task}" for row in rows]


def test_its_cost_with_the_latency_of_a_step(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    machine = {"cpu": "A CPU", "threads": 2}
    for seed, step in enumerate((1e-4, 3e-4, 2e-4)):
        facts_ = {"step_seconds": step, "splits": {}}
        changes = {"budget": "10k", "facts": facts_, "environment": machine, "state_bytes": 400}
        store.record(one_run(f"{seed:016x}", seed=seed, **changes))
    costs = table(open_page("architecture", tmp_path / "board.sqlite", name="fru"), "one step of a stream")
    assert costs["one step of a stream"].tolist() == ["200 µs"]
    assert costs["hardware"].tolist() == ["A CPU\\, 2 threads"]
    assert costs["state of a sequence"].tolist() == ["400 B"]


def test_tuned_settings_of_presets_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.runs.presets, "FOLDER", tmp_path / "presets")
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "gru.toml").write_text(
        '[plain.digits.10k."12 trials of 1000 steps"]\nlr = 0.0123456\nclip_norm = "none"\nbatch_size = 64\nsize = 8\n'
    )
    store, sources = Store(str(tmp_path / "board.sqlite")), {"lr": "preset", "clip_norm": "preset"}
    for run_id, lr in (("1" * 16, 0.0123456), ("2" * 16, 0.03)):
        config = {"model": {}, "wrapper": {}, "training": {"lr": lr, "clip_norm": None, "epochs": 2}}
        store.record(one_run(run_id, model="gru", budget="10k", config=config, config_source=sources))
    tuned = table(open_page("architecture", tmp_path / "board.sqlite", name="gru"), "settings")
    assert list(tuned["settings"]) == ["`size=8`, `clip_norm=none`, `lr=0.0123`", "`clip_norm=none`, `lr=0.03`"]
    assert tuned["from"][0] == "preset of 12 trials of 1000 steps"
    assert f"run?id={'2' * 16}" in tuned["from"][1], "the first run's are the preset's"
    (tmp_path / "presets" / "gru.toml").write_text("not toml")
    assert "is not TOML" in open_page("architecture", tmp_path / "board.sqlite", name="gru").warning[0].value


def test_probes(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    (run, *_) = fill(store, models=("fru",))
    for data in probes(run.run_id):
        store.add_event(run, "probe", "", data)
    app = open_page("architecture", tmp_path / "board.sqlite", name="fru")
    page = said(app)
    assert "Solved: **up to 120 steps**; not at 220 (copy, 3000 steps, seeds 0)" in page
    assert "Theorem 3" in page
    flow = table(app, "gradient, first input")
    assert flow["gradient, first input"].tolist() == [f"{1e-2 * decay**119:.3g}" for decay in (0.9, 0.98)]
    assert flow["bounds of theory"].tolist() == ["0.45 to 1.5"] * 2
    rungs = next(each.value for each in app.table if "solved" in each.value.columns)
    assert rungs["solved"].tolist() == ["yes", "no"]
    longer = next(each.value for each in app.table if "accuracy" in each.value.columns)
    assert longer["accuracy"].tolist() == ["0.9900", "0.6100"]
    assert "Solved: **after 2 × the suite's training** (copy-100, seeds 0, 1)" in page
    trainings = next(each.value for each in app.table if {"training", "solved"} <= set(each.value.columns))
    assert [each.replace("\\", "") for each in trainings["training"]] == ["3000 steps (× 1)", "6000 steps (× 2)"]
    assert trainings["seconds"].tolist() == ["15", "31"]
    assert len(app.get("vega_lite_chart")) == 5


def test_searches_that_train_for_longer_stand_beside_the_others(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    run = store.record(one_run(budget="10k"))
    _, search, *_ = probes(run.run_id)
    for training in ("3000 steps", "30000 steps"):
        store.add_event(run, "probe", "", dict(search) | {"training": training})
    app = open_page("architecture", tmp_path / "board.sqlite", name="fru")
    choices = app.selectbox(key="dependency-length").options
    assert choices == ["copy · 10k · 3000 steps", "copy · 10k · 30000 steps"]
    assert "(copy, 3000 steps, seeds 0)" in said(app)


def test_a_probe_of_what_exploded_or_has_no_state(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    run = store.record(one_run())
    flow, _, longer, _ = probes(run.run_id)
    missing = {"input": [None] * 9, "initial_state": None, "state_gain": None, "bounds": None}
    gain = {"state_gain": {"low": None, "mean": None, "high": None}, "input": None}
    flow = dict(flow) | {"measured": [flow["measured"][0] | missing, flow["measured"][1] | gain]}
    longer = dict(longer) | {"lengths": [each | {"value": None, "utility": None} for each in longer["lengths"]]}
    for data in (flow, longer):
        store.add_event(run, "probe", "", data)
    app = open_page("architecture", tmp_path / "board.sqlite", name="fru")
    assert "in another form" not in said(app)
    shown = table(app, "gradient, first input")
    assert shown["gradient, last input"].tolist() == shown["gain of the state"].tolist() == ["–", "–"]
    assert shown["bounds of theory"].tolist() == ["–", "0.45 to 1.5"]
    assert said(app).count("No gradient is above zero and finite") == 2


@pytest.mark.parametrize("broken", [{}, {"measured": None}, {"measured": [{"when": "x"}]}, {"rungs": 3}])
def test_a_probe_in_another_form_is_shown_as_stored(tmp_path: Path, broken: dict[str, Any]) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    run = store.record(one_run())
    for kind in PROBES:
        store.add_event(run, "probe", "", {"probe": kind, **broken})
    app = open_page("architecture", tmp_path / "board.sqlite", name="fru")
    assert len([each for each in app.warning if "in another form" in each.value]) == len(PROBES)
    assert len(app.json) == len(PROBES)


def test_an_architecture_that_is_not_in_the_code(small_db: Path) -> None:
    app = open_page("architecture", small_db, name="mine@1234abcd")
    assert "not in this copy of the code" in app.info[0].value
    assert len(grids(app)[0].names("task")) == 4
    assert not any("python -m bench" in each.value for each in app.code)


@pytest.mark.parametrize("name", ["{}", "{}.py", "../models/fru", "FRU", "fru.py", "models.fru"])
def test_nothing_is_imported_for_a_name_from_the_database(tmp_path: Path, name: str) -> None:
    target, mark = tmp_path / "evil.py", tmp_path / "imported"
    target.write_text(f"import pathlib; pathlib.Path({str(mark)!r}).touch()")
    name = name.format(target.with_suffix(""))
    Store(str(tmp_path / "board.sqlite")).record(one_run(model=name))
    app = open_page("architecture", tmp_path / "board.sqlite", name=name)
    assert "not in this copy of the code" in app.info[0].value
    assert not mark.exists()


def test_a_broken_file_leaves_what_is_stored(small_db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise RequestError(f"models/{name}.py does not import: SyntaxError: {HOSTILE}")

    monkeypatch.setattr("leaderboard_app.views.architecture.card.find_model", broken)
    monkeypatch.setattr("bench.catalog.registry.find_model", broken)
    app = open_page("architecture", small_db, name="fru")
    assert "does not import" in app.error[0].value
    assert_escaped(app)
    assert len(grids(app)[0].names("task")) == 8


def test_hostile_text_is_only_text(small_db: Path) -> None:
    app = open_page("architecture", small_db, name=HOSTILE)
    assert_escaped(app)
    assert not any(HOSTILE in each.value for each in app.code), "no command is made of foreign text"
    assert_escaped(open_page("architecture", small_db))


def test_a_name_that_does_not_exist(small_db: Path) -> None:
    app = open_page("architecture", small_db, name="fruu")
    assert "No architecture named 'fruu'. Did you mean 'fru'?" in app.error[0].value.replace("\\", "")
    assert app.title[0].value == "Architectures"


def test_without_a_name_every_architecture_is_listed(small_db: Path, empty_db: Path, large_db: Path) -> None:
    for db in (small_db, empty_db, large_db):
        listed = said(open_page("architecture", db))
        assert all(f"[{display_name(name)}](architecture?name={name})" in listed for name in model_names())
    empty = open_page("architecture", empty_db, name="fru")
    assert "No results yet" in empty.info[0].value


def test_a_large_database(large_db: Path) -> None:
    app = open_page("architecture", large_db, name="fru")
    assert table(app, "95% interval")["suite"].str.extract(r"suite=([\w-]+)")[0].tolist() == [
        "quick-v1", "quick-v1", *["long-v1"] * 3, *["long-v2"] * 3, "lra-v2",
    ]  # fmt: skip
    assert len(grids(app)[0].names("task")) == 4 * 2 + 10 * 3 + 4  # tasks × tiers of the three suites

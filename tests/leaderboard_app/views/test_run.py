"""The page of a run."""

import shlex
from pathlib import Path

import pytest

from bench.ranking.utility import score
from bench.reproduce.fru_paper import PROTOCOLS, chosen, requests
from bench.runs import presets
from db.schema import CurvePoint, Run
from db.store import Store
from leaderboard_app.views.run.command import is_plain
from leaderboard_app.widgets.curves import as_table, by_split, frame
from tests.support.grids import grids
from tests.support.pages import HOSTILE, assert_escaped, facts, one_run, open_page, said
from tests.support.pages import run as run_again
from tests.support.synthetic import by_finish


def first(db: Path, **wanted: object) -> Run:
    runs = Store(str(db), read_only=True).runs()
    return next(run for run in runs if all(getattr(run, name) == value for name, value in wanted.items()))


def test_a_run_that_finished(small_db: Path) -> None:
    run = first(small_db, model="fru", task="digits", budget="10k", status="finished")
    app = open_page("run", small_db, id=run.run_id)
    assert app.title[0].value == f"FRU on digits\\, seed {run.seed}"
    numbers = {each.label.replace("\\", ""): each.value for each in app.metric}
    assert numbers["score"] == f"{score(run):.1f}"
    assert numbers["test accuracy"] == f"{run.metric_value:.4f}"
    assert numbers["parameters"] == f"{run.params_total:,}"
    assert not app.warning
    assert not app.error


def test_its_settings_say_where_they_came_from(small_db: Path) -> None:
    app = open_page("run", small_db, id=first(small_db, model="fru").run_id)
    (chosen, every) = [each.value for each in app.table if "setting" in each.value.columns]
    sources = dict(zip(every["setting"], every["from"], strict=True))
    assert sources["`hidden_size`"] == "follows from the parameter tier"
    assert sources["`max_steps`"] == "fixed by a suite"
    assert sources["`depth`"] == "default"
    assert set(chosen["setting"]) == {"`hidden_size`", "`max_steps`", "`batch_size`", "`patience`"}


def test_the_steps_of_a_suite_are_given_by_hand_where_the_run_is_in_none(tmp_path: Path) -> None:
    training = {"max_steps": 1_000, "batch_size": 64, "patience": None, "lr": 0.1}
    by_hand = dict.fromkeys(["max_steps", "lr"], "flag")
    Store(str(tmp_path / "board.sqlite")).record(one_run(config={"training": training}, config_source=by_hand))
    app = open_page("run", tmp_path / "board.sqlite", id="0123")
    _, every = [each.value for each in app.table if "setting" in each.value.columns]
    assert dict(zip(every["setting"], every["from"], strict=True))["`max_steps`"] == "given by hand"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_settings_of_the_paper_are_not_found_by_tuning(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    request = requests(chosen(["mix-sin"], ["sru"], [protocol])[0], protocol, 1, None)[0]
    Store(str(tmp_path / "board.sqlite")).record(
        one_run(model="sru", task=request.spec.name, config=request.settings.to_dict(), config_source=request.sources)
    )
    app = open_page("run", tmp_path / "board.sqlite", id="0123")
    _, every = [each.value for each in app.table if "setting" in each.value.columns]
    assert set(every["from"]) == {"from the FRU authors", "default"}
    assert "Nothing is tuned yet" in said(open_page("architecture", tmp_path / "board.sqlite", name="sru"))


def test_its_provenance_is_complete(small_db: Path) -> None:
    run = first(small_db, model="gru")
    shown = facts(open_page("run", small_db, id=run.run_id))
    assert shown["model's file, SHA-256"] == f"`{run.source_hash}`"
    for split, digest in run.facts["splits"].items():
        assert shown[f"{split} split, SHA-256"] == f"`{digest}`"
    assert shown["package torch"] == "2.13.0"
    assert shown["cpu"] == "AMD EPYC 7B13"
    assert shown["git commit"] == "0" * 40
    assert shown["deterministic"] == "True"
    assert shown["execution devices"] == "1"
    assert shown["training steps"] == f"{run.steps:,}"
    assert shown["started"].startswith(f"{run.started_at:%Y-%m-%d %H:%M}")


def test_every_column_of_a_run_is_on_its_page(tmp_path: Path) -> None:
    """A value that nothing shows is provenance that nobody can check."""
    marks = {
        "run_id": "a1b2c3d4e5f60718", "attempt": 71, "protocol": 72, "model": "m73", "wrapper": "w74", "task": "t75",
        "task_version": 76, "seed": 77, "budget": "b78", "best_epoch": 79, "epochs": 80, "steps": 81,
        "params_total": 82, "params_core": 83, "params_embedding": 84, "params_readout": 85, "params_buffers": 86,
        "source_hash": "h87", "command": "c88", "config": {"model": {"s89": 90}}, "metrics": {"x91": {"mse": 92.0}},
        "environment": {"e93": {"f94": 95}}, "facts": {"splits": {"g96": "h97"}, "step_seconds": 48.0, "i99": "j"},
    }  # fmt: skip
    db = tmp_path / "board.sqlite"
    Store(str(db)).record(one_run(**marks))
    app = open_page("run", db, id="a1b2")
    page = said(app) + "".join(each.value for each in app.code) + "".join(each.value for each in app.metric)
    flat = str(marks).translate(str.maketrans("{}[]',:", "       ")).split()
    words = [word.removesuffix(".0") for word in flat if any(character.isdigit() for character in word)]
    assert [word for word in words if word not in page] == []


def test_the_command_and_its_commit(small_db: Path) -> None:
    run = first(small_db, model="fru")
    (code,) = open_page("run", small_db, id=run.run_id).code
    assert code.value.splitlines() == [f"git checkout {'0' * 40}", run.command]
    assert code.language == "shell"


@pytest.mark.parametrize(
    ("command", "fine"),
    [
        ("python -m bench run --model fru --set lr=0.01", True),
        (shlex.join(["python", "-m", "bench", "run", "--model", "/my models/a.py"]), True),
        ("python -m bench run --model fru; rm -rf ~", False),
        ("python -m bench run --model $(id)", False),
        ("python -m bench run --model fru > /etc/passwd", False),
        ("python -m bench run --model fru\nid", False),
        ("python -m bench run --model 'fru", False),
        ("python -m bench import evil.zip", False),
        ("curl https://example.org", False),
    ],
)
def test_what_counts_as_a_command_of_ours(command: str, fine: bool) -> None:
    assert is_plain(command) == fine


def test_a_run_that_failed_says_so_with_its_reason(small_db: Path) -> None:
    run = first(small_db, status="diverged")
    (warning,) = open_page("run", small_db, id=run.run_id).warning
    assert "diverged, counted as a score of 0" in warning.value
    assert run.reason is not None
    assert run.reason in warning.value.replace("\\", "")


def test_a_run_that_never_trained_says_why_where_its_training_would_stand(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    nothing = {"metric_value": None, "train_seconds": 0.0, "epochs": 0}
    store.record(one_run("a" * 16, status="failed", reason="RuntimeError: shapes (3) and (64)", steps=0, **nothing))
    store.record(one_run("b" * 16, status="diverged", reason="the training loss is nan", steps=550, **nothing))
    never = open_page("run", tmp_path / "board.sqlite", id="aaaa")
    assert "ended before its first step of training, **failed**: RuntimeError: shapes (3) and (64)" in said(never)
    assert {each.label: each.value for each in never.metric}["training"] == "none"
    early = open_page("run", tmp_path / "board.sqlite", id="bbbb")
    assert "ended after 550 steps of training, **diverged**: the training loss is nan" in said(early)
    assert "µs" not in grids(open_page("run", tmp_path / "board.sqlite"))[0].columns["training"]


def test_settings_have_three_digits_the_models_own_first_and_what_tuning_chose_in_bold(tmp_path: Path) -> None:
    config = {"model": {"size": 3}, "wrapper": {"depth": 2}, "training": {"lr": 0.002062515711686576}}
    sources = {"lr": "preset: 12 trials of 1000 steps", "size": "flag"}
    Store(str(tmp_path / "board.sqlite")).record(one_run(config=config, config_source=sources))
    app = open_page("run", tmp_path / "board.sqlite", id="0123")
    _, every = [each.value for each in app.table if "setting" in each.value.columns]
    assert list(every["setting"]) == ["`size`", "`depth`", "**`lr`**"]
    assert list(every["value"]) == ["`3`", "`2`", "**`0.00206`**"]
    assert every["from"][2].replace("\\", "") == "**found by tuning, 12 trials of 1000 steps**"


def test_a_curve_that_is_not_there_is_not_in_the_legend(small_db: Path) -> None:
    run = first(small_db, model="fru", task="digits", budget="10k", status="finished")
    points = frame(Store(str(small_db), read_only=True).curves(run))
    of_kind = points[(points["kind"] == "loss") & (points["split"] == "validation")]
    legend = by_split(of_kind, "loss").to_dict()["encoding"]["color"]["legend"]
    assert legend["values"] == ["validation"]


def test_an_interrupted_run_has_no_score(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    store.record(one_run(status="interrupted", reason="stopped by SIGINT in epoch 3", metric_value=None))
    app = open_page("run", tmp_path / "board.sqlite", id="0123")
    assert "Interrupted after 1 attempt" in app.warning[0].value
    assert {each.label: each.value for each in app.metric}["score"] == "–"


def test_what_no_longer_counts_says_so_on_top(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    wrong, old = store.record(one_run("a" * 16)), store.record(one_run("b" * 16))
    store.add_event(wrong, "retracted", HOSTILE)
    store.add_event(old, "superseded", "wrong data", {"by": "c" * 16})
    app = open_page("run", tmp_path / "board.sqlite", id="aaaa")
    assert "Retracted on" in app.error[0].value
    assert "no longer counts" in app.error[0].value
    assert_escaped(app)
    superseded = open_page("run", tmp_path / "board.sqlite", id="bbbb").error[0].value
    assert f"Superseded by [{'c' * 16}](run?id={'c' * 16})" in superseded


def test_what_counts_again_says_so_in_its_history_alone(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    run = store.record(one_run())
    store.add_event(run, "retracted", "wrong labels")
    store.add_event(run, "reinstated", "right labels")
    app = open_page("run", tmp_path / "board.sqlite", id="0123")
    assert not app.error
    events = next(each.value for each in app.table if "what" in each.value.columns and "when" in each.value.columns)
    assert list(events["what"]) == ["retracted", "reinstated"]
    store.add_event(run, "retracted", "wrong again")
    (error,) = open_page("run", tmp_path / "board.sqlite", id="0123").error
    assert "wrong again" in error.value


def test_the_history_of_its_verification(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "board.sqlite"))
    run = store.record(one_run())
    assert "self-reported" in said(open_page("run", tmp_path / "board.sqlite", id="0123"))
    store.add_event(run, "imported", "from a bundle", {"bundle": "abc"})
    store.add_event(run, "verified", "scored again", {"rung": "rescored"})
    app = open_page("run", tmp_path / "board.sqlite", id="0123")
    assert "rescored**: the host evaluated its weights again" in said(app)
    events = next(each.value for each in app.table if "what" in each.value.columns and "when" in each.value.columns)
    assert list(events["what"]) == ["imported", "verified"]
    assert "bundle abc" in events["details"][0]


def test_curves_as_a_table() -> None:
    points = [
        CurvePoint(name=name, step=step, epoch=epoch, value=value)
        for name, step, epoch, value in [
            ("train/loss", 10, 1, 2.0), ("train/loss", 20, 2, None),
            ("validation/loss", 10, 1, 3.0), ("lr", 20, 2, 0.1),
        ]
    ]  # fmt: skip
    table = as_table(points)
    assert table[["epoch", "step"]].to_numpy().tolist() == [[1, 10], [2, 20]]
    assert table["train/loss"].tolist()[0] == 2
    assert table["validation/loss"].tolist()[0] == 3
    assert table["lr"].tolist()[1] == 0.1


def test_curves_are_drawn_and_can_be_read_as_a_table(small_db: Path) -> None:
    run = first(small_db, model="fru", task="digits", budget="10k", status="finished")
    app = open_page("run", small_db, id=run.run_id)
    assert len(app.get("vega_lite_chart")) == 2
    last = app.dataframe[0].value.iloc[-1]
    stored = {point.name: point.value for point in Store(str(small_db), read_only=True).curves(run)}
    assert last["validation/accuracy"] == pytest.approx(stored["validation/accuracy"])


def test_hostile_text_is_only_text(small_db: Path) -> None:
    app = open_page("run", small_db, id="bad0000000000001")
    assert_escaped(app)
    assert "not a command that bench writes" in app.warning[1].value
    assert app.code[0].language in (None, "", "plaintext")


def test_an_id_that_is_none_or_several(small_db: Path) -> None:
    app = open_page("run", small_db, id="zzz")
    assert "No run begins with zzz" in app.error[0].value
    assert len(grids(app)[0].columns["run"]) == 100, "the newest are offered instead"
    several = open_page("run", small_db, id="bad")
    assert "8 runs begin with bad" in several.info[0].value
    assert len(grids(several)[0].columns["run"]) == 8


def test_without_an_id_the_newest_runs_are_listed(small_db: Path, large_db: Path, empty_db: Path) -> None:
    for db, count in ((small_db, 228), (large_db, 10_000)):
        app = open_page("run", db)
        assert f"The newest 100 of {count:,}" in said(app)
    columns = list(grids(open_page("run", small_db))[0].columns)
    assert columns[:2] == ["run", "finished, UTC"], "so that the date is in view on any screen"
    newest = by_finish(Store(str(small_db), read_only=True).runs())[-1]
    assert grids(open_page("run", small_db))[0].links["run"][0] == f"run?id={newest.run_id}"
    assert "python -m bench run --model fru" in open_page("run", empty_db).info[0].value


def test_the_runs_of_an_architecture_on_a_task(small_db: Path) -> None:
    app = open_page("run", small_db, model="gru", task="digits")
    runs = by_finish(Store(str(small_db), read_only=True).runs(model="gru", task="digits"))
    (listed,) = grids(app)
    assert listed.links["run"] == [f"run?id={run.run_id}" for run in reversed(runs)]
    assert set(listed.columns["architecture"]) == {"GRU"}
    app.selectbox(key="task").select("copy-100")
    assert set(grids(run_again(app, small_db))[0].columns["task"]) == {"copy-100"}
    wrong = open_page("run", small_db, model="gruu")
    assert "No architecture named 'gruu'. Did you mean 'gru'?" in said(wrong)


def test_a_run_by_a_papers_protocol_is_shown_and_on_no_board(tmp_path: Path) -> None:
    db = tmp_path / "board.sqlite"
    Store(str(db)).record(one_run("ab" * 8, task="mix-sin@fru-paper", model="mine@1234abcd", protocol=-1))
    page = said(open_page("run", db, id="abab"))
    assert "mix-sin@fru-paper, which no board compares" in page
    assert "task?name=" not in page
    assert "mix-sin@fru-paper" not in said(open_page("task", db))
    assert "No task named" in said(open_page("task", db, name="mix-sin@fru-paper"))
    assert "mine@1234abcd" not in said(open_page("architecture", db))
    board = open_page("leaderboard", db)
    assert "No run here counts" in said(board)
    assert "mix-sin" not in said(board)


def test_no_database(tmp_path: Path) -> None:
    app = open_page("run", tmp_path / "none.sqlite")
    assert "there is no database at" in said(app)
    assert list(tmp_path.iterdir()) == []

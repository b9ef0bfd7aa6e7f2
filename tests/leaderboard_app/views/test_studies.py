"""The page of tuning studies."""

import hashlib
import json
import shutil
from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any

import altair
import optuna
import pyarrow
import pytest
from optuna import Trial, TrialPruned
from optuna.trial import FrozenTrial
from streamlit.testing.v1 import AppTest

from bench.tuning.storage import Studies
from db.store import Store
from leaderboard_app.views.studies import trial_charts
from leaderboard_app.views.studies.trial_charts import Measured, Tried
from tests.support.pages import HOSTILE, assert_escaped, open_page, said
from tests.support.runs import make_trial

NAME = "gru · plain · digits v1 · 10k · 20 steps · protocol 1"


def make(db: Path, name: str = NAME, trials: int = 8, **options: Any) -> optuna.Study:
    storage = Studies(str(db)).storage
    study = optuna.create_study(
        storage=storage, study_name=name, sampler=optuna.samplers.RandomSampler(seed=0), **options
    )
    two = len(study.directions) == 2
    study.optimize(objective_of_two if two else objective, n_trials=trials, catch=(ArithmeticError,))
    return study


def objective(trial: Trial) -> float:
    lr, schedule = trial.suggest_float("lr", 1e-4, 1e-1, log=True), trial.suggest_categorical("lr_schedule", ["a", "b"])
    describe(trial, lr)
    if trial.number == 1:
        raise TrialPruned
    if trial.number == 2:
        trial.set_user_attr("reason", f"diverged: {HOSTILE}")
        raise ArithmeticError
    return lr + (schedule == "a")


def objective_of_two(trial: Trial) -> tuple[float, float]:
    lr = trial.suggest_float("lr", 1e-4, 1e-1)
    describe(trial, lr)
    return lr, 1_000 * (trial.number + 1)


def describe(trial: Trial, lr: float) -> None:
    trial.set_user_attr("chosen", {"lr": lr, "clip_norm": None})
    trial.set_user_attr("config", {"model": {"hidden_size": 4}, "wrapper": {}, "training": {"lr": lr}})
    trial.set_user_attr("params", {"total": 1_234})
    trial.set_user_attr("steps", 20)


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    db = tmp_path_factory.mktemp("studies") / "board.sqlite"
    Store(str(db))
    make(db, direction="maximize")
    make(db, "two objectives", directions=["maximize", "minimize"])
    make(db, "nothing yet", trials=0, direction="maximize")
    make(db, f"of {HOSTILE}", trials=4, direction="maximize")
    return db


def best(db: Path) -> FrozenTrial:
    return optuna.load_study(study_name=NAME, storage=Studies(str(db)).storage).best_trial


def test_the_list(studied: Path) -> None:
    app = open_page("studies", studied)
    table = app.dataframe[0].value
    assert len(table) == 4
    assert table["finished"].tolist() == [6, 8, 0, 2]
    assert table["pruned"].tolist() == [1, 0, 0, 1]
    assert table["failed"].tolist() == [1, 0, 0, 1]
    assert table["best on validation"][0] == pytest.approx(best(studied).value)
    assert table["training steps"][0] == 160


def test_a_study(studied: Path) -> None:
    app = open_page("studies", studied, name=NAME)
    assert app.title[0].value.replace("\\", "") == NAME
    assert app.metric[0].value == f"{best(studied).value:.4g}"
    assert app.code[0].value == f"--set lr={best(studied).user_attrs['chosen']['lr']} --set clip_norm=none"
    trials = app.dataframe[0].value
    assert trials["state"].tolist() == ["finished", "pruned", "failed", *["finished"] * 5]
    assert trials["reason"][2] == f"diverged: {HOSTILE}"
    assert trials["value"].notna().sum() == 6
    assert list(trials.columns)[-2:] == ["lr", "lr_schedule"]


def test_history_and_importances_are_optunas(studied: Path) -> None:
    app = open_page("studies", studied, name=NAME)
    assert len(app.get("plotly_chart")) == 2
    shares = next(each.value for each in app.table if "share" in each.value.columns)
    found = optuna.importance.get_param_importances(
        optuna.load_study(study_name=NAME, storage=Studies(str(studied)).storage),
        evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0),
    )
    assert dict(zip(shares["setting"], shares["share"], strict=True)) == {
        f"`{name}`": f"{share:.3f}" for name, share in found.items()
    }
    assert "one objective" in said(app)


def test_the_front_of_two_objectives(studied: Path) -> None:
    app = open_page("studies", studied, name="two objectives")
    assert len(app.get("plotly_chart")) == 3
    assert "dominated" in app.get("plotly_chart")[2].proto.spec


def test_a_study_without_a_finished_trial(studied: Path) -> None:
    app = open_page("studies", studied, name="nothing yet")
    assert "No trial has finished yet" in app.info[0].value


def test_hostile_text_is_only_text(studied: Path) -> None:
    assert_escaped(open_page("studies", studied, name=f"of {HOSTILE}"))


def test_opening_studies_changes_nothing(studied: Path) -> None:
    def content() -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(studied.parent.iterdir())}

    before = content()
    open_page("studies", studied)
    open_page("studies", studied, name=NAME)
    assert content() == before


def test_none_yet(empty_db: Path, large_db: Path) -> None:
    for db in (empty_db, large_db):
        Store(str(db), read_only=True).runs()  # as far as SQLite makes files of its own for readers, they are there
        before = sorted(db.parent.iterdir())
        app = open_page("studies", db)
        assert "No tuning studies yet" in app.info[0].value
        assert "python -m bench tune --model fru" in app.info[0].value
        assert sorted(db.parent.iterdir()) == before


def test_a_name_that_does_not_exist(studied: Path) -> None:
    app = open_page("studies", studied, name="gru · plain")
    assert "No study named 'gru · plain'" in app.error[0].value.replace("\\", "")
    assert len(app.dataframe) == 1


def test_a_damaged_file(tmp_path: Path) -> None:
    Store(str(tmp_path / "board.sqlite"))
    (tmp_path / "board-studies.sqlite").write_text("not a database " * 100)
    assert "file is not a database" in open_page("studies", tmp_path / "board.sqlite").error[0].value


@pytest.mark.parametrize("package", ["optuna", "plotly"])
def test_without_the_packages(studied: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    find: Callable[[str], Any] = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name, *rest: None if name == package else find(name, *rest))
    assert "pip install -e '.[app,tune]'" in open_page("studies", studied).info[0].value


# Published studies

PUBLISHED = make_trial().study


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a published study whose text is hostile, and none of its own."""
    db = tmp_path_factory.mktemp("published") / "board.sqlite"
    failed = make_trial(2, state="failed", value=None, reason=HOSTILE, settings={"lr": 0.1, "nonlinearity": HOSTILE})
    trials = [make_trial(), make_trial(1, state="pruned"), failed, make_trial(3, settings={"lr": 0.25})]
    Store(str(db)).add_trials([*trials, make_trial(study=f"of {HOSTILE}", settings={"lr": HOSTILE})], "a" * 64)
    return db


def test_the_list_of_published_studies(published: Path) -> None:
    app = open_page("studies", published)
    assert app.subheader[0].value == "Published with the results"
    (table,) = (each.value for each in app.dataframe)
    assert (table["finished"].tolist(), table["pruned"].tolist()) == ([2, 1], [1, 0])
    assert table["best on validation"][0] == make_trial(3).value
    assert not app.info


def test_a_published_study(published: Path) -> None:
    app = open_page("studies", published, name=PUBLISHED)
    assert app.title[0].value.replace("\\", "") == PUBLISHED
    assert app.metric[0].label.replace("\\", "") == "trial 3, 9,999 parameters"
    assert app.code[0].value == "--set lr=0.25"
    trials = app.dataframe[0].value
    assert trials["state"].tolist() == ["finished", "pruned", "failed", "finished"]
    assert trials["reason"][2] == HOSTILE
    assert trials["lr"].tolist() == [1 / 3, 1 / 3, 0.1, 0.25]
    assert_escaped(open_page("studies", published, name=f"of {HOSTILE}"))


def points(app: AppTest, chart: int, mark: str) -> list[dict[str, Any]]:
    """The points of a kind of mark in one of a page's charts."""
    sent = app.get("vega_lite_chart")[chart].proto
    (layer,) = [layer for layer in json.loads(sent.spec)["layer"] if layer["mark"]["type"] == mark]
    (points,) = [each.data.data for each in sent.datasets if each.name == layer["data"]["name"]]
    return pyarrow.ipc.open_stream(points).read_all().to_pylist()


def test_published_trials_are_drawn_by_rate_and_in_order(published: Path) -> None:
    app = open_page("studies", published, name=PUBLISHED)
    by_rate = points(app, 0, "point")
    assert [(each["number"], each["rate"], each["value"]) for each in by_rate] == [
        (0, 1 / 3, 0.5), (1, 1 / 3, make_trial(1).value), (3, 0.25, make_trial(3).value),
    ]  # fmt: skip
    assert [each["state"] for each in by_rate] == ["finished", "pruned", "finished"]
    assert [each["number"] for each in points(app, 1, "line")] == [0, 3]  # what was pruned is not the best so far
    assert len(app.get("vega_lite_chart")) == 2


def test_the_best_so_far() -> None:
    trials = [Tried(n, state, value, 0.1) for n, (state, value) in enumerate(
        [("finished", 0.3), ("finished", 0.2), ("pruned", 0.01), ("finished", 0.4), ("finished", 0.1)]
    )]  # fmt: skip
    for higher, best in ((True, [0.3, 0.3, 0.4, 0.4]), (False, [0.3, 0.2, 0.2, 0.1])):
        spec = trial_charts.in_order(trials, Measured("mse", higher))
        assert [each["value"] for each in spec["datasets"]["points-0"]] == best
        altair.LayerChart.from_dict(spec)
    scale = trial_charts.against_rate(trials, Measured("mse", False))["layer"][0]["encoding"]["y"]["scale"]
    assert scale["type"] == "log"  # an error's


def test_own_trials_are_drawn_by_rate(studied: Path) -> None:
    by_rate = points(open_page("studies", studied, name=NAME), 0, "point")
    trials = optuna.load_study(study_name=NAME, storage=Studies(str(studied)).storage).trials
    wanted = [(trial.number, trial.params["lr"], trial.value) for trial in trials if trial.values]
    assert [(each["number"], each["rate"], each["value"]) for each in by_rate] == wanted
    assert "tried a learning rate" in said(open_page("studies", studied, name="nothing yet"))


def test_published_studies_need_no_optuna(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name, *rest: None)
    app = open_page("studies", published)
    assert "pip install -e '.[app,tune]'" in app.info[0].value
    assert len(app.dataframe[0].value) == 2
    assert not open_page("studies", published, name=PUBLISHED).info


def test_a_published_study_that_is_here_too_is_shown_as_it_is_here(studied: Path, tmp_path: Path) -> None:
    shutil.copytree(studied.parent, tmp_path, dirs_exist_ok=True)
    Store(str(tmp_path / studied.name)).add_trials([make_trial(study=NAME)], "a" * 64)
    assert len(open_page("studies", tmp_path / studied.name, name=NAME).get("plotly_chart")) == 2

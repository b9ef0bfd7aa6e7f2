"""Tables of tuning studies: which are published, how they reach others, and that what is there stays."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from bench.catalog.registry import find_model
from bench.catalog.suites import SUITES, Suite
from bench.training.suite_runs import first_request
from bench.tuning.search import Tuning
from bench.tuning.storage import Studies
from bench.tuning.study import Owner
from db.errors import DamagedError
from db.store import Store
from db.trial_record import from_text, news, to_text
from tests.conftest import Bench
from tests.support.runs import make_trial as trial

SUITE = Suite(name="tiny-v2", summary="", tasks={"digits": {"max_steps": 5}}, tiers=("10k",), trials=4)
FILE = "studies/10k/gru-residual.json"
VALUES = (0.5, None, 0.25, 0.75)  # of the trials below; the second failed


def make_study(db: Path, *assignments: str, task: str = "digits", trials: int = 4) -> str:
    """Open a study as `bench tune --suite` does, and end its trials without training. Return its name."""
    base = first_request(SUITE, find_model("gru"), task, "10k", "residual")
    if assignments:
        held = {word.partition("=")[0]: "flag" for word in assignments}
        changes = dict(word.split("=") for word in assignments)
        settings = base.settings.updated({name: float(value) for name, value in changes.items()})
        base = replace(base, settings=settings, sources=base.sources | held)
    owner = Owner(Tuning(base=base, trials=trials), Studies(str(db)))
    for number in range(trials):
        told = owner.study.ask()
        lr = told.suggest_float("lr", 1e-4, 3e-2, log=True)
        told.set_user_attr("chosen", {"lr": lr})
        told.set_user_attr("steps", 100 + number)
        told.set_user_attr("params", {"total": 9_000})
        if VALUES[number] is None:
            told.set_user_attr("reason", "diverged: a loss")
            owner.study.tell(told, state=TrialState.FAIL)
        elif number == 2:
            told.report(VALUES[number], step=1)
            owner.study.tell(told, state=TrialState.PRUNED)
        else:
            owner.study.tell(told, VALUES[number])
    return owner.study.study_name


@pytest.fixture
def host(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setitem(SUITES, SUITE.name, SUITE)
    Store(str(bench.db))
    return bench


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "published"


@pytest.fixture
def visitor(tmp_path: Path, folder: Path) -> Bench:
    """A checkout with published results."""
    (tmp_path / "visitor").mkdir()
    visitor = Bench(tmp_path / "visitor")
    visitor.env["BENCH_PUBLISHED"] = str(folder)
    return visitor


# The form


def test_nothing_is_lost_on_the_way_to_text_and_back() -> None:
    odd = trial(1, state="failed", value=None, reason="ein Grund: Ärger\n", params_total=None, settings={})
    text = to_text([odd, trial(study="another"), trial()])
    found = from_text(text)
    assert [(each.study, each.number) for each in found] == [("another", 0), (trial().study, 0), (trial().study, 1)]
    assert to_text(found) == text
    assert text.count('"number": ') == 3
    assert text.count('"metric_name"') == 2, "what trials share is said once"


def change(name: str, value: Any, of: str = "trial") -> Callable[[dict[str, Any]], None]:
    def act(document: dict[str, Any]) -> None:
        study = document["studies"][0]
        (study["trials"][0] if of == "trial" else study if of == "study" else document)[name] = value

    return act


@pytest.mark.parametrize(
    ("act", "problem"),
    [
        (change("format", 2, "document"), "format 2, where this code knows 1"),
        (change("studies", [3], "document"), "'int' object has no attribute"),
        (change("protocol", "two", "study"), "protocol is 'two', where int is expected"),
        (change("colour", "red", "study"), "colour is missing or too much"),
        (change("state", "splendid"), "state 'splendid' .* is none of finished, pruned, failed"),
        (change("value", None), "is finished with the value None"),
        (change("state", "failed"), "is failed with the value 0.5"),
        (change("number", 1), "two trials of one number"),
        (change("settings", []), "settings is .* where dict is expected"),
        (change("finished_at", "2026-01-01"), "has no time zone"),
    ],
)
def test_a_damaged_document_is_refused(act: Callable[[dict[str, Any]], None], problem: str) -> None:
    document = json.loads(to_text([trial(), trial(1)]))
    act(document)
    with pytest.raises(DamagedError, match=problem):
        from_text(json.dumps(document))


def test_a_study_of_the_same_name_from_elsewhere_is_not_mixed_in() -> None:
    here = [trial(), trial(1)]
    assert [each.number for each in news(here, [trial(), trial(1), trial(2)])] == [2]
    assert news(here, [trial(value=0.1), trial(2)]) == []
    assert len(news(here, [trial(value=0.1), trial(study="another")])) == 1


# The store


def test_trials_come_back_as_they_went_in_and_are_added_once(url: str) -> None:
    store = Store(url)
    assert len(store.add_trials([trial(), trial(1)], "a" * 64)) == 2
    assert [each.number for each in store.add_trials([trial(), trial(1), trial(2)], "b" * 64)] == [2]
    assert store.add_trials([trial(value=0.1), trial(3)], "c" * 64) == []
    found = Store(url, read_only=True).trials()
    assert to_text(found) == to_text([trial(), trial(1), trial(2)])
    assert [each.source[0] for each in found] == ["a", "a", "b"]
    assert store.trial_files() == {"a" * 64, "b" * 64}
    assert store.trials("another") == []


# Export and import


def test_a_suites_study_reaches_everybody(host: Bench, visitor: Bench, folder: Path) -> None:
    name = make_study(host.db)
    (path,) = host.json("db", "export", str(folder))
    assert path == str(folder / FILE)
    assert "4 published trials added" in visitor("db", "upgrade").stderr
    (study,) = visitor.json("studies", "--published")
    assert (study["study"], study["best"], study["steps"]) == (name, 0.75, 406)
    assert study["trials"] == {"finished": 2, "pruned": 1, "failed": 1}
    assert [(row["trial"], row["state"], row["value"], row["steps"]) for row in study["table"]] == [
        (0, "finished", 0.5, 100), (1, "failed", None, 101), (2, "pruned", 0.25, 102), (3, "finished", 0.75, 103),
    ]  # fmt: skip
    assert study["table"][0]["settings"] == {"lr": 3e-3}
    assert study["table"][1]["reason"] == "diverged: a loss"
    assert "added" not in visitor("db", "upgrade").stderr
    assert name in visitor("studies", "--published").stdout
    assert visitor.json("studies") == []


def test_a_study_that_went_on_is_added_to(host: Bench, visitor: Bench, folder: Path) -> None:
    make_study(host.db, trials=2)
    host("db", "export", str(folder))
    visitor("db", "upgrade")
    (study,) = Studies(str(host.db)).all()
    distribution = {"lr": FloatDistribution(1e-4, 3e-2, log=True)}
    study.add_trial(create_trial(value=0.9, params={"lr": 0.01}, distributions=distribution))
    host("db", "export", str(folder))
    assert "1 published trial added" in visitor("db", "upgrade").stderr
    assert [row["value"] for row in visitor.json("studies", "--published")[0]["table"]] == [0.5, None, 0.9]


def test_exporting_again_changes_nothing_and_drops_nothing(host: Bench, visitor: Bench, folder: Path) -> None:
    make_study(host.db)
    host("db", "export", str(folder))
    before = (folder / FILE).read_bytes()
    host("db", "export", str(folder))
    visitor("db", "export", str(folder))
    assert (folder / FILE).read_bytes() == before
    visitor("db", "export", str(folder.parent / "again"))
    assert (folder.parent / "again" / FILE).read_bytes() == before


@pytest.mark.parametrize("word", ["lr=0.01", "max_steps=7"])
def test_what_belongs_to_no_suite_is_left_out(host: Bench, folder: Path, word: str) -> None:
    make_study(host.db, word)
    assert host.json("db", "export", str(folder)) == []


def test_only_the_architecture_that_is_asked_for(host: Bench, folder: Path) -> None:
    make_study(host.db)
    assert host.json("db", "export", str(folder), "--model", "fru") == []


def test_a_damaged_file_costs_no_other(host: Bench, visitor: Bench, folder: Path) -> None:
    make_study(host.db)
    host("db", "export", str(folder))
    damaged = folder / "studies" / "10k" / "fru-residual.json"
    damaged.write_text('{"format": 1}')
    done = visitor("db", "upgrade")
    assert f"{damaged} is damaged: missing 'studies'" in done.stderr
    assert "4 published trials added" in done.stderr
    assert "is damaged" in host.refused("db", "import", str(damaged))
    assert visitor.json("db", "import", str(folder / FILE))["trials"] == 0


def test_without_optuna_the_published_ones_remain(
    host: Bench, visitor: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_study(host.db)
    host("db", "export", str(folder))
    monkeypatch.setattr("bench.publishing.study_tables.find_spec", lambda name: None)
    assert visitor.json("db", "export", str(folder.parent / "again")) == [str(folder.parent / "again" / FILE)]


def test_none_are_published(host: Bench) -> None:
    assert host.json("studies", "--published") == []
    assert "No published studies in this database" in host("studies", "--published").stderr
    assert "finished,pruned" in host("studies", "--published", "--csv").stdout


def test_the_study_of_a_model_that_was_given_by_its_file_is_left_out(host: Bench) -> None:
    study = optuna.create_study(storage=Studies(str(host.db)).storage, study_name="mine")
    held = dict(SUITE.tasks["digits"])
    about = {"model": "mine@0123", "budget": "10k", "task": "digits", "protocol": SUITE.protocol, "held": held}
    study.set_user_attr("about", about)
    assert host.json("db", "export", str(host.folder / "out")) == []

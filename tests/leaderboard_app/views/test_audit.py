"""The page of the audit."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from bench.audit.entries import audit
from bench.catalog.suites import find_suite
from db.store import Store
from leaderboard_app.views.audit import entries
from tests.support.grids import Grid, grids
from tests.support.pages import HOSTILE, open_page, said
from tests.support.synthetic import fill

GRU = "gru plain 10k defaults"


@pytest.fixture
def db(tmp_path: Path) -> Path:
    path = tmp_path / "board.sqlite"
    store = Store(str(path))
    fill(store, models=["fru", "gru"], seeds=2)
    fill(store, models=["gru"], seeds=1, tiers=["100k"])
    return path


def listed(app: AppTest) -> Grid:
    (table,) = grids(app)
    return table


def flags_of(db: Path, model: str) -> list[str]:
    """What `bench audit` says of an entry."""
    store = Store(str(db), read_only=True)
    found = audit(store.runs(), store.standing(), store.events(), store.trials(), find_suite("quick-v1"))
    return [flag.name for entry in found if (entry.model, entry.budget) == (model, "10k") for flag in entry.flags]


def test_every_entry_of_a_tier_has_its_flags(db: Path) -> None:
    app = open_page("audit", db, suite="quick-v1", tier="10k")
    assert "**2 entries**, 2 of them with flags." in said(app)
    shown = listed(app)
    assert shown.names() == ["fru", "gru"]
    assert shown.columns["architecture"] == ["FRU", "GRU"]
    for place, model in enumerate(("fru", "gru")):
        names = flags_of(db, model)
        assert shown.columns["flags"][place] == str(len(names))
        assert shown.columns["of these kinds"][place] == ", ".join(dict.fromkeys(names))
    another = open_page("audit", db, suite="quick-v1", tier="100k")
    assert listed(another).names() == ["gru"]


def test_every_kind_of_flag_says_what_it_means_the_most_frequent_first(db: Path) -> None:
    app = open_page("audit", db, suite="quick-v1", tier="10k")
    kinds = next(each.value for each in app.table if "raised where" in each.value)
    every = {name for model in ("fru", "gru") for name in flags_of(db, model)}
    assert {each.replace("\\", "") for each in kinds["flag"]} == every
    assert all(kinds["raised where"])
    assert list(kinds["entries"]) == sorted(kinds["entries"], reverse=True)


def test_what_was_looked_at_is_shown_of_the_entry_that_the_address_names(db: Path) -> None:
    app = open_page("audit", db, suite="quick-v1", tier="10k")
    assert not [each for each in app.table if "task" in each.value]
    link = listed(app).links["flags"][1]
    assert link == "audit?suite=quick-v1&tier=10k&entry=gru+plain+10k+defaults"
    app = open_page("audit", db, suite="quick-v1", tier="10k", entry=GRU)
    assert app.selectbox(key="entry").options == ["FRU plain defaults", "GRU plain defaults"]
    flags = next(each.value for each in app.table if "what" in each.value)
    assert [each.replace("\\", "") for each in flags["flag"]] == flags_of(db, "gru")
    assert "recorded by protocol 1, without warm-up and a common block" in said(app)
    (table,) = (each.value for each in app.table if "task" in each.value)
    assert [cell.partition("]")[0] for cell in table["task"]] == [
        "[adding\\-200",
        "[copy\\-100",
        "[digits",
        "[mix\\-sin",
    ]
    assert "dead at the start" not in table, "nothing of it was measured"
    wrong = open_page("audit", db, suite="quick-v1", tier="10k", entry="gru plain 100k defaults")
    assert "No entry named 'gru plain 100k defaults'." in wrong.error[0].value.replace("\\", "")


def test_what_tuning_chose_has_three_digits() -> None:
    assert entries._words({"lr": 0.002062515711686576, "size": 12}) == "`lr=0.00206`, `size=12`"
    assert entries._words({}) == "–"


def test_foreign_names_are_only_text(tmp_path: Path) -> None:
    path = tmp_path / "board.sqlite"
    fill(Store(str(path)), models=["fru"], seeds=1, model=HOSTILE)
    app = open_page("audit", path, suite="quick-v1", tier="10k")
    assert listed(app).names() == [HOSTILE]
    (entry,) = app.selectbox(key="entry").options
    assert entry.startswith(HOSTILE)


def test_an_empty_database_says_what_to_do(tmp_path: Path) -> None:
    Store(str(tmp_path / "board.sqlite"))
    assert "No entries yet." in said(open_page("audit", tmp_path / "board.sqlite"))

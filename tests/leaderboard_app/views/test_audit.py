"""The page of the audit."""

from pathlib import Path

import pytest

from db.store import Store
from tests.support.pages import HOSTILE, assert_escaped, open_page, said
from tests.support.synthetic import fill


@pytest.fixture
def db(tmp_path: Path) -> Path:
    path = tmp_path / "board.sqlite"
    store = Store(str(path))
    fill(store, models=["fru", "gru"], seeds=2)
    fill(store, models=["gru"], seeds=1, tiers=["100k"])
    return path


def test_every_entry_of_a_tier_has_its_flags(db: Path) -> None:
    app = open_page("audit", db, suite="quick-v1", tier="10k")
    assert "**2 entries**. Flags: old-protocol (2), " in said(app)
    assert [each.label.partition(":")[0] for each in app.expander] == ["FRU plain defaults", "GRU plain defaults"]
    assert "old-protocol: recorded by protocol 1, without warm-up and a common block" in said(app).replace("*", "")
    tasks = [[cell.partition("]")[0] for cell in each.value["task"]] for each in app.table if "task" in each.value]
    assert tasks == 2 * [["[adding\\-200", "[copy\\-100", "[digits", "[mix\\-sin"]]


def test_another_tier_has_its_own_entries(db: Path) -> None:
    app = open_page("audit", db, suite="quick-v1", tier="100k")
    assert [each.label.partition(":")[0] for each in app.expander] == ["GRU plain defaults"]


def test_foreign_names_are_only_text(tmp_path: Path) -> None:
    path = tmp_path / "board.sqlite"
    fill(Store(str(path)), models=["fru"], seeds=1, model=HOSTILE)
    assert_escaped(open_page("audit", path, suite="quick-v1", tier="10k"))


def test_an_empty_database_says_what_to_do(tmp_path: Path) -> None:
    Store(str(tmp_path / "board.sqlite"))
    assert "No entries yet." in said(open_page("audit", tmp_path / "board.sqlite"))

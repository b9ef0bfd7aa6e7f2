"""Every page calls an architecture as its paper does; addresses have its id."""

import re
from pathlib import Path
from typing import Any

import pytest

from db.store import Store
from leaderboard_app.widgets.links import page_url
from tests.support.grids import grids
from tests.support.pages import open_page, said
from tests.support.synthetic import fill

IDS = {"mlstm": "mLSTM", "sru": "Statistical RU"}
ADDRESSES = re.compile(r"\]\([^)]*\)|`[^`]*`")


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("names") / "board.sqlite"
    fill(Store(str(path)), models=tuple(IDS), curves=2)
    return path


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("leaderboard", {"suite": "quick-v1"}),
        ("leaderboard", {"suite": "by-task", "task": "digits"}),
        ("task", {"name": "digits"}),
        ("architecture", {}),
        ("compare", {"suite": "quick-v1", "entries": ["mlstm residual 10k defaults", "sru plain 10k defaults"]}),
        ("run", {}),
        ("audit", {"suite": "quick-v1", "tier": "10k", "entry": "sru plain 10k defaults"}),
    ],
)
def test_a_page_has_the_names_of_papers(db: Path, page: str, query: dict[str, Any]) -> None:
    app = open_page(page, db, **query)
    tables = [text for grid in grids(app) for column in grid.columns.values() for text in column]
    choices = [str(option) for each in (*app.selectbox, *app.multiselect) for option in each.options]
    text = ADDRESSES.sub("]", "\n".join([said(app), *tables, *choices]))
    for model, name in IDS.items():
        assert name in text
        assert not re.search(rf"\b{model}\b", text)


def test_a_run_has_the_name_of_a_paper_and_its_address_the_id(db: Path) -> None:
    run = Store(str(db), read_only=True).runs(model="sru")[0]
    app = open_page("run", db, id=run.run_id)
    assert app.title[0].value.startswith("Statistical RU on ")
    assert f"[Statistical RU]({page_url('architecture', name='sru')})" in said(app)
    chosen = open_page("run", db, model="sru")
    assert chosen.selectbox(key="model").options == ["mLSTM", "Statistical RU"]
    assert chosen.query_params["model"] == "sru"
    assert set(grids(chosen)[0].columns["architecture"]) == {"Statistical RU"}

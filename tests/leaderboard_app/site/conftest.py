"""A site of made-up results, written by the command."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from db.store import Store
from tests.conftest import Bench
from tests.support.pages import probes
from tests.support.synthetic import fill

MODELS = ("fru", "gru", "s5", "none")


@dataclass(frozen=True)
class Site:
    bench: Bench
    """The command line with the site's database."""
    folder: Path


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory, small_db: Path) -> Site:
    """Two suites, three tiers, both blocks, an entry that is not complete, probes, and a submission that means harm."""
    bench = Bench(tmp_path_factory.mktemp("site"))
    with closing(sqlite3.connect(small_db)) as made, closing(sqlite3.connect(bench.db)) as copy:
        made.backup(copy)
    store = Store(str(bench.db))
    for wrapper, models in (("residual", MODELS), ("plain", MODELS[:-1])):
        for tier in ("10k", "3k"):
            fill(store, models=models, suite="quick-v2", tiers=(tier,), wrapper=wrapper)
    fill(store, models=("sru",), suite="quick-v2", seeds=3, wrapper="residual")
    run = next(run for run in store.runs(model="fru", task="copy-100") if run.budget == "10k")
    for data in probes(run.run_id):
        store.add_event(run, "probe", "", data)
    folder = bench.folder / "any" / "folder"
    done = bench("site", str(folder))
    assert f"files in {folder}" in done.stderr
    return Site(bench, folder)

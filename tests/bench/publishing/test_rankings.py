"""The exported rankings: one for each wrapper, and those of protocol 1 as they were published."""

import json
from pathlib import Path

import pytest

from db.identity import run_id
from db.schema import Run
from db.store import Store
from tests.conftest import Bench
from tests.support.synthetic import synthetic_runs


def record(store: Store, suite: str, models: list[str], wrapper: str) -> None:
    """Five seeds of every cell at 10k, of runs that have the ids of what they are."""
    for values in synthetic_runs(models, suite, ("10k",), 5):
        values |= {"wrapper": wrapper}
        store.record(Run(**values | {"run_id": run_id(values)}))


def test_a_ranking_for_each_wrapper(bench: Bench, tmp_path: Path) -> None:
    store = Store(str(bench.db))
    for suite in ("quick-v1", "quick-v2"):
        record(store, suite, ["fru", "gru"], "residual")
        record(store, suite, ["fru", "lstm", "rnn"], "plain")
    bench("db", "export", str(tmp_path))
    found = json.loads((tmp_path / "quick-v2/10k/ranking.json").read_text())
    assert list(found) == ["residual", "plain"]
    for wrapper, board in found.items():
        rows = bench.json("leaderboard", "--suite", "quick-v2", "--budget", "10k", "--wrapper", wrapper)
        for name in ("model", "rank_low", "rank_high"):
            assert [row[name] for row in board["rows"]] == [row[name] for row in rows]
        assert [row["learned"] for row in board["rows"]] == pytest.approx([row["learned"] for row in rows])
        assert {row["wrapper"] for row in rows} == {wrapper}
        assert board["smallest_difference"] > 0
    published = json.loads((tmp_path / "quick-v1/10k/ranking.json").read_text())
    rows = bench.json("leaderboard", "--suite", "quick-v1", "--budget", "10k")
    assert [(row["model"], row["rank_low"]) for row in published["rows"]] == [
        (row["model"], row["rank_low"]) for row in rows
    ]
    assert len(rows) == 5
    assert "learned" not in json.dumps(published)

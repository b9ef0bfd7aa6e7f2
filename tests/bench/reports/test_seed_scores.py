"""The scores of single seeds."""

from statistics import fmean

import pytest

from bench.catalog.suites import find_suite
from bench.ranking.cells import EntryKey
from bench.ranking.utility import score
from bench.reports.seed_scores import over_tasks, seed_scores
from db.store import Store
from tests.conftest import Bench
from tests.support.synthetic import fill

SUITE = find_suite("quick-v1")
FRU = EntryKey("fru", "plain", "10k", "defaults", "")


def test_every_seed_has_its_score(bench: Bench) -> None:
    store = Store(str(bench.db))
    recorded = fill(store, models=["fru", "gru"], status="finished", metric_value=0.05)
    found = seed_scores(store.runs(), store.standing(), SUITE)
    assert found[FRU, "digits"] == {
        run.seed: score(run) for run in recorded if (run.model, run.task) == ("fru", "digits")
    }
    assert len(found) == 8


def test_means_are_over_the_seeds_that_every_task_has(bench: Bench) -> None:
    store = Store(str(bench.db))
    recorded = fill(store, models=["fru"])
    lost = next(run for run in recorded if (run.task, run.seed) == ("copy-100", 3))
    store.add_event(lost, "retracted", "not that one")
    means = over_tasks(seed_scores(store.runs(), store.standing(), SUITE), FRU, SUITE)
    wanted = [fmean(score(run) for run in recorded if run.seed == seed) for seed in (0, 1, 2, 4)]
    assert means == pytest.approx(wanted)
    (row,) = bench.json("leaderboard", "--suite", "quick-v1", "--budget", "10k")
    assert row["seeds"] == 4
    nobody = EntryKey("gru", "plain", "10k", "defaults", "")
    assert over_tasks({}, nobody, SUITE) == ()

"""A run is shown beside the best of the suites that it counts in, and of no other tier, wrapper or training."""

import pytest

from bench.catalog.suites import SUITES
from bench.reports.best_in_suites import best_in_suites
from db.schema import Run
from db.store import Store
from tests.bench.training.test_suite_runs import TINY
from tests.conftest import Bench
from tests.support.runs import make_run

AT = ("--budget", "10k", "--wrapper", "residual", "--set", "max_steps=5", "--set", "batch_size=32")


def recorded(store: Store, run_id: str, value: float, **changes: object) -> Run:
    training = {"max_steps": 5, "batch_size": 32}
    values = {"model": run_id, "protocol": TINY.protocol, "budget": "10k", "wrapper": "residual"}
    run = make_run(run_id, metric_value=value, **values | {"config": {"training": training}} | changes)
    store.record(run)
    return run


def test_the_best_is_the_mean_of_an_entry_in_the_same_contest(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SUITES, "tiny-v1", TINY)
    store = Store(str(bench.db))
    own = recorded(store, "own", 0.55)
    for seed, value in enumerate((0.5, 0.9)):
        recorded(store, f"best{seed}", value, model="gru", seed=seed)
    recorded(store, "longer", 1.0, config={"training": {"max_steps": 6, "batch_size": 32}})
    recorded(store, "larger", 1.0, budget="100k")
    recorded(store, "plain", 1.0, wrapper="plain")
    (best,) = best_in_suites(store, own)
    assert (best.suite, best.model, best.seeds, best.run_ids) == ("tiny-v1", "gru", 2, ("best0", "best1"))
    assert best.score == pytest.approx(100 * (0.7 - 0.1) / 0.9)
    store.add_event(store.find("best0")[0], "retracted", "wrong")
    store.add_event(store.find("best1")[0], "retracted", "wrong")
    assert [each.run_ids for each in best_in_suites(store, own)] == [("own",)]
    assert best_in_suites(store, store.find("longer")[0]) == []


def test_run_says_which_run_it_was_where_its_weights_are_and_how_it_stands(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SUITES, "tiny-v1", TINY)
    first = bench("run", "--model", "gru", *AT).stdout
    (run,) = bench.json("runs")
    weights = Store(str(bench.db)).artifacts / run["run_id"] / "weights.safetensors"
    assert weights.exists()
    assert f"  Run {run['run_id']}; weights: {weights}\n" in first
    assert f"  this run:       python -m bench show {run['run_id']}\n" in first
    score = f"{run['score']:.1f}"
    assert f"Score {score}. It leads tiny-v1 on digits at 10k, residual (score {score} over 1 seed).\n" in first
    recorded(Store(str(bench.db)), "rival", 1.0, params_total=9_876)
    weights.unlink()
    again = bench("run", "--model", "gru", *AT, "--db", str(bench.db)).stdout
    best = "Best of tiny-v1 on digits at 10k, residual: rival, score 100.0 over 1 seed, 9,876 parameters."
    assert f"Score {score}. {best}\n" in again
    assert "weights: not on this machine\n" in again

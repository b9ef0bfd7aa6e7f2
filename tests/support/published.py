"""Runs as a suite has them, and comparison of rankings, for tests of published results."""

from collections.abc import Iterator
from typing import Any

from bench.catalog.suites import find_suite
from db.identity import run_id
from db.schema import CurvePoint, Run
from db.store import Store
from tests.support.runs import make_run

QUICK = find_suite("quick-v1")
TOLERANCE = 1e-4


def suite_run(model: str = "fru", task: str = "digits", seed: int = 0, **changes: Any) -> Run:
    """A run of quick-v1 at 10k that has the id of what it is."""
    values: dict[str, Any] = {"model": model, "task": task, "seed": seed, "budget": "10k", "protocol": 1,
                              "wrapper": "plain", "task_version": 1,
                              "config": {"training": dict(QUICK.tasks.get(task, {}))}} | changes  # fmt: skip
    return make_run(run_id(values), **values)


def record_suite(store: Store, model: str, metric: float, points: int = 50, **changes: Any) -> list[Run]:
    """Five seeds of every cell of quick-v1 at 10k."""
    runs = [
        suite_run(model, task, seed, metric_value=metric + seed / 100, **changes)
        for task in QUICK.tasks
        for seed in range(5)
    ]
    return [store.record(run, curve(points)) for run in runs]


def curve(points: int) -> list[CurvePoint]:
    return [
        CurvePoint(name="train/loss", epoch=step, step=17 * step, value=1 / 3 / step) for step in range(1, 1 + points)
    ]


def moved(stored: Any, computed: Any, place: str = "") -> Iterator[str]:
    """Where two documents differ, numbers by more than TOLERANCE."""
    if isinstance(stored, dict) and isinstance(computed, dict):
        for name in stored.keys() | computed.keys():
            yield from moved(stored.get(name), computed.get(name), f"{place}/{name}")
    elif isinstance(stored, list) and isinstance(computed, list | tuple) and len(stored) == len(computed):
        for index, pair in enumerate(zip(stored, computed, strict=True)):
            yield from moved(*pair, f"{place}/{index}")
    elif isinstance(stored, float) and isinstance(computed, float):
        if not abs(stored - computed) <= TOLERANCE:
            yield f"{place}: {stored} is {computed}"
    elif stored != computed:
        yield f"{place}: {stored!r} is {computed!r}"

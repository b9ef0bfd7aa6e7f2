"""What entries cost: by hand, and where it can't be said."""

import pytest

from bench.catalog.suites import find_suite
from bench.ranking.cells import EntryKey
from bench.reports.costs import Costs, entry_costs
from db.schema import Run
from db.standing import Standing
from tests.support.synthetic import synthetic_runs

SUITE = find_suite("quick-v1")
FRU = EntryKey("fru", "plain", "10k", "defaults", "")


def costs(runs: list[Run]) -> Costs:
    return entry_costs(runs, Standing.of([]), SUITE)[FRU]


def made() -> list[Run]:
    """Three seeds of four tasks; each task takes ten times as long a step and as much energy as the one before."""
    runs = [Run(**values) for values in synthetic_runs(["fru"], "quick-v1", ("10k",), 3)]
    for run in runs:
        place = list(SUITE.tasks).index(run.task)
        run.facts |= {"step_seconds": 1e-5 * 10**place * (1, 1, 50)[run.seed], "gpu_joules": 10.0**place + run.seed}
        run.peak_memory_host = 1_000 * (place + 1) + run.seed
    return runs


def test_by_hand() -> None:
    found = costs(made())
    assert found.step_seconds == pytest.approx(1e-5 * 10**1.5)  # of medians, which one slow seed does not move
    assert found.memory_bytes == 4_002
    assert found.joules == pytest.approx(1_111 + 4)


def test_memory_is_the_gpus_where_one_was_used() -> None:
    runs = made()
    for run in runs:
        run.peak_memory_device = 77
    assert costs(runs).memory_bytes == 77


def test_what_was_not_measured_is_not_said() -> None:
    runs = made()
    for run in runs:
        if run.task == "digits":
            del run.facts["gpu_joules"]
        del run.facts["step_seconds"]
    assert (costs(runs).step_seconds, costs(runs).joules) == (None, None)


def test_times_of_several_machines_are_not_mixed() -> None:
    runs = made()
    runs[0].environment = runs[0].environment | {"cpu": "another"}
    found = costs(runs)
    assert (found.step_seconds, found.joules) == (None, None)
    assert found.memory_bytes == 4_002

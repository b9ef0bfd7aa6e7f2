"""Differences of two entries: against SciPy's Welch test, by hand, and how often their intervals cover."""

import numpy as np
import pytest
from scipy import stats

from bench.ranking.cells import Cells, EntryKey
from bench.ranking.difference import Difference, differences

TASKS = ("a", "b")


def cells(*entries: list[list[float]]) -> Cells:
    """Scores by entry, task and seed."""
    longest = max(len(cell) for entry in entries for cell in entry)
    values_ETN = np.array([[[*cell, *[np.nan] * (longest - len(cell))] for cell in entry] for entry in entries])
    names = [EntryKey(f"m{index}", "plain", "10k", "defaults", "") for index in range(len(entries))]
    return Cells(
        entries=names, results=[[] for _ in names], values=values_ETN, whole=np.ones(values_ETN.shape[:2], dtype=bool)
    )


def test_one_task_against_scipy() -> None:
    first, second = [80.0, 84, 79, 88, 90], [60.0, 75, 71]
    (found,) = differences(cells([first], [second]), ("a",), 0, 1).by_task.values()
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert found.score == pytest.approx(np.mean(first) - np.mean(second))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_two_tasks_by_hand() -> None:
    # Means 12 and 52 against 10 and 40: ΔS = (2 + 12) / 2 = 7. Variances 1 and 4 against 1 and 0, three seeds each:
    # a = 1/3, 4/3, 1/3, 0; SE² = (1/4) · 2 = 0.5; ν = 2² / ((1/9 + 16/9 + 1/9) / 2) = 4.
    table = cells([[11, 12, 13], [50, 52, 54]], [[9, 10, 11], [40, 40, 40]])
    found = differences(table, TASKS, 0, 1)
    half = 2.7764451 * 0.5**0.5
    assert found.overall is not None
    assert (found.overall.score, found.overall.low, found.overall.high) == pytest.approx((7, 7 - half, 7 + half))
    assert {task: each.score for task, each in found.by_task.items()} == {"a": 2, "b": 12}


def test_the_other_way_round_changes_the_sign() -> None:
    table = cells([[11, 12, 13], [50, 52, 54]], [[9, 10, 12], [40, 41, 40]])
    there, back = differences(table, TASKS, 0, 1).overall, differences(table, TASKS, 1, 0).overall
    assert there is not None
    assert back == Difference(score=-there.score, low=-there.high, high=-there.low)  # type: ignore[operator]


def test_only_tasks_that_both_have_are_compared() -> None:
    found = differences(cells([[10, 12], [50, 52]], [[8, 10], []]), TASKS, 0, 1)
    assert list(found.by_task) == ["a"]
    assert found.overall == found.by_task["a"]
    assert differences(cells([[10, 12], []], [[], [8, 10]]), TASKS, 0, 1).overall is None


@pytest.mark.parametrize("cell", [[50.0], [50.0, 50.0, 50.0]], ids=["a single seed", "all seeds alike"])
def test_no_interval_where_nothing_is_known_of_the_spread(cell: list[float]) -> None:
    found = differences(cells([cell], [[40.0, 40.0, 40.0]]), ("a",), 0, 1).overall
    assert found == Difference(score=10, low=None, high=None)


def test_intervals_stay_within_what_a_difference_can_be() -> None:
    found = differences(cells([[100, 100, 40]], [[0, 0, 10]]), ("a",), 0, 1).overall
    assert found is not None
    assert found.high == 100


def test_the_interval_covers_as_often_as_it_says() -> None:
    draws, generator = 2_000, np.random.default_rng(0)
    spread_ET1 = np.array([[[1.0], [4.0]], [[2.0], [0.5]]])
    hits = 0
    for values_ETN in 50 + spread_ET1 * generator.standard_normal((draws, 2, 2, 5)):
        found = differences(cells(*values_ETN.tolist()), TASKS, 0, 1).overall
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0 <= found.high
    assert 0.935 < hits / draws < 0.965

"""The statistics of the ranking, on cases worked out by hand, by full enumeration and by simulation."""

from itertools import combinations, product
from statistics import mean, variance

import numpy as np
import pytest

from bench.ranking.budget_auc import budget_auc
from bench.ranking.pareto import on_front
from bench.ranking.permutation import DRAWS, MOST_DEALINGS, dealings, p_values
from bench.ranking.rank_interval import LEVEL, holm, rank_intervals, smallest_difference
from bench.ranking.score_interval import standard_error, t_interval, task_interval

PAIR = np.array([[0, 1]])


def table(*entries: list[list[float]]) -> np.ndarray:
    """Scores by entry, task and seed, in rising order, NaN beyond the last."""
    widest = max(len(cell) for entry in entries for cell in entry)
    return np.array([[[*sorted(cell), *[np.nan] * (widest - len(cell))] for cell in entry] for entry in entries])


def moments(values_ETN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.nanvar(values_ETN, axis=2, ddof=1), (~np.isnan(values_ETN)).sum(2)


def test_standard_error_by_hand() -> None:
    # Task 1: mean 40, squared deviations 400 + 400 = 800, s² = 200, a = s²/n = 40.
    # Task 2: mean 60, squared deviations 100 + 100 + 100 + 0 + 900 = 1200, s² = 300, a = 60.
    # SE² = (40 + 60) / 2² = 25;  ν = 100² / (40²/4 + 60²/4) = 10000 / 1300.
    values = table([[20, 40, 40, 40, 60], [50, 50, 50, 60, 90]])
    error, freedom = standard_error(*moments(values))
    assert (error[0], freedom[0]) == (pytest.approx(5), pytest.approx(100 / 13))
    low, high = t_interval(np.array([50.0]), error, freedom)
    # Tables give t(0.975) = 2.365 at 7 and 2.306 at 8 degrees of freedom.
    assert 2.306 < (50 - low[0]) / 5 < 2.365
    assert low[0] + high[0] == pytest.approx(100)


def test_unequal_seeds_in_the_standard_error() -> None:
    # s² = 2 from two seeds: a = 1; s² = 4 from four (deviations ±√3 twice each: 12/3): a = 1.
    # SE² = 2/4; ν = 2² / (1/1 + 1/3) = 3.
    root = 3**0.5
    error, freedom = standard_error(*moments(table([[49, 51], [50 - root, 50 - root, 50 + root, 50 + root]])))
    assert (error[0] ** 2, freedom[0]) == (pytest.approx(0.5), pytest.approx(3))


def test_intervals_stay_within_what_a_score_can_be() -> None:
    low, high = t_interval(np.array([1.0, 99.0]), np.array([2.0, 2.0]), np.array([4.0, 4.0]))
    assert (low[0], high[1]) == (0, 100)


def test_no_spread_gives_no_interval() -> None:
    error, freedom = standard_error(np.zeros((1, 3)), np.full((1, 3), 5))
    assert np.isnan(t_interval(np.array([50.0]), error, freedom)).all()


@pytest.mark.parametrize("tasks", [1, 4, 10])
@pytest.mark.parametrize("spread", ["equal", "unequal"])
def test_the_interval_covers_as_often_as_it_says(tasks: int, spread: str) -> None:
    rng = np.random.default_rng(tasks)
    deviation_T = np.ones(tasks) if spread == "equal" else np.geomspace(0.1, 2, tasks)
    values_ETN = 50 + deviation_T[:, None] * rng.standard_normal((10_000, tasks, 5))
    low, high = t_interval(values_ETN.mean((1, 2)), *standard_error(*moments(values_ETN)))
    coverage = ((low <= 50) & (high >= 50)).mean()
    print(f"{tasks} tasks, {spread} variances: coverage {coverage:.3f}")
    assert 0.92 < coverage < 0.98


def test_resampled_tasks() -> None:
    # Of two tasks, both draws hit the lower one with probability 1/4 and the upper with 1/4: more than 2.5% each.
    low, high = task_interval(np.array([[20.0, 60.0], [60.0, 20.0], [30.0, 30.0]]))
    assert (low.tolist(), high.tolist()) == ([20, 20, 30], [60, 60, 30])
    assert np.isnan(task_interval(np.array([[20.0]]))).all()
    low, high = task_interval(np.array([[1.0, 9, 14, 41, 77, 78, 90], [90, 41, 1, 9, 77, 14, 78]]))
    assert (low[0], high[0]) == (low[1], high[1])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # Of the 6 dealings of {1, 2, 3, 4} two have d = ±2 and t² = 8, two have ±1 and 0.5, two have 0.
        ([3, 4], [1, 2], 2 / 6),
        ([2, 4], [1, 3], 4 / 6),
        ([1, 4], [2, 3], 1),
        # All of 5 above all of 5: this dealing and its mirror image, of C(10, 5) = 252.
        ([6, 7, 8, 9, 10], [1, 2, 3, 4, 5], 2 / 252),
        # Two against three, without spread: no other of the C(5, 2) = 10 dealings is so.
        ([3, 3], [0, 0, 0], 1 / 10),
        ([5, 5], [5, 5], 1),
    ],
)
def test_permutation_by_hand(first: list[float], second: list[float], expected: float) -> None:
    assert p_values(table([first], [second]), PAIR)[0] == pytest.approx(expected)


def dealt(first: list[float], second: list[float]) -> list[tuple[float, float]]:
    """The difference of means and its variance in every dealing of one task, slowly."""
    pool, every = first + second, []
    for chosen in combinations(range(len(pool)), len(first)):
        own = [pool[i] for i in chosen]
        others = [pool[i] for i in range(len(pool)) if i not in chosen]
        every.append((mean(own) - mean(others), variance(own) / len(own) + variance(others) / len(others)))
    return every


def enumerated(first: list[list[float]], second: list[list[float]]) -> tuple[float, int]:
    """The share of all dealings in which |t| is as large as seen, and how many dealings there are."""
    every = [
        sum(d for d, _ in parts) ** 2 / max(sum(v for _, v in parts), 1e-12)
        for parts in product(*(dealt(a, b) for a, b in zip(first, second, strict=True)))
    ]
    return float(np.mean(np.array(every) >= every[0] * (1 - 1e-9))), len(every)


@pytest.mark.parametrize("case", range(6))
def test_few_dealings_are_enumerated(case: int) -> None:
    first, second = drawn_pair(case, (((4, 4), (2, 3)), ((5, 5),), ((2, 4), (3, 2), (2, 2)))[case % 3])
    exact, count = enumerated(first, second)
    assert count <= DRAWS
    assert p_values(table(first, second), PAIR)[0] == pytest.approx(exact)
    assert p_values(table(second, first), PAIR)[0] == pytest.approx(exact)


@pytest.mark.parametrize("case", range(12))
def test_of_many_dealings_some_are_drawn(case: int) -> None:
    first, second = drawn_pair(case, (((5, 5), (4, 4)), ((4, 4), (3, 4), (2, 2)), ((3, 3), (4, 2), (2, 3)))[case % 3])
    exact, count = enumerated(first, second)
    assert count > DRAWS
    p = p_values(table(first, second), PAIR)[0]
    assert p == pytest.approx(exact, rel=0.2, abs=2 / count)
    assert p_values(table(second, first), PAIR)[0] == p


def drawn_pair(case: int, shape: tuple[tuple[int, int], ...]) -> tuple[list[list[float]], list[list[float]]]:
    """Scores of two entries that differ on some tasks, more in every second case."""
    rng = np.random.default_rng(case)
    shifts = (10 + 10 * (case % 2)) * rng.normal(0.5, 1, len(shape))
    first = [(50 + shift + rng.normal(0, 5, a)).tolist() for shift, (a, _) in zip(shifts, shape, strict=True)]
    return first, [rng.normal(50, 9, b).tolist() for _, b in shape]


@pytest.mark.parametrize("apart", [2.0, 4.0])
def test_small_p_are_as_exact_as_large_ones(apart: float) -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(50 + apart, 1, (3, 4)).tolist(), rng.normal(50, 1, (3, 4)).tolist()
    exact, _ = enumerated(first, second)
    assert exact < 1e-3
    assert p_values(table(first, second), PAIR)[0] == pytest.approx(exact, rel=0.15)


def test_dealings_of_a_task_are_drawn_where_there_are_too_many() -> None:
    # C(18, 9) = 48,620, of which 10,000 are drawn, and of these 2,000: the standard error of p = 0.2 is 0.01.
    rng = np.random.default_rng(1)
    first, second = rng.normal(50.6, 1, 9).tolist(), rng.normal(50, 1, 9).tolist()
    exact, _ = enumerated([first], [second])
    assert len(dealings(9, 9)) == MOST_DEALINGS
    assert p_values(table([first], [second]), PAIR)[0] == pytest.approx(exact, abs=0.03)


def test_p_is_never_zero() -> None:
    values = table([[100, 101, 102, 103, 104]] * 10, [[0, 1, 2, 3, 4]] * 10)
    assert 252.0**-10 <= p_values(values, PAIR)[0] < 252.0**-9
    many = table([[*range(100, 109)]], [[*range(9)]])  # drawn dealings: the one that was seen is among them
    assert 0.99 <= p_values(many, PAIR)[0] * MOST_DEALINGS < 5


def false_alarms(first_TN: np.ndarray, second_TN: np.ndarray) -> float:
    """How often p ≤ 5%, over many pairs of entries: arrays of pairs × tasks × seeds."""
    seeds = max(first_TN.shape[2], second_TN.shape[2])
    padded = [
        np.pad(np.sort(x, axis=2), ((0, 0), (0, 0), (0, seeds - x.shape[2])), constant_values=np.nan)
        for x in (first_TN, second_TN)
    ]
    pairs = np.arange(2 * len(first_TN)).reshape(2, -1).T
    return float((p_values(np.concatenate(padded), pairs) <= LEVEL).mean())


def test_alike_entries_are_told_apart_no_more_often_than_the_level() -> None:
    # 2,000 pairs of entries with four tasks of unequal spread. The standard error of 5% is 0.5%.
    deviation_T1 = np.geomspace(0.2, 5, 4)[:, None]
    first, second = 50 + deviation_T1 * np.random.default_rng(0).standard_normal((2, 2_000, 4, 5))
    assert 0.03 < false_alarms(first, second) < 0.065


def test_entries_of_equal_scores_and_unlike_spreads_are_not_told_apart() -> None:
    # Five seeds of one entry spread ten times as wide as twenty of the other. The plain difference, which takes the
    # spread of all results for that of either entry, tells 32% of such pairs apart.
    rng = np.random.default_rng(0)
    first, second = 50 + 10 * rng.standard_normal((500, 2, 5)), 50 + rng.standard_normal((500, 2, 20))
    assert false_alarms(first, second) < 0.09


def test_entries_that_win_on_different_tasks_are_told_apart() -> None:
    # ΔS = 10 with a standard error of 0.9. By the plain difference p is 0.27: it takes the differences of the tasks, of
    # which the dealings change the signs, for noise.
    seeds = np.array([-2.0, -1, 0, 1, 2])
    first, second = table([90 + seeds, 50 + seeds]), table([40 + seeds, 80 + seeds])
    assert p_values(np.concatenate([first, second]), PAIR)[0] < 0.001


def test_holm_by_hand() -> None:
    # In order: 4 × 0.005 = 0.02, 3 × 0.01 = 0.03, 2 × 0.03 = 0.06, and 0.04 → 0.06, since it may not fall again.
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.6])).tolist() == [1, 1]
    assert holm(np.empty(0)).tolist() == []


def ranks(values_ETN: np.ndarray) -> list[tuple[int, int]]:
    low, high = rank_intervals(np.nanmean(values_ETN, axis=2).mean(1), values_ETN)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def test_rank_intervals_by_hand() -> None:
    # Two tasks. The first entry is above the others throughout: p = 2/252² each, × 3 pairs: far under 5%.
    # The other two have the same seeds: p = 1.
    above, below = [[81, 82, 83, 84, 85]] * 2, [[41, 42, 43, 44, 45]] * 2
    assert ranks(table(below, above, below)) == [(2, 3), (1, 1), (2, 3)]


@pytest.mark.parametrize(("entries", "expected"), [(4, [(1, 1), (2, 2), (3, 3), (4, 4)]), (5, [(1, 5)] * 5)])
def test_one_task_and_five_seeds_tell_four_entries_apart_but_not_five(
    entries: int, expected: list[tuple[int, int]]
) -> None:
    # All parted: p = 2/252 for every pair. 6 pairs: 0.0476 ≤ 0.05 for the first, less strict for the next.
    # 10 pairs: 0.079. Then no difference whatever could be seen.
    values = table(*[[[90 - 20 * entry + seed for seed in range(5)]] for entry in range(entries)])
    assert ranks(values) == expected
    assert (smallest_difference(*moments(values)) is None) == (entries == 5)


def test_smallest_difference_by_hand() -> None:
    # Each cell has s² = 2.5 from five seeds, a = 0.5; two tasks: SE² = 1/4 each, √(1/4 + 1/4) = 0.7071 for ΔS.
    # ν = (4 × 0.5)² / (4 × 0.25/4) = 16; one pair: t(0.975, 16) = 2.120 by the table.
    values = table([[1, 2, 3, 4, 5]] * 2, [[11, 12, 13, 14, 15]] * 2)
    assert smallest_difference(*moments(values)) == pytest.approx(2.120 * 0.7071, rel=1e-3)
    assert smallest_difference(*moments(values[:1])) is None


@pytest.mark.parametrize(
    ("scores", "params", "expected"),
    [
        ([50, 60, 60, 40], [10, 20, 30, 5], [True, True, False, True]),
        ([50, 50], [10, 10], [True, True]),  # neither is strictly better
        ([50, 40], [10, 10], [True, False]),
        ([50, 50], [20, 10], [False, True]),
        ([50], [1], [True]),
    ],
)
def test_front_by_hand(scores: list[float], params: list[float], expected: list[bool]) -> None:
    assert on_front(np.array([scores], dtype=float), np.array(params, dtype=float)).tolist() == [expected]


def test_front_against_its_definition() -> None:
    rng = np.random.default_rng(0)
    score_RE, params_E = rng.integers(0, 6, (200, 7)).astype(float), rng.integers(0, 4, 7).astype(float)
    as_good = score_RE[:, :, None] >= score_RE[:, None, :]
    as_small = (params_E[:, None] <= params_E[None, :])[None]
    strictly = (score_RE[:, :, None] > score_RE[:, None, :]) | (params_E[:, None] < params_E[None, :])
    dominated = (as_good & as_small & strictly).any(1)
    assert (on_front(score_RE, params_E) == ~dominated).all()


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(1e4, 30), (1e5, 60), (1e6, 90)], 60),  # a decade each: (30 + 60 + 90) / 3
        ([(1e4, 50), (1e5, 40), (1e6, 80)], 60),  # larger but worse is never used: (50 + 50 + 80) / 3
        ([(9e3, 30), (1e5, 60), (1e6, 90)], 60),  # what lies under 10⁴ counts from 10⁴ on
        ([(10**4.5, 60)], 50),  # nothing in the first half of a decade: 60 × 2.5 / 3
        ([(1e5, 60), (1e5, 30), (1e8, 90)], 40),  # 60 × 2 / 3
        ([], 0),
    ],
)
def test_budget_auc_by_hand(points: list[tuple[float, float]], expected: float) -> None:
    assert budget_auc(points, 1e4, 1e7) == pytest.approx(expected)


def test_budget_auc_is_over_the_tiers_that_a_suite_has() -> None:
    assert budget_auc([(1e3, 30), (1e4, 60)], 1e3, 1e5) == pytest.approx(45)  # a decade each: (30 + 60) / 2
    assert budget_auc([(1e3, 30), (1e4, 60)], 1e3, 1e4) == pytest.approx(30)  # 10⁴ ends the mean

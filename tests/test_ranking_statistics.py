"""The statistics of the ranking, on cases worked out by hand, by full enumeration and by simulation."""

from itertools import combinations, product

import numpy as np
import pytest

from bench.budget import TIERS as BUDGET_TIERS
from bench.ranking.budget_auc import budget_auc
from bench.ranking.interval import standard_error, t_interval, task_interval
from bench.ranking.pareto import on_front
from bench.ranking.permutation import COARSE, FINE, MOST_DEALINGS, dealings, p_values
from bench.ranking.suite import TIERS
from bench.ranking.ties import LEVEL, holm, pair_p_values, rank_intervals, smallest_difference

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
        # Of the 6 dealings of {1, 2, 3, 4} two have |D| = 2, two have 1, two have 0.
        ([3, 4], [1, 2], 2 / 6),
        ([2, 4], [1, 3], 4 / 6),
        ([1, 4], [2, 3], 1),
        # All of 5 above all of 5: this dealing and its mirror image, of C(10, 5) = 252.
        ([6, 7, 8, 9, 10], [1, 2, 3, 4, 5], 2 / 252),
        # One against three, of {0, 0, 0, 3}: D = 3 when the 3 stands alone, otherwise D = 0 − 1.
        ([3], [0, 0, 0], 1 / 4),
        ([5, 5], [5, 5], 1),
    ],
)
@pytest.mark.parametrize("points", [COARSE, FINE])
def test_permutation_by_hand(first: list[float], second: list[float], expected: float, points: int) -> None:
    assert p_values(table([first], [second]), PAIR, points=points)[0] == pytest.approx(expected)


def dealt(first: list[float], second: list[float]) -> list[float]:
    """D of every dealing of one task, slowly."""
    pool = first + second
    return [
        sum(pool[i] for i in chosen) / len(first)
        - sum(pool[i] for i in range(len(pool)) if i not in chosen) / len(second)
        for chosen in combinations(range(len(pool)), len(first))
    ]


def enumerated(first: list[list[float]], second: list[list[float]]) -> tuple[np.ndarray, float]:
    """|D| of every dealing of all tasks, and the one that was seen."""
    every = product(*(dealt(a, b) for a, b in zip(first, second, strict=True)))
    seen = sum(np.mean(a) - np.mean(b) for a, b in zip(first, second, strict=True))
    return np.abs([sum(parts) for parts in every]) / len(first), abs(seen) / len(first)


@pytest.mark.parametrize("case", range(12))
def test_permutation_against_full_enumeration(case: int) -> None:
    rng = np.random.default_rng(case)
    shape = [((4, 4), (3, 4), (2, 2)), ((5, 5), (5, 5)), ((2, 5), (3, 1), (2, 2))][case % 3]
    draw = (lambda n: (rng.normal(50, 9, n)).tolist()) if case % 2 else (lambda n: rng.choice([0, 20, 100], n).tolist())
    first, second = [draw(a) for a, _ in shape], [[x + 7.0 for x in draw(b)] for _, b in shape]
    dealings_seen, seen = enumerated(first, second)
    exact = (dealings_seen >= seen - 1e-9).mean()
    for points in (COARSE, FINE):
        p = p_values(table(first, second), PAIR, points=points)[0]
        # The grid may count in what lies within T steps of what was seen; a step is 2 max|D| over the grid's points.
        slack = len(shape) * 2 * dealings_seen.max() / (10 * points - len(shape) - 2)
        assert exact - 1e-9 <= p <= (dealings_seen >= seen - slack - 1e-9).mean() + 1e-9
        assert p_values(table(second, first), PAIR, points=points)[0] == pytest.approx(p)


def test_the_fine_grid_is_nearly_exact_in_the_tail() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(52, 1, (3, 4)).tolist(), rng.normal(50, 1, (3, 4)).tolist()
    dealings_seen, seen = enumerated(first, second)
    exact = (dealings_seen >= seen - 1e-9).mean()
    assert exact < 1e-3
    assert p_values(table(first, second), PAIR, points=FINE)[0] == pytest.approx(exact, rel=0.05)


def test_dealings_are_drawn_where_there_are_too_many() -> None:
    # C(18, 9) = 48,620, of which 10,000 are drawn: the standard error of p = 0.2 is 0.004.
    rng = np.random.default_rng(1)
    first, second = rng.normal(50.6, 1, 9).tolist(), rng.normal(50, 1, 9).tolist()
    dealings_seen, seen = enumerated([first], [second])
    assert len(dealings(9, 9)) == MOST_DEALINGS
    exact = (dealings_seen >= seen - 1e-9).mean()
    p = p_values(table([first], [second]), PAIR, points=FINE)[0]
    assert p == pytest.approx(exact, abs=4 * (exact * (1 - exact) / MOST_DEALINGS) ** 0.5 + 0.005)


def test_p_is_never_zero() -> None:
    values = table([[100, 101, 102, 103, 104]] * 10, [[0, 1, 2, 3, 4]] * 10)
    assert 1e-15 <= p_values(values, PAIR, points=COARSE)[0] < 1e-12
    many = table([[*range(100, 109)]], [[*range(9)]])  # drawn dealings: the one that was seen is among them
    assert 0.99 <= p_values(many, PAIR, points=COARSE)[0] * MOST_DEALINGS < 5


def test_alike_entries_are_told_apart_no_more_often_than_the_level() -> None:
    # 2,000 pairs of entries with four tasks of unequal spread. The standard error of 5% is 0.5%.
    deviation_T = np.geomspace(0.2, 5, 4)[:, None]
    values_ETN = np.sort(50 + deviation_T * np.random.default_rng(0).standard_normal((4_000, 4, 5)), axis=2)
    p = p_values(values_ETN, np.arange(4_000).reshape(-1, 2), points=FINE)
    assert 0.03 < (p <= 0.05).mean() < 0.065


def test_holm_by_hand() -> None:
    # In order: 4 × 0.005 = 0.02, 3 × 0.01 = 0.03, 2 × 0.03 = 0.06, and 0.04 → 0.06, since it may not fall again.
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.6])).tolist() == [1, 1]
    assert holm(np.empty(0)).tolist() == []


def test_verdicts_are_those_of_the_fine_grid() -> None:
    pairs, coarse_is_wrong = np.array(list(combinations(range(12), 2))), 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        mean_ET = 50 + rng.normal(0, 3, (12, 1)) + rng.normal(0, 4, (12, 10))
        values_ETN = np.sort(mean_ET[..., None] + rng.normal(0, 3, (12, 10, 5)), axis=2)
        fine = holm(p_values(values_ETN, pairs, points=FINE)) <= LEVEL
        assert ((holm(pair_p_values(values_ETN, pairs)) <= LEVEL) == fine).all()
        coarse_is_wrong += ((holm(p_values(values_ETN, pairs, points=COARSE)) <= LEVEL) != fine).sum()
    assert coarse_is_wrong


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
    assert budget_auc(points) == pytest.approx(expected)


def test_the_tiers_are_those_of_the_budgets() -> None:
    assert set(BUDGET_TIERS) == TIERS

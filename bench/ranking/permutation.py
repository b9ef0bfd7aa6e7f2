"""Whether two entries differ: a stratified two-sided permutation test of the studentized difference.

If two entries are alike, it is arbitrary which of a task's results belong to which entry. The test's statistic is

    t = ΔS / SE,    ΔS = (1/T) Σ_t (m_a − m_b),    SE² = (1/T²) Σ_t (s_a² / n_a + s_b² / n_b),

with the means m and sample variances s² of each task. The test compares the t that was seen with t in all
Π_t C(n_a + n_b, n_a) ways to deal out each task's results again: p is the share of these ways in which |t| is as large
(Pitman 1937; stratified: Pesarin & Salmaso 2010). ΔS alone would not do. It tells apart too many entries that score
alike but have unlike spreads and numbers of seeds, and too few that win on different tasks. Divided by the standard
error of the same dealing, ΔS holds its level for those too, the better the more seeds there are (Neuhaus 1993; Janssen
1997; Chung & Romano 2013).

If there are few dealings, all are enumerated; if there are many, some are drawn (`bench.ranking.importance_sampling`).

Shapes: P pairs, T tasks, L dealings of a task, D dealings of all tasks, N seeds.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations
from math import comb, prod

import numpy as np

from bench.ranking.cells import BoolArray, FloatArray, IntArray
from bench.ranking.importance_sampling import Task, drawn, seen, total

DRAWS = 2_000  # the most dealings of all tasks that are enumerated; where there are more, this many are drawn
MOST_DEALINGS = 10_000  # of a task
ROUNDING = 1e-9  # relative difference up to which statistics are alike
CHUNK = 2**20  # numbers at a time


def p_values(values_ETN: FloatArray, pairs_P2: IntArray) -> FloatArray:
    """Return p of each pair of entries.

    Args:
        values_ETN: scores by entry, task and seed; NaN after a cell's last. A cell has at least two.
        pairs_P2: the indices of each pair's entries.
    """
    score_E = np.nanmean(values_ETN, axis=2).mean(1)
    best_first_P2 = np.take_along_axis(pairs_P2, np.argsort(-score_E[pairs_P2], axis=1, kind="stable"), axis=1)
    p_P = np.empty(len(pairs_P2))
    for seeds, members in _by_seeds((~np.isnan(values_ETN)).sum(2), best_first_P2):
        most = sum(len(dealings(a, b)) for a, b in seeds)
        for chunk in np.array_split(members, -(-len(members) * most // CHUNK)):
            p_P[chunk] = _p([_task(values_ETN[:, t], best_first_P2[chunk], *ab) for t, ab in enumerate(seeds)])
    return p_P


def _by_seeds(seeds_ET: IntArray, pairs_P2: IntArray) -> Iterator[tuple[list[tuple[int, int]], IntArray]]:
    """Yield (n_a, n_b) of each task, and the pairs with these numbers of seeds."""
    if len(pairs_P2):
        shapes, which_P = np.unique(seeds_ET[pairs_P2].transpose(0, 2, 1), axis=0, return_inverse=True)
        for number, shape in enumerate(shapes.tolist()):
            yield [(a, b) for a, b in shape], np.flatnonzero(which_P.ravel() == number)


def _task(values_EN: FloatArray, pairs_P2: IntArray, a: int, b: int) -> Task:
    x_PN = np.concatenate([values_EN[pairs_P2[:, 0], :a], values_EN[pairs_P2[:, 1], :b]], axis=1)
    x_PN = x_PN - x_PN.mean(1, keepdims=True)  # so that the second's sum is the first's, negated
    chosen_NL = dealings(a, b).T.astype(float)
    sum_PL, squares_PL = x_PN @ chosen_NL, x_PN**2 @ chosen_NL
    all_squares_P1 = (x_PN**2).sum(1, keepdims=True)
    within_a_PL = squares_PL - sum_PL**2 / a
    within_b_PL = all_squares_P1 - squares_PL - sum_PL**2 / b
    variance_PL = within_a_PL / (a - 1) / a + within_b_PL / (b - 1) / b
    variance_PL[variance_PL < ROUNDING * all_squares_P1] = 0
    return Task(sum_PL * (1 / a + 1 / b), variance_PL)


@lru_cache(maxsize=64)
def dealings(first: int, second: int) -> BoolArray:
    """Return the ways to deal out a task's results, one a row: whether a result goes to the first entry.

    The first row is the way that was seen. Up to 10,000 ways, these are all. Where there are more, they are the one
    that was seen and 9,999 drawn ones, the same ones each time.

    Args:
        first, second: numbers of results of the two entries.
    """
    results = first + second
    if comb(results, first) <= MOST_DEALINGS:
        chosen = np.array(list(combinations(range(results), first)))
    else:
        drawn = np.random.default_rng(0).permuted(np.tile(np.arange(results), (MOST_DEALINGS - 1, 1)), axis=1)
        chosen = np.vstack([np.arange(first), drawn[:, :first]])
    rows = np.zeros((len(chosen), results), dtype=bool)
    np.put_along_axis(rows, chosen, True, axis=1)
    return rows


def _p(tasks: Sequence[Task]) -> FloatArray:
    counts = [task.difference_PL.shape[1] for task in tasks]
    every = prod(counts)
    dealt = drawn(tasks, DRAWS) if every > DRAWS else total(tasks, np.unravel_index(np.arange(every), counts))
    seen_P1, variance_P1, _ = seen(tasks)
    squared_PD = (1 - ROUNDING) * seen_P1**2 * dealt.variance_PD
    as_large_PD = dealt.difference_PD**2 * variance_P1 >= squared_PD
    return np.clip((dealt.weight_PD * as_large_PD).mean(1), 1 / every, 1)

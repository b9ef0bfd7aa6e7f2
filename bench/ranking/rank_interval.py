"""Which entries of a board differ, and what is then known about their ranks."""

import numpy as np
from scipy.special import binom, stdtrit

from bench.ranking.cells import FloatArray, IntArray
from bench.ranking.permutation import p_values
from bench.ranking.score_interval import standard_error

LEVEL = 0.05


def holm(p: FloatArray) -> FloatArray:
    """Return adjusted p values: p_(i) → max over j ≤ i of (m − j + 1) p_(j), at most 1 (Holm 1979).

    The chance that any of the pairs below the level is alike is at most the level. (scipy has no Holm; statsmodels
    would be a heavy dependency for these lines.)
    """
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def _pairs(entries: int) -> IntArray:
    """Every pair, once."""
    return np.argwhere(np.triu(np.ones((entries, entries), dtype=bool), 1))


def rank_intervals(score_E: FloatArray, values_ETN: FloatArray) -> tuple[IntArray, IntArray]:
    """Return the lowest and the highest rank of each of the k entries, by Holm over all pairs.

        [1 + number significantly better, k − number significantly worse]

    Args:
        values_ETN: scores by entry, task and seed, at least two in a cell; NaN after a cell's last.
    """
    entries = len(score_E)
    pairs_P2 = _pairs(entries)
    differ_P = holm(p_values(values_ETN, pairs_P2)) <= LEVEL
    first_is_better_P = score_E[pairs_P2[:, 0]] > score_E[pairs_P2[:, 1]]
    better_P = np.where(first_is_better_P, pairs_P2[:, 0], pairs_P2[:, 1])[differ_P]
    worse_P = np.where(first_is_better_P, pairs_P2[:, 1], pairs_P2[:, 0])[differ_P]
    low_E = 1 + np.bincount(worse_P, minlength=entries)
    return low_E, entries - np.bincount(better_P, minlength=entries)


def smallest_difference(variance_ET: FloatArray, count_ET: IntArray) -> float | None:
    """Return the ΔS from which on a pair of entries would differ: the median over pairs; None where no ΔS is enough.

        t_ν(1 − level / 2m) √(SE_a² + SE_b²),   m pairs

    with Welch's and Satterthwaite's ν, at the level of the strictest of Holm's steps. The permutation test needs this
    ΔS where differences are shifts. No difference is enough where a pair's seeds have too few dealings: one task and
    five seeds have 252, so that p is at least 2/252.
    """
    pairs_P2 = _pairs(len(count_ET))
    if len(pairs_P2) == 0:
        return None
    level = LEVEL / len(pairs_P2)
    first, second = pairs_P2.T
    counts = np.concatenate([count_ET[first], count_ET[second]], axis=1)
    error_P, freedom_P = standard_error(np.concatenate([variance_ET[first], variance_ET[second]], axis=1), counts)
    critical_P = np.where(error_P > 0, stdtrit(freedom_P, 1 - level / 2) * 2 * error_P, 0)
    critical_P[_least_p(count_ET[first], count_ET[second]) > level] = np.inf
    middle = float(np.median(critical_P))
    return middle if np.isfinite(middle) else None


def _least_p(first_PT: IntArray, second_PT: IntArray) -> FloatArray:
    """p of the dealing that separates all results; where the counts are equal, its mirror image is as extreme."""
    mirrored_P = (first_PT == second_PT).all(1)
    return (1 + mirrored_P) / binom(first_PT + second_PT, first_PT).prod(1)

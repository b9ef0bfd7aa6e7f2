"""How far two entries are apart.

Shapes: T tasks.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from bench.ranking.cells import Cells, FloatArray, IntArray
from bench.ranking.score_interval import CONFIDENCE, standard_error


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Points of score by which one entry is above another, with the 95% interval for other seeds."""

    score: float
    low: float | None
    """None where the spread is unknown: a cell has a single seed, or all seeds of all cells are alike."""
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Differences:
    """The differences between two entries, on single tasks and overall."""

    by_task: dict[str, Difference]
    """Task → difference, for the tasks on which both have results."""
    overall: Difference | None
    """Difference of the means over those tasks; None where there is no such task."""


def differences(table: Cells, tasks: tuple[str, ...], first: int, second: int) -> Differences:
    """Return by how much one entry scores higher than another: on each task that both have, and on the tasks' mean.

    Args:
        table: scores, by entry and by task in the order of `tasks`.
        first, second: indices of the entries. A difference is the first's score minus the second's.
    """
    pair = [first, second]
    mean_2T, variance_2T, count_2T = table.mean[pair], table.variance[pair], table.count[pair]
    shared = np.flatnonzero((count_2T > 0).all(0)).tolist()

    def over(chosen: list[int]) -> Difference:
        return _difference(mean_2T[:, chosen], variance_2T[:, chosen], count_2T[:, chosen])

    return Differences(
        by_task={tasks[t]: over([t]) for t in shared},
        overall=over(shared) if shared else None,
    )


def _difference(mean_2T: FloatArray, variance_2T: FloatArray, count_2T: IntArray) -> Difference:
    """ΔS ± t_ν SE with SE² = (1/T²) Σ_t (s_a² / n_a + s_b² / n_b) (Welch 1947), cut to what scores allow."""
    score = float((mean_2T[0] - mean_2T[1]).mean())
    # The variances of both, side by side, are those of 2T tasks, over which `standard_error` takes a mean, not a sum.
    half_error, freedom = standard_error(variance_2T.reshape(1, -1), count_2T.reshape(1, -1))
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)[0] * 2 * half_error[0])
    if math.isnan(half):
        return Difference(score=score, low=None, high=None)
    return Difference(score=score, low=max(score - half, -100.0), high=min(score + half, 100.0))

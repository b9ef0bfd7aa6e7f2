"""How sure a score is.

Shapes: E entries, T tasks.
"""

from functools import lru_cache

import numpy as np
from scipy.special import stdtrit

from bench.ranking.cells import FloatArray, IntArray

CONFIDENCE = 0.95
RESAMPLES = 9_999


def standard_error(variance_ET: FloatArray, count_ET: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return the standard error of the stratified mean S = (1/T) Σ_t m_t, and its degrees of freedom.

        a_t = s_t² / n_t,    SE² = (1/T²) Σ a_t,    ν = (Σ a_t)² / Σ a_t² / (n_t − 1)

    Each task has its own variance (Welch 1947); ν is Satterthwaite's (1946). A cell whose seeds are all alike adds
    nothing to either. Both are NaN where a cell has fewer than two seeds; ν is NaN where no cell has spread.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        part_ET = variance_ET / count_ET
        freedom_E = part_ET.sum(1) ** 2 / (part_ET**2 / (count_ET - 1)).sum(1)
    return np.sqrt(part_ET.sum(1)) / part_ET.shape[1], freedom_E


def t_interval(score_E: FloatArray, error_E: FloatArray, freedom_E: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the ends of S ± t_ν SE, cut to [0, 100]. NaN where the spread is unknown."""
    half_E = stdtrit(freedom_E, (1 + CONFIDENCE) / 2) * error_E
    return np.maximum(score_E - half_E, 0), np.minimum(score_E + half_E, 100)


def task_interval(mean_ET: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the percentile interval of S over resampled tasks: how much S depends on the suite's choice of tasks.

    Every entry gets the same resamples, so that its interval depends on no other entry. Its tasks are taken in order of
    their means, so that the interval does not depend on their names either. NaN where there is one task only.
    """
    tasks = mean_ET.shape[1]
    if tasks == 1:
        return np.full(len(mean_ET), np.nan), np.full(len(mean_ET), np.nan)
    draws_RE = _task_weights(tasks) @ np.sort(mean_ET, axis=1).T
    tail = (1 - CONFIDENCE) / 2
    low_E, high_E = np.quantile(draws_RE, [tail, 1 - tail], axis=0)
    return low_E, high_E


@lru_cache(maxsize=8)
def _task_weights(tasks: int) -> FloatArray:
    """How often each task was drawn, over the number of draws, in each resample."""
    return np.random.default_rng(0).multinomial(tasks, np.full(tasks, 1 / tasks), size=RESAMPLES) / tasks

"""Whether two entries differ: a stratified two-sided permutation test.

If two entries are alike, it is arbitrary which of a task's results belong to which entry. The test compares the
difference ΔS that was seen with those of all the ways to deal out each task's results again:

    D = Σ_t D_t,    D_t = (mean of n_a of the task's n_a + n_b scores − mean of the others) / T,
    p = P(|D| ≥ |ΔS|),    every one of the Π_t C(n_a + n_b, n_a) dealings equally likely

(Pitman 1937; stratified: Pesarin & Salmaso 2010). The D_t are independent, so the distribution of their sum is the
convolution of theirs. It is computed by FFT on a grid of step h. Rounding moves each D_t by at most h/2, so everything
from |ΔS| − T h/2 on is counted: p is never below the exact one (but for 1e-15), and ties are counted in.

Shapes: P pairs, T tasks, L dealings of a task, M grid points, N seeds.
"""

from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
from scipy.fft import irfft, rfft

from bench.ranking.cells import FloatArray, IntArray

COARSE, FINE = 48, 384  # grid points a task, of ten tasks at least
LEAST_P = 1e-15  # smaller ones are lost in the rounding of the FFT
MOST_DEALINGS = 10_000
CHUNK = 2**17  # numbers at a time: as many as stay in the processor's cache


def p_values(values_ETN: FloatArray, pairs_P2: IntArray, *, points: int) -> FloatArray:
    """p of each pair of entries, from scores by entry, task and seed (NaN beyond a cell's last), on `points` a task."""
    tasks = values_ETN.shape[1]
    grid = 1 << (max(tasks, 10) * points - 1).bit_length()
    seeds_ET = (~np.isnan(values_ETN)).sum(2)
    widest = max((len(dealings(a, b)) for a, b in _shapes(seeds_ET, pairs_P2)), default=1)
    size = max(1, CHUNK // (tasks * max(grid, widest)))
    chunks = [pairs_P2[start : start + size] for start in range(0, len(pairs_P2), size)]
    return np.concatenate([np.empty(0), *(_chunk(values_ETN, seeds_ET, chunk, grid) for chunk in chunks)])


def _shapes(seeds_ET: IntArray, pairs_P2: IntArray) -> list[tuple[int, int]]:
    """The different (n_a, n_b)."""
    codes = seeds_ET[pairs_P2]
    return sorted(set(zip(codes[:, 0].ravel().tolist(), codes[:, 1].ravel().tolist(), strict=True)))


def _chunk(values_ETN: FloatArray, seeds_ET: IntArray, pairs_P2: IntArray, grid: int) -> FloatArray:
    first, second = pairs_P2.T
    tasks = values_ETN.shape[1]
    mean_ET = np.nansum(values_ETN, axis=2) / seeds_ET
    dealt = []
    for a, b in _shapes(seeds_ET, pairs_P2):
        p, t = np.nonzero((seeds_ET[first] == a) & (seeds_ET[second] == b))
        pooled_CN = np.concatenate([values_ETN[first[p], t, :a], values_ETN[second[p], t, :b]], axis=1)
        dealt.append((p * tasks + t, pooled_CN @ dealings(a, b).T / tasks))
    return _tails(np.abs((mean_ET[first] - mean_ET[second]).mean(1)), dealt, tasks, grid)


def _tails(seen_P: FloatArray, dealt: list[tuple[IntArray, FloatArray]], tasks: int, grid: int) -> FloatArray:
    """P(|D| ≥ seen), given D_t of every dealing of the cells p T + t, in groups of as many dealings."""
    step_P = _steps(dealt, len(seen_P), tasks, grid)
    mass_M = np.zeros(len(seen_P) * tasks * grid)
    for cell, d_CL in dealt:
        point_CL = np.rint(d_CL / step_P[cell // tasks, None]).astype(np.int64) & (grid - 1)  # negative ones at the end
        mass_M += np.bincount((cell[:, None] * grid + point_CL).ravel(), minlength=len(mass_M)) / d_CL.shape[1]
    mass_PM = irfft(rfft(mass_M.reshape(-1, tasks, grid)).prod(1), grid)
    distance_M = np.minimum(np.arange(grid), grid - np.arange(grid))
    beyond_PM = distance_M >= (seen_P / step_P - tasks / 2 - 1e-6)[:, None]
    return np.clip((mass_PM * beyond_PM).sum(1), LEAST_P, 1)


def _steps(dealt: list[tuple[IntArray, FloatArray]], pairs: int, tasks: int, grid: int) -> FloatArray:
    """The step of each pair's grid: such that the sum of all tasks never wraps around."""
    reach_C = np.empty(pairs * tasks)
    for cell, d_CL in dealt:
        reach_C[cell] = np.abs(d_CL).max(1)
    step_P = 2 * reach_C.reshape(pairs, tasks).sum(1) / (grid - tasks - 2)
    return np.where(step_P > 0, step_P, 1)


@lru_cache(maxsize=64)
def dealings(first: int, second: int) -> FloatArray:
    """The ways to deal out a task's results, one a row: 1/n_a where a result goes to the first, −1/n_b where not.

    All of them up to 10,000; of more, the one that was seen and 9,999 drawn ones, the same ones each time.
    """
    total = first + second
    if comb(total, first) <= MOST_DEALINGS:
        chosen = np.array(list(combinations(range(total), first)))
    else:
        drawn = np.random.default_rng(0).permuted(np.tile(np.arange(total), (MOST_DEALINGS - 1, 1)), axis=1)
        chosen = np.vstack([np.arange(first), drawn[:, :first]])
    weights = np.full((len(chosen), total), -1 / second)
    np.put_along_axis(weights, chosen, 1 / first, axis=1)
    return weights

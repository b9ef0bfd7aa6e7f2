"""Draw dealings by importance sampling: the few extreme ones are drawn more often and weighted back.

With d = Σ_t d_t and v = Σ_t v_t over tasks, a dealing is as extreme as the one that was seen (d₀, v₀) where
|d| / √v ≥ d₀ / √v₀. Its chance is tilted by exp(θ G), with

    G = ±d − κ v,    κ = d₀ / 2v₀.

√v lies under its tangent at v₀, so that G ≥ d₀/2 is enough for a dealing to be extreme; θ is such that this is the mean
of G. One third of the draws is tilted to the one sign and one third to the other. The last third is not tilted, so that
no part of the extreme dealings is missed. Draws are weighted by the ratio of the plain to the mixed density. This ratio
is known: tasks are dealt independently, so the mean of exp(θ G) is the product of the tasks' means. The standard error
is a few per cent of p, however small p is.

Shapes: P pairs, T tasks, L dealings of a task, D draws.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, softmax

from bench.ranking.cells import FloatArray, IntArray

ROOT_STEPS = 8
STEEPEST = 40.0  # θ times the range of G: nearly all draws are then the most extreme dealing
TINY = 1e-300  # in place of 0 where everything is alike


class Task(NamedTuple):
    """All dealings of a task, for each pair. The first dealing is the one that was seen."""

    difference_PL: FloatArray
    """d_t, the difference of the means."""
    variance_PL: FloatArray
    """v_t, the square of that difference's standard error."""


class Dealt(NamedTuple):
    """Some dealings of all tasks, with the weight of each in a mean over them."""

    difference_PD: FloatArray
    variance_PD: FloatArray
    weight_PD: FloatArray


def total(tasks: Sequence[Task], which_TD: Sequence[IntArray]) -> Dealt:
    """Combine dealings of single tasks into dealings of all tasks, the same ones for every pair, with weight 1.

    Args:
        which_TD: for each task, the indices of its dealings.
    """
    chosen = list(zip(tasks, which_TD, strict=True))
    difference_PD = np.sum([task.difference_PL[:, which_D] for task, which_D in chosen], axis=0)
    variance_PD = np.sum([task.variance_PL[:, which_D] for task, which_D in chosen], axis=0)
    return Dealt(difference_PD, variance_PD, np.ones_like(difference_PD))


def seen(tasks: Sequence[Task]) -> Dealt:
    """Return the one dealing that was seen (D = 1)."""
    return total(tasks, [np.zeros(1, dtype=np.int64)] * len(tasks))


def drawn(tasks: Sequence[Task], draws: int) -> Dealt:
    """Draw dealings, the extreme ones more often than by chance, with the weights that make up for it.

    Args:
        draws: how many, rounded down to a multiple of 3.
    """
    rng = np.random.default_rng(0)
    seen_P1, variance_P1, _ = seen(tasks)
    least_P1 = 1e-4 * sum(task.variance_PL.mean(1, keepdims=True) for task in tasks) + TINY
    kappa_P1 = seen_P1 / (2 * np.maximum(variance_P1, least_P1))
    target_P1 = seen_P1 - kappa_P1 * variance_P1
    tilts = [_Tilt.towards(target_P1, tasks, sign, kappa_P1) for sign in (1, -1)]
    tilts.append(_Tilt(1, kappa_P1, *np.zeros((2, *kappa_P1.shape))))
    parts = [tilt.draw(tasks, draws // len(tilts), rng) for tilt in tilts]
    difference_PD, variance_PD = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    ratio_PD = np.mean([np.exp(tilt.log_ratio(difference_PD, variance_PD)) for tilt in tilts], axis=0)
    return Dealt(difference_PD, variance_PD, 1 / ratio_PD)


class _Tilt(NamedTuple):
    """Dealings with chances in proportion to exp(θ G)."""

    sign: int
    kappa_P1: FloatArray
    theta_P1: FloatArray
    log_mean_P1: FloatArray
    """ln of the mean of exp(θ G)."""

    @classmethod
    def towards(cls, target_P1: FloatArray, tasks: Sequence[Task], sign: int, kappa_P1: FloatArray) -> "_Tilt":
        g_TPL = [_g(sign, kappa_P1, *task) for task in tasks]
        theta_P1 = _theta(g_TPL, target_P1)
        log_mean_P1 = sum(logsumexp(theta_P1 * g_PL, axis=1, keepdims=True) - np.log(g_PL.shape[1]) for g_PL in g_TPL)
        return cls(sign, kappa_P1, theta_P1, log_mean_P1)

    def exponent(self, difference: FloatArray, variance: FloatArray) -> FloatArray:
        return self.theta_P1 * _g(self.sign, self.kappa_P1, difference, variance)

    def log_ratio(self, difference_PD: FloatArray, variance_PD: FloatArray) -> FloatArray:
        """ln of the ratio of a dealing's tilted chance to its plain one."""
        return self.exponent(difference_PD, variance_PD) - self.log_mean_P1

    def draw(self, tasks: Sequence[Task], draws: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        difference_PD, variance_PD = np.zeros((2, len(self.theta_P1), draws))
        for task in tasks:
            which_PD = _systematic(softmax(self.exponent(*task), axis=1), draws, rng)
            difference_PD += np.take_along_axis(task.difference_PL, which_PD, axis=1)
            variance_PD += np.take_along_axis(task.variance_PL, which_PD, axis=1)
        return difference_PD, variance_PD


def _g(sign: int, kappa_P1: FloatArray, difference: FloatArray, variance: FloatArray) -> FloatArray:
    return sign * difference - kappa_P1 * variance


def _theta(g_TPL: Sequence[FloatArray], target_P1: FloatArray) -> FloatArray:
    """θ ≥ 0 with which the mean of G is the target, as far as that can be reached, by Newton's steps in a bracket."""
    low_P1, theta_P1 = np.zeros((2, *target_P1.shape))
    high_P1 = STEEPEST / (sum(np.ptp(g_PL, axis=1, keepdims=True) for g_PL in g_TPL) + TINY)
    for _ in range(ROOT_STEPS):
        mean_P1, variance_P1 = np.zeros((2, *target_P1.shape))
        for g_PL in g_TPL:
            chance_PL = softmax(theta_P1 * g_PL, axis=1)
            own_P1 = (chance_PL * g_PL).sum(1, keepdims=True)
            mean_P1 += own_P1
            variance_P1 += (chance_PL * g_PL**2).sum(1, keepdims=True) - own_P1**2
        is_low_P1 = mean_P1 < target_P1
        low_P1, high_P1 = np.where(is_low_P1, theta_P1, low_P1), np.where(is_low_P1, high_P1, theta_P1)
        step_P1 = theta_P1 + (target_P1 - mean_P1) / np.maximum(variance_P1, TINY)
        theta_P1 = np.where((low_P1 < step_P1) & (step_P1 < high_P1), step_P1, (low_P1 + high_P1) / 2)
    return theta_P1


def _systematic(chance_PL: FloatArray, draws: int, rng: np.random.Generator) -> IntArray:
    """Draw each row's dealings in random order (P × D), each as often as its chance says, give or take one."""
    pairs, count = chance_PL.shape
    upto_PL = np.floor(np.cumsum(chance_PL, axis=1) * draws + rng.random()).astype(np.int64)
    upto_PL[:, -1] = draws
    times_PL = np.diff(np.minimum(upto_PL, draws), axis=1, prepend=0)
    drawn_PD = np.repeat(np.tile(np.arange(count), pairs), times_PL.ravel()).reshape(pairs, draws)
    return drawn_PD[:, rng.permutation(draws)]

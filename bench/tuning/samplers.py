"""The samplers that choose a trial's settings, by name. A study's first trials are spread over the search space."""

import math
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    GridSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FrozenTrial, TrialState

from bench.common.errors import RequestError, unknown
from bench.common.text import counted
from bench.tuning.random_numbers import random_number
from bench.tuning.search import Tuning
from bench.tuning.space import searched

SAMPLERS = ("tpe", "gp", "random", "nsga2", "cmaes", "qmc", "grid")
STARTUP = 6  # trials before a sampler trusts what it has seen: the defaults, then a Latin hypercube


class Spread(BaseSampler):
    """Draws the trials 1 to `count` from a Latin hypercube, and leaves the others to another sampler.

    Each setting's range is split into `count` parts of equal probability, and each part is used once, in an order that
    follows from the names of the study and the setting (McKay, Beckman & Conover 1979). So no range of learning rates
    is missed, and a setting with two values takes both.

    Args:
        rest: the sampler of the other trials.
    """

    def __init__(self, count: int, rest: BaseSampler) -> None:
        self.count, self.rest = count, rest

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if not 1 <= trial.number <= self.count:
            return self.rest.sample_independent(study, trial, param_name, param_distribution)
        rng = np.random.default_rng(random_number(study.study_name, param_name))
        points = (rng.permutation(self.count) + rng.random(self.count)) / self.count
        return at_quantile(param_distribution, points[trial.number - 1])

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.rest.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.rest.sample_relative(study, trial, search_space)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.rest.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self.rest.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        self.rest.reseed_rng()


def at_quantile(distribution: BaseDistribution, fraction: float) -> Any:
    """Return the value below which `fraction` (0 ≤ fraction < 1) of a distribution's probability lies."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return choices[int(fraction * len(choices))]
        case FloatDistribution(low=low, high=high, log=True):
            return float(low * (high / low) ** fraction)
        case FloatDistribution(low=low, high=high, step=None):
            return float(low + fraction * (high - low))
        case IntDistribution(low=low, high=high, log=True):
            return round((low - 0.5) * ((high + 0.5) / (low - 0.5)) ** fraction)
        case FloatDistribution(low=low, high=high, step=step) | IntDistribution(low=low, high=high, step=step):
            assert step is not None
            return low + step * int(fraction * (round((high - low) / step) + 1))
    raise AssertionError(f"no distribution of a trial: {distribution}")


def sampler_of(tuning: Tuning, number: int) -> BaseSampler:
    """Return the sampler of a trial. Its random numbers follow from the study's name: no two studies draw alike.

    Args:
        number: the trial's. Most samplers draw each trial's settings from numbers of its own; a sequence and a grid are
            one for the whole study.

    Raises:
        RequestError: there is no sampler of this name, or a grid has too few points.
    """
    study, seed = tuning.name, random_number(tuning.name, number)
    match tuning.sampler:
        case "qmc":
            return QMCSampler(
                scramble=True, seed=random_number(study, "sequence"), independent_sampler=RandomSampler(seed=seed),
                warn_independent_sampling=False,
            )  # fmt: skip
        case "grid":
            return Grid(grid_of(tuning), seed=random_number(study, "order"))
    return build_sampler(tuning.sampler, seed, tuning.trials)


def check_sampler(tuning: Tuning) -> None:
    """Check that a study's sampler can do what is asked.

    Raises:
        RequestError: it can't; the message says which can.
    """
    match tuning.sampler:
        case "cmaes":
            _require_numbers(tuning)
        case "grid":
            grid_of(tuning)


def build_sampler(name: str, seed: int, trials: int) -> BaseSampler:
    """Build a sampler: `Spread` for the trials after the first up to STARTUP, then one of Optuna's.

    Args:
        trials: how many the study shall have.

    Raises:
        RequestError: there is no sampler of this name.
    """
    return Spread(min(STARTUP, trials) - 1, _build_optunas(name, seed))


def _build_optunas(name: str, seed: int) -> BaseSampler:
    match name:
        case "tpe":
            return TPESampler(seed=seed, n_startup_trials=STARTUP)
        case "gp":
            return GPSampler(seed=seed, n_startup_trials=STARTUP)
        case "random":
            return RandomSampler(seed=seed)
        case "nsga2":
            return NSGAIISampler(seed=seed, population_size=2 * STARTUP)
        case "cmaes":
            return CmaEsSampler(seed=seed, n_startup_trials=STARTUP, warn_independent_sampling=False)
        case _:
            raise unknown("sampler", name, SAMPLERS)


class Grid(GridSampler):
    """Optuna's sampler of a grid, in an order of the study's own, without its end of Optuna's loop, which we lack."""

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        pass


def grid_of(tuning: Tuning) -> dict[str, list[Any]]:
    """Return setting → its values in the smallest grid that has a point for each trial but the first.

    A choice has all its values. Each number has as many as any other, at least two, in the middle of equal parts of its
    range on its own scale; a range of few whole numbers has fewer.

    Raises:
        RequestError: even the finest grid has fewer points, since nothing is left open but choices and whole numbers.
    """
    space, points = searched(tuning), 0
    for parts in range(2, max(3, tuning.trials)):
        grid = {name: _values(distribution, parts) for name, distribution in space.items()}
        points = math.prod(map(len, grid.values()))
        if points >= tuning.trials - 1:
            return grid
    raise RequestError(
        f"the grid of {tuning.base.model.name} has {counted(points, 'point')}: with the trial of the defaults, give "
        f"--trials {points + 1} at most, or --sampler tpe."
    )


def _values(distribution: BaseDistribution, parts: int) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    return list(dict.fromkeys(at_quantile(distribution, (part + 0.5) / parts) for part in range(parts)))


def _require_numbers(tuning: Tuning) -> None:
    numbers = [name for name, each in searched(tuning).items() if not isinstance(each, CategoricalDistribution)]
    if tuning.has_front:
        raise RequestError("--sampler cmaes has one objective. For two, choose nsga2, tpe, gp, random, qmc or grid.")
    if len(numbers) < 2:
        raise RequestError(
            f"--sampler cmaes varies two numbers or more at a time, and of {tuning.base.model.name} it could vary "
            f"{', '.join(numbers) or 'none'}: other settings are choices. Choose tpe, gp, random, qmc or grid."
        )

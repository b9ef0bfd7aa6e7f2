"""The samplers that choose a trial's settings, by name. A study's first trials are spread over the search space."""

from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from bench.common.errors import unknown
from bench.tuning.random_numbers import random_number

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
        case _:
            raise unknown("sampler", name, ("tpe", "gp", "random", "nsga2"))

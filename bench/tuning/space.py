"""The settings that a study chooses, and the values that each may have."""

from collections.abc import Mapping
from typing import Any, cast

import optuna
from optuna import Trial
from optuna.distributions import BaseDistribution

from bench.tuning.search import Tuning
from models.shared.training import Training


class Unset:
    """An Optuna trial whose suggestions for settings that the user fixed are the user's values."""

    def __init__(self, trial: Trial, fixed: Mapping[str, Any]) -> None:
        self._trial, self._fixed = trial, fixed

    def __getattr__(self, method: str) -> Any:
        def suggest(name: str, *args: Any, **options: Any) -> Any:
            return self._fixed[name] if name in self._fixed else getattr(self._trial, method)(name, *args, **options)

        return suggest


def suggest(tuning: Tuning, trial: Trial) -> dict[str, Any]:
    """Return the settings of a trial that follow from its study's choices. Those that the user fixed are among them."""
    unset = cast(Trial, Unset(trial, tuning.fixed))
    return Training.search_space(unset) | tuning.base.model.cls.search_space(unset)


def searched(tuning: Tuning) -> dict[str, BaseDistribution]:
    """Return setting → what a study may choose for it, without what the user fixed."""
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    suggest(tuning, trial)
    return dict(trial.distributions)

"""When a trial ends before its last step, and when it must not."""

import optuna
import pytest
from optuna.pruners import BasePruner

from bench.catalog.registry import find_task
from bench.tuning.pruning import should_stop
from bench.tuning.trial import Progress

STEPS = 100
ADDING = find_task("adding-200").build().spec  # solved by an error of at most 0.001


class Eager(BasePruner):
    """A pruner that keeps nothing, and counts how often it is asked."""

    asked = 0

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        self.asked += 1
        return True


@pytest.mark.parametrize(
    ("step", "error", "stops"),
    [(50, 0.1, True), (50, 0.0011, True), (50, 0.001, False), (50, 0.0, False), (100, 0.1, False)],
)
def test_neither_a_trial_that_solves_its_task_nor_one_at_its_end_is_pruned(
    step: int, error: float, stops: bool
) -> None:
    pruner = Eager()
    trial = optuna.create_study(pruner=pruner).ask()
    assert should_stop(trial, Progress(step, 1, error), ADDING, STEPS) is stops
    assert pruner.asked == 1, "later trials are compared with it"
    assert trial.study.trials[0].intermediate_values == {1: error}

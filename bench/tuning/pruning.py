"""When a trial is stopped before its end: the pruners by name, and the question whether to stop now."""

from optuna import Trial
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner

from bench.common.errors import unknown
from bench.tuning.trial import Progress
from datamodules._spec import TaskSpec

STARTUP = 6  # trials before the median of what was seen is trusted


def should_stop(trial: Trial, progress: Progress, spec: TaskSpec, steps: int) -> bool:
    """Report an evaluation to the study, and ask its pruner whether the trial should end there.

    A trial that solves the task is never pruned: it ends early by itself, and is complete.

    Args:
        progress: right after an evaluation.
        spec: the task.
        steps: those of a whole trial. At the last of them a trial is complete, however good it is.
    """
    assert progress.value is not None
    trial.report(progress.value, step=progress.evaluation)
    prunes = trial.should_prune()  # asked in any case, since later trials are compared with this one
    return prunes and progress.step < steps and not spec.is_solved(progress.value)


def build_pruner(name: str, evaluations: int) -> BasePruner:
    """Build one of Optuna's pruners.

    Successive halving keeps one trial in three after a third of the evaluations. On recorded grids it loses 9 points to
    the best cell, where one in four after a ninth loses 21 (docs/tuning.md). The others prune nothing in the first
    ninth, when accuracies are still those of guessing.

    Args:
        evaluations: how many times a trial is evaluated unless it is pruned.

    Raises:
        RequestError: there is no pruner of this name.
    """
    grace = max(1, evaluations // 9)
    match name:
        case "asha":
            return SuccessiveHalvingPruner(min_resource=max(1, round(evaluations / 3)), reduction_factor=3)
        case "hyperband":
            return HyperbandPruner(min_resource=grace, max_resource=evaluations)
        case "median":
            return MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=grace)
        case "none":
            return NopPruner()
        case _:
            raise unknown("pruner", name, ("asha", "hyperband", "median", "none"))

"""The trials of a study that have ended, each counted once, and the best of them. Nothing here imports torch."""

from collections import Counter
from typing import Any

from optuna import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

STATES = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def settled(study: Study) -> list[FrozenTrial]:
    """Return the trials that have ended, in the order in which they began. A retried trial counts once."""
    return study.get_trials(deepcopy=False, states=tuple(STATES))


def best_trials(study: Study) -> list[FrozenTrial]:
    """Return the best trial or, for two objectives, the trials that no other dominates, best metric first."""
    if not any(trial.state == TrialState.COMPLETE for trial in settled(study)):
        return []
    sign = -1 if study.directions[0] == StudyDirection.MAXIMIZE else 1
    return sorted(study.best_trials, key=lambda trial: (sign * trial.values[0], trial.number))


def overview(study: Study) -> dict[str, Any]:
    """Return what `bench studies` prints: the count of trials, their training steps and the best value."""
    trials, best = settled(study), best_trials(study)
    states = Counter(STATES[trial.state] for trial in trials)
    return {
        "study": study.study_name,
        "trials": {state: states[state] for state in STATES.values()},
        "steps": sum(trial.user_attrs.get("steps", 0) for trial in trials),
        "best": best[0].values[0] if best else None,
    }

"""What is shown of published tuning studies: a row for each study, and the table of its trials."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from db.schema import TRIAL_STATES, Trial


def published_studies(trials: Iterable[Trial]) -> list[dict[str, Any]]:
    """Return what `bench studies --published` prints: as `bench studies` does, and each study's trials as `table`."""
    studies: defaultdict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        studies[trial.study].append(trial)
    return [_study(each) for each in studies.values()]


def _study(trials: Sequence[Trial]) -> dict[str, Any]:
    states, best = Counter(trial.state for trial in trials), best_of(trials)
    return {
        "study": trials[0].study,
        "metric": trials[0].metric_name,
        "higher_is_better": trials[0].higher_is_better,
        "trials": {state: states[state] for state in TRIAL_STATES},
        "steps": sum(trial.steps for trial in trials),
        "best": best.value if best else None,
        "table": [
            {"trial": trial.number, "state": trial.state, "value": trial.value, "steps": trial.steps,
             "params": trial.params_total, "settings": trial.settings, "reason": trial.reason}
            for trial in trials
        ],
    }  # fmt: skip


def best_of(trials: Iterable[Trial]) -> Trial | None:
    """Return the finished trial of a study with the best value, the first of equals."""
    finished = [(trial.value, trial) for trial in trials if trial.state == "finished" and trial.value is not None]
    sign = -1 if finished and finished[0][1].higher_is_better else 1
    return min(finished, key=lambda each: (sign * each[0], each[1].number), default=(None, None))[1]

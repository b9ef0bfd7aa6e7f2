"""How much of a score hangs on the learning rate, from the published trials of the cell's study."""

from collections.abc import Iterable

from bench.ranking.utility import utility
from db.schema import Run, Trial

FACTOR = 3.0


def rate_sensitivity(run: Run, trials: Iterable[Trial]) -> float | None:
    """Return the points that the best trial has over the best of those at rates larger or smaller by FACTOR or more.

    None where the cell's study is not published, or has no two such trials that finished.

    Args:
        trials: all published trials.
    """
    own = [trial for trial in trials if _is_of_cell(trial, run) and trial.value is not None and "lr" in trial.settings]
    scored = [
        (100 * utility(trial.value, chance=run.chance, solved=run.solved), trial.settings["lr"])
        for trial in own
        if trial.state == "finished"
    ]
    if not scored:
        return None
    best, rate = max(scored)
    others = [score for score, other in scored if max(other / rate, rate / other) >= FACTOR]
    return best - max(others) if others else None


def _is_of_cell(trial: Trial, run: Run) -> bool:
    names = ("protocol", "model", "wrapper", "task", "task_version", "budget")
    return all(getattr(trial, name) == getattr(run, name) for name in names)

"""How much of a score hangs on the learning rate, from the published trials of the cell's study."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from bench.ranking.utility import utility
from bench.reports.entries import Cell
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


def rate_sensitivities(found: Mapping[Cell, Sequence[Run]], trials: Iterable[Trial]) -> dict[Cell, float]:
    """Return the `rate_sensitivity` of each cell that has one.

    Args:
        found: the runs of each cell.
        trials: all published trials.
    """
    studies: defaultdict[tuple[object, ...], list[Trial]] = defaultdict(list)
    for trial in trials:
        studies[_study(trial)].append(trial)
    known = {cell: rate_sensitivity(own[0], studies[_study(own[0])]) for cell, own in found.items()}
    return {cell: points for cell, points in known.items() if points is not None}


def _is_of_cell(trial: Trial, run: Run) -> bool:
    return _study(trial) == _study(run)


def _study(made: Trial | Run) -> tuple[object, ...]:
    """What a study's trials have in common with the runs that it tuned for."""
    names = ("protocol", "model", "wrapper", "task", "task_version", "budget")
    return tuple(getattr(made, name) for name in names)

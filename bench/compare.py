"""A newcomer beside the recorded entries: tuned with a suite's budget, run on its seeds, ranked with what is there."""

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from bench.cells import CellListener, carry_out, cell, with_seeds
from bench.outcome import best_request, best_trials
from bench.ranking import Row, leaderboard
from bench.registry import FoundModel
from bench.request import Execution
from bench.studies import Studies
from bench.suites import Suite
from bench.tune import Session, Watcher
from bench.tuning import Tuning
from db.schema import Run
from db.store import Store

Watching = Callable[[], AbstractContextManager[Watcher]]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Who is compared, and what may be spent on each task."""

    suite: Suite
    model: FoundModel
    budget: str
    trials: int
    seeds: int

    def tunings(self) -> list[Tuning]:
        """Raises RequestError: the model does not fit a task."""
        cells = [cell(self.suite, self.model, task, self.budget) for task in self.suite.tasks]
        return [Tuning(base=request, trials=self.trials) for request in cells]

    def admits(self, run: Run) -> bool:
        """Whether a recorded run is of the suite, at this tier, so that it can stand beside."""
        return run.budget == self.budget and self.suite.includes(run)


def compare(
    comparison: Comparison, studies: Studies, store: Store, execution: Execution,
    *, watching: Watching, on_cell: CellListener,
) -> bool:  # fmt: skip
    """Tune on each task and run the seeds; what `studies` and `store` hold already is used.

    Returns:
        Whether it was interrupted.
    """
    for tuning in comparison.tunings():
        with watching() as watcher:
            session = Session([tuning], studies, execution, watcher, timeout=math.inf)
            if session.carry_out():
                return True
        study = session.owners[0].study
        best = best_request(tuning, study) if best_trials(study) else tuning.base
        cells = with_seeds([best], comparison.seeds)
        if carry_out(cells, store, execution, time_limit=math.inf, listener=on_cell):
            return True
    return False


def stand(comparison: Comparison, own: Iterable[Run], recorded: Iterable[Run]) -> list[Row]:
    """The rows of the suite's tasks, best first within a task: the newcomer's and those that can stand beside it."""
    known = {run.run_id: run for run in (*recorded, *own) if comparison.admits(run)}
    tasks = list(comparison.suite.tasks)
    return sorted(leaderboard(known.values()), key=lambda row: tasks.index(row.task))

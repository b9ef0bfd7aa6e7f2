"""A newcomer next to the recorded entries: tuned with a suite's budget, run on its seeds, ranked with the entries."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from bench.catalog.registry import FoundModel
from bench.catalog.suites import Suite
from bench.ranking.by_task import Row, leaderboard
from bench.ranking.contest import InTier
from bench.ranking.rows import SuiteRow
from bench.reports.board import ranked_board
from bench.runs.recorded import note_asked
from bench.runs.request import Execution, RunRequest
from bench.training.suite_runs import RunListener, first_request, run_missing, with_seeds
from bench.tuning.best import best_request
from bench.tuning.search import Tuning
from bench.tuning.session import Session, Watcher
from bench.tuning.settled import best_trials
from bench.tuning.storage import Studies
from db.schema import Run
from db.standing import Standing
from db.store import Store

Watching = Callable[[], AbstractContextManager[Watcher]]
TaskListener = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Which model is compared on which suite, and what may be spent on each task."""

    suite: Suite
    model: FoundModel
    budget: str
    wrapper: str
    trials: int
    seeds: int

    def tunings(self) -> list[Tuning]:
        """Return the study of each task of the suite.

        Raises:
            RequestError: the model does not fit a task, or the suite takes no new runs.
        """
        tasks = self.suite.tasks
        requests = [first_request(self.suite, self.model, task, self.budget, self.wrapper) for task in tasks]
        return [Tuning(base=request, trials=self.trials) for request in requests]

    def admits(self, run: Run) -> bool:
        """Whether a recorded run belongs to the suite and the tier, so that it can be shown next to the newcomer's."""
        return run.budget == self.budget and self.suite.includes(run)


def tune_and_run(
    comparison: Comparison, studies: Studies, store: Store, execution: Execution,
    *, watching: Watching, on_task: TaskListener, on_run: RunListener,
) -> list[RunRequest]:  # fmt: skip
    """Tune on each task, then run the seeds. Trials in `studies` and runs in `store` are reused.

    Args:
        watching: makes the watcher of a task's tuning.
        on_task: called as each task begins, with its name, its number (from 1) and how many there are.
        on_run: as `listener` in `run_missing`.

    Returns:
        The newcomer's runs, up to the first that was interrupted.
    """
    requests: list[RunRequest] = []
    tunings = comparison.tunings()
    for number, tuning in enumerate(tunings, start=1):
        on_task(tuning.base.spec.name, number, len(tunings))
        with watching() as watcher:
            session = Session([tuning], studies, execution, watcher, timeout=math.inf)
            if session.run():
                break
        study = session.owners[0].study
        best = best_request(tuning, study) if best_trials(study) else tuning.base
        own = with_seeds([best], comparison.seeds)
        requests += own
        note_asked(own, store)
        if run_missing(own, store, execution, time_limit=math.inf, listener=on_run):
            break
    return requests


def missing_tasks(comparison: Comparison, requests: Iterable[RunRequest], store: Store) -> list[str]:
    """The tasks that lack a seed."""
    done = Counter(request.spec.name for request in requests if store.result(request.run_id))
    return [task for task in comparison.suite.tasks if done[task] < comparison.seeds]


def stand(comparison: Comparison, own: Iterable[Run], recorded: Iterable[Run]) -> list[Row]:
    """Return the rows of the suite's tasks, best first within a task: the newcomer's and all comparable ones.

    Args:
        own: the newcomer's results.
        recorded: all results of the database.
    """
    known = {run.run_id: run for run in (*recorded, *own) if comparison.admits(run)}
    tasks = list(comparison.suite.tasks)
    return sorted(leaderboard(known.values()), key=lambda row: tasks.index(row.task))


def suite_rows(
    comparison: Comparison, requests: Iterable[RunRequest], own: Iterable[Run], recorded: Iterable[Run],
    standing: Standing,
) -> Sequence[SuiteRow]:  # fmt: skip
    """Rank the suite's board with the newcomer as it was tuned now. It replaces the model's other recorded runs.

    Args:
        requests: the newcomer's runs.
        own: the recorded results of that model. Those of `requests` count.
        recorded: all results of the database.

    Raises:
        RequestError: the recorded runs can't be ranked.
    """
    made = {request.run_id for request in requests}
    runs = [run for run in recorded if run.model != comparison.model.name] + [run for run in own if run.run_id in made]
    return ranked_board(runs, standing, comparison.suite, InTier(comparison.budget, comparison.wrapper)).rows

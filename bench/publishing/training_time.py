"""What the ranked entries of a tier have reached on validation after a given number of seconds of training.

No run was trained for a given time: each took the suite's steps, and its evaluations on the way are read. The time of
an evaluation follows from its step.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from bench.catalog.suites import find_suite
from bench.publishing.published_board import board_rows, counted
from bench.ranking.rows import SuiteRow
from bench.ranking.training_time import training_time
from bench.ranking.utility import utility
from bench.reports.entries import entries_of
from db.schema import Run
from db.standing import Standing
from db.store import Store


class Evaluated(NamedTuple):
    """The score on validation at a moment of training."""

    seconds: float
    score: float


class Progress(NamedTuple):
    """The evaluations of an entry, by task and then by run."""

    row: SuiteRow
    tasks: Mapping[str, Sequence[Sequence[Evaluated]]]

    def after(self, seconds: float) -> float:
        """Return the mean over tasks and seeds of the best score so far, 0 before the first evaluation."""
        return fmean(fmean(_best(run, seconds) for run in runs) for runs in self.tasks.values())


def progress(store: Store, suite: str, tier: str, wrapper: str | None = None) -> list[Progress]:
    """Return the progress of each ranked entry, or of those in one wrapper, in the board's order.

    Raises:
        RequestError: there is no such suite or wrapper, or the suite has no such tier.
    """
    rows = [row for row in board_rows(store, suite, tier, wrapper) if row.rank_low is not None]
    standing, found = store.standing(), find_suite(suite)
    tasks = {row.key: defaultdict[str, list[list[Evaluated]]](list) for row in rows}
    for run in counted(store):
        for key in tasks.keys() & entries_of(found, standing, run):
            tasks[key][run.task].append(_evaluated(store, run, standing))
    return [Progress(row, tasks[row.key]) for row in rows]


def _evaluated(store: Store, run: Run, standing: Standing) -> list[Evaluated]:
    """Return a run's evaluations. A run that did not finish well has none: it scores 0, as on the board."""
    if run.status != "finished":
        return []
    seconds = training_time(run, standing).seconds
    return [
        Evaluated(
            seconds * point.step / run.steps,
            100 * utility(point.value, chance=run.chance, solved=run.solved),
        )
        for point in store.curves(run)
        if point.name == f"validation/{run.metric_name}"
    ]


def _best(evaluated: Sequence[Evaluated], seconds: float) -> float:
    return max((each.score for each in evaluated if each.seconds <= seconds), default=0.0)

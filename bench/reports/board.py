"""The board of the runs in the store, without withdrawn ones."""

from collections.abc import Iterable
from functools import partial

from bench.catalog.suites import Suite
from bench.common.errors import RequestError
from bench.ranking.by_task import Row, leaderboard
from bench.ranking.cells import Cells, cells, results
from bench.ranking.contest import Contest, InTier
from bench.ranking.rows import Board
from bench.ranking.suite import rank
from bench.reports.entries import entries_of
from db.schema import Run
from db.standing import Standing
from db.store import Store


def suite_board(store: Store, suite: Suite, tier: str) -> Board:
    """Return the board of a tier, without withdrawn runs. Each row says how far its entry is verified.

    Raises:
        RequestError: runs of one seed were tuned differently, so that none of them is the result.
    """
    return ranked_board(store.runs(), store.standing(), suite, InTier(tier))


def ranked_board(runs: Iterable[Run], standing: Standing, suite: Suite, contest: Contest) -> Board:
    """Return the board of a contest, from runs and a standing that were read before.

    Raises:
        RequestError: runs of one seed were tuned differently, so that none of them is the result.
    """
    try:
        return rank(
            standing.counted(runs), list(suite.tasks), contest, standing.rungs, partial(entries_of, suite, standing)
        )
    except ValueError as error:
        raise RequestError(f"{suite.name} can't be ranked: {error} Or retract those that no longer count.") from error


def suite_cells(counted: Iterable[Run], standing: Standing, suite: Suite) -> tuple[Cells, tuple[str, ...]]:
    """Return the scores of a suite's entries of all tiers, complete or not, and the tasks in the order of the columns.

    Args:
        counted: runs that are not withdrawn.

    Raises:
        ValueError: a seed has two results in a cell.
    """
    tasks = tuple(sorted(suite.tasks))
    return cells(results(counted, tasks, standing.rungs, partial(entries_of, suite, standing)), tasks), tasks


def task_rows(store: Store, task: str | None = None) -> list[Row]:
    """Return the rows of a task, or of all tasks, without withdrawn runs. Each says how far its runs are verified."""
    standing = store.standing()
    return leaderboard(standing.counted(store.runs(task=task)), standing.rungs)

"""The board of the runs in the store, without withdrawn ones."""

from collections.abc import Iterable
from functools import partial

from bench.catalog.suites import Suite
from bench.common.errors import RequestError, unknown
from bench.ranking.by_task import Row, leaderboard
from bench.ranking.cells import Cells, cells, results
from bench.ranking.contest import WRAPPERS, Contest, InTier
from bench.ranking.rows import Board
from bench.ranking.suite import rank
from bench.reports.entries import entries_of
from db.schema import Run
from db.standing import Standing
from db.store import Store


def wrappers_apart(suite: Suite, wrapper: str | None = None) -> tuple[str | None, ...]:
    """Return the wrappers whose contests are shown, one after the other; None is a contest of all wrappers.

    Args:
        wrapper: the only one to show. Without it, a suite shows each wrapper ranked by itself. Suites of protocol 1
            stay as they were published, ranked across wrappers.

    Raises:
        RequestError: there is no such wrapper.
    """
    if wrapper is not None:
        check_wrapper(wrapper)
        return (wrapper,)
    return (None,) if suite.protocol == 1 else WRAPPERS


def check_wrapper(wrapper: str) -> None:
    """Refuse a wrapper that does not exist.

    Raises:
        RequestError: there is no such wrapper.
    """
    if wrapper not in WRAPPERS:
        raise unknown("wrapper", wrapper, WRAPPERS)


def suite_boards(store: Store, suite: Suite, tier: str, wrapper: str | None = None) -> list[Board]:
    """Return the boards of a tier, one for each of `wrappers_apart`, without withdrawn runs.

    Each row says how far its entry is verified.

    Raises:
        RequestError: there is no such wrapper, or runs of one seed were tuned differently, so that none of them is the
            result.
    """
    runs, standing = store.runs(), store.standing()
    return [ranked_board(runs, standing, suite, InTier(tier, each)) for each in wrappers_apart(suite, wrapper)]


def ranked_board(runs: Iterable[Run], standing: Standing, suite: Suite, contest: Contest) -> Board:
    """Return the board of a contest, from runs and a standing that were read before.

    Raises:
        RequestError: runs of one seed were tuned differently, so that none of them is the result.
    """
    try:
        return rank(
            standing.counted(runs), list(suite.tasks), contest, standing, partial(entries_of, suite, standing),
            suite.tiers,
        )  # fmt: skip
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
    return cells(results(counted, tasks, standing, partial(entries_of, suite, standing)), tasks), tasks


def task_rows(store: Store, task: str | None = None) -> list[Row]:
    """Return the rows of a task, or of all tasks, without withdrawn runs. Each says how far its runs are verified."""
    standing = store.standing()
    return leaderboard(standing.counted(store.runs(task=task)), standing.rungs)

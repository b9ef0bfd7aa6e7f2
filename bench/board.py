"""The board, from what the store holds: withdrawn runs are not on it."""

from bench.ranking import Board, Row, leaderboard, rank_suite
from bench.suites import Suite
from db.store import Store


def suite_board(store: Store, suite: Suite, tier: str) -> Board:
    """The ranked entries of a tier, without withdrawn runs, each with how far it is verified."""
    standing = store.standing()
    runs = [run for run in store.runs() if suite.includes(run) and run.run_id not in standing.withdrawn]
    return rank_suite(runs, list(suite.tasks), tier, standing.rungs)


def task_rows(store: Store, task: str | None = None) -> list[Row]:
    """The rows of a task, or of all, each with how far it is verified."""
    standing = store.standing()
    runs = [run for run in store.runs(task=task) if run.run_id not in standing.withdrawn]
    return leaderboard(runs, standing.rungs)

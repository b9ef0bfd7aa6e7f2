"""The board of a suite, from what the store holds."""

from collections.abc import Iterable

from bench.ranking import Board, rank_suite
from bench.suites import Suite
from db.schema import Run
from db.standing import Standing
from db.store import Store


def suite_board(store: Store, suite: Suite, tier: str) -> Board:
    """The ranked entries of a tier, without withdrawn runs, each with how far it is verified."""
    return ranked_board(store.runs(), store.standing(), suite, tier)


def ranked_board(runs: Iterable[Run], standing: Standing, suite: Suite, tier: str) -> Board:
    """As `suite_board`, from what was read before."""
    counted = [run for run in runs if suite.includes(run) and run.run_id not in standing.withdrawn]
    return rank_suite(counted, list(suite.tasks), tier, standing.rungs)

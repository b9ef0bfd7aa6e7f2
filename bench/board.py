"""The board of a suite, from what the store holds."""

from collections.abc import Iterable

from bench.errors import RequestError
from bench.ranking import Board, Contest, InTier, rank
from bench.suites import Suite
from db.schema import Run
from db.standing import Standing
from db.store import Store


def suite_board(store: Store, suite: Suite, tier: str) -> Board:
    """The ranked entries of a tier, without withdrawn runs, each with how far it is verified."""
    return ranked_board(store.runs(), store.standing(), suite, InTier(tier))


def ranked_board(runs: Iterable[Run], standing: Standing, suite: Suite, contest: Contest) -> Board:
    """As `suite_board`, from what was read before, of any contest.

    Raises:
        RequestError: runs of one seed were tuned differently, so that none of them is the result.
    """
    counted = [run for run in runs if suite.includes(run) and run.run_id not in standing.withdrawn]
    try:
        return rank(counted, list(suite.tasks), contest, standing.rungs)
    except ValueError as error:
        raise RequestError(f"{suite.name} can't be ranked: {error} Or retract those that no longer count.") from error

"""Every board as one JSON document, which the site offers and `bench site --against` reads."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from bench.catalog.suites import SUITES
from bench.common.errors import RequestError
from bench.ranking.contest import InTier
from bench.reports.board import ranked_board, wrappers_apart
from db.schema import Run
from db.standing import Standing

ALL = "all"


def leaderboard_document(runs: Iterable[Run], standing: Standing) -> dict[str, Any]:
    """Return the boards of every suite and tier that have entries, with rows as `bench leaderboard --json` prints them.

    A suite that can't be ranked has none.
    """
    runs = list(runs)
    boards = [
        {"suite": suite.name, "tier": tier, "block": wrapper or ALL, **asdict(board)}
        for suite in SUITES.values()
        for tier in suite.tiers
        for wrapper in wrappers_apart(suite)
        for board in _boards(runs, standing, suite.name, InTier(tier, wrapper))
        if board.rows
    ]
    return {"boards": boards}


def _boards(runs: list[Run], standing: Standing, suite: str, contest: InTier) -> list[Any]:
    try:
        return [ranked_board(runs, standing, SUITES[suite], contest)]
    except RequestError:
        return []

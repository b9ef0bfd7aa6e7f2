"""An architecture's best entry of a suite's tier beside the other ranked ones."""

from typing import NamedTuple

import numpy as np

from bench.board import suite_cells
from bench.ranking import SuiteRow
from bench.ranking.against import Rival, against
from bench.results.source import board_rows, counted
from bench.suites import find_suite
from db.store import Store


class Beside(NamedTuple):
    row: SuiteRow
    """Of the other entry."""
    rival: Rival


def rivals(store: Store, suite: str, tier: str, model: str) -> list[Beside]:
    """In the board's order; none where the architecture is not ranked.

    Raises:
        RequestError: there is no such suite, or it has no such tier.
    """
    ranked = {row.key: row for row in board_rows(store, suite, tier) if row.rank_low is not None}
    own = next((key for key, row in ranked.items() if row.model == model), None)
    if own is None:
        return []
    table, tasks = suite_cells(counted(store), store.standing(), find_suite(suite))
    complete = table.where(np.array([entry in ranked for entry in table.entries]))
    by_entry = {rival.entry: rival for rival in against(complete, tasks, own)}
    return [Beside(row, by_entry[key]) for key, row in ranked.items() if key != own]

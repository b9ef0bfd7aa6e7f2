"""An architecture's best entry of a suite's tier compared with the other ranked entries."""

from typing import NamedTuple

import numpy as np

from bench.catalog.suites import find_suite
from bench.publishing.published_board import board_rows, counted
from bench.ranking.one_against_rest import Rival, against
from bench.ranking.rows import SuiteRow
from bench.reports.board import suite_cells
from db.store import Store


class Beside(NamedTuple):
    row: SuiteRow
    """The other entry's row on the board."""
    rival: Rival


def rivals(store: Store, suite: str, tier: str, model: str) -> list[Beside]:
    """Return the other ranked entries in the board's order, or none if the architecture is not ranked.

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

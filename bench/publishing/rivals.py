"""An architecture's best entry of a suite's tier compared with the other ranked entries of its contest."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bench.catalog.suites import find_suite
from bench.publishing.published_board import boards, counted
from bench.ranking.cells import EntryKey
from bench.ranking.one_against_rest import Rival, against
from bench.ranking.rows import SuiteRow
from bench.reports.board import suite_cells
from db.store import Store


class Beside(NamedTuple):
    row: SuiteRow
    """The other entry's row on the board."""
    rival: Rival


def rivals(store: Store, suite: str, tier: str, model: str, wrapper: str | None = None) -> list[Beside]:
    """Return the other ranked entries in the board's order, or none if the architecture is not ranked.

    Args:
        wrapper: the contest; the first of the suite's in which the architecture is ranked, unless given.

    Raises:
        RequestError: there is no such suite or wrapper, or the suite has no such tier.
    """
    for board in boards(store, suite, tier, wrapper):
        ranked = {row.key: row for row in board.rows if row.rank_low is not None}
        own = next((key for key, row in ranked.items() if row.model == model), None)
        if own is not None:
            return _beside(store, suite, ranked, own)
    return []


def _beside(store: Store, suite: str, ranked: Mapping[EntryKey, SuiteRow], own: EntryKey) -> list[Beside]:
    table, tasks = suite_cells(counted(store), store.standing(), find_suite(suite))
    complete = table.where(np.array([entry in ranked for entry in table.entries]))
    by_entry = {rival.entry: rival for rival in against(complete, tasks, own)}
    return [Beside(row, by_entry[key]) for key, row in ranked.items() if key != own]

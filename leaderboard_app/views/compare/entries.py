"""The entries of a suite that can be compared, and their names in an address."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.catalog.suites import Suite
from bench.ranking.cells import Cells
from bench.reports.board import suite_cells
from bench.reports.entries import Cell, runs_of_cells
from db.schema import OPEN, Run
from db.standing import Standing

MOST = 4
"""Most entries that are compared at a time."""


@dataclass(frozen=True, eq=False)
class Contestants:
    """Every entry of a suite, in all tiers, with its runs."""

    table: Cells
    tasks: tuple[str, ...]
    """In the order of the table's columns."""
    runs: Mapping[Cell, list[Run]]
    """(entry, task) → the entry's runs on the task, sorted by seed."""

    @property
    def by_words(self) -> dict[str, int]:
        """Return an entry's id in an address (see `links.entry_id`) → its index in the table."""
        return {" ".join(entry).strip(): index for index, entry in enumerate(self.table.entries)}


def contestants(runs: Iterable[Run], standing: Standing, suite: Suite) -> Contestants:
    """Collect the entries of a suite from the runs that count.

    Raises:
        ValueError: a seed has two results in a cell.
    """
    counted = [run for run in standing.counted(runs) if run.status != OPEN]
    table, tasks = suite_cells(counted, standing, suite)
    return Contestants(table, tasks, runs_of_cells(counted, standing, suite))

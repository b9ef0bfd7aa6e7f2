"""The entries of a suite that can be set side by side, and the words that name them in an address."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from bench.board import suite_cells
from bench.entries import entries_of
from bench.ranking import EntryKey
from bench.ranking.cells import Cells
from bench.suites import Suite
from db.schema import OPEN, Run
from db.standing import Standing


@dataclass(frozen=True, eq=False)
class Contestants:
    """Every entry of a suite, of all tiers, with its runs."""

    table: Cells
    tasks: tuple[str, ...]
    """In the order of the table's columns."""
    runs: dict[tuple[EntryKey, str], list[Run]]
    """Of an entry on a task, by seed."""

    @property
    def by_words(self) -> dict[str, int]:
        """An entry's words in an address → its index in the table; `leaderboard_app.links.entry_id` makes them too."""
        return {" ".join(entry).strip(): index for index, entry in enumerate(self.table.entries)}


def contestants(runs: Iterable[Run], standing: Standing, suite: Suite) -> Contestants:
    """Raises ValueError: a seed has two results in a cell."""
    counted = [run for run in standing.counted(runs) if run.status != OPEN]
    table, tasks = suite_cells(counted, standing, suite)
    groups = defaultdict(list)
    for run in counted:
        for entry in entries_of(suite, standing, run):
            groups[entry, run.task].append(run)
    by_seed = {key: sorted(group, key=lambda run: run.seed) for key, group in groups.items()}
    return Contestants(table, tasks, by_seed)

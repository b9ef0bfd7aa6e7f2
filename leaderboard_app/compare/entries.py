"""The entries of a suite that can be set side by side, and the words that name them in an address."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from bench.ranking.cells import Cells, EntryKey, cells, results
from bench.suites import Suite
from db.schema import Run
from db.standing import Standing


def entry_words(entry: EntryKey) -> str:
    """`fru plain 10k defaults`: model, wrapper, tier, tuning and what was set by hand."""
    return " ".join(filter(None, entry))


@dataclass(frozen=True, eq=False)
class Contestants:
    """Every entry of a suite, of all tiers, with its runs."""

    table: Cells
    tasks: tuple[str, ...]
    """In the order of the table's columns."""
    runs: dict[str, Run]

    @cached_property
    def by_words(self) -> dict[str, int]:
        """Words → index in the table."""
        return {entry_words(entry): index for index, entry in enumerate(self.table.entries)}

    def runs_of(self, index: int, task: str) -> list[Run]:
        """The runs of an entry on a task, by seed."""
        entry = self.table.entries[index]
        found = [run for run in self.runs.values() if run.task == task and run.model == entry.model]
        chosen = [run for run in found if results([run], [task], {})[0].entry == entry]
        return sorted(chosen, key=lambda run: run.seed)


def contestants(runs: Iterable[Run], standing: Standing, suite: Suite) -> Contestants:
    """Raises ValueError: a seed has two results in a cell."""
    tasks = tuple(sorted(suite.tasks))
    counted = {run.run_id: run for run in runs if suite.includes(run) and run.run_id not in standing.withdrawn}
    return Contestants(cells(results(counted.values(), tasks, standing.rungs), tasks), tasks, counted)

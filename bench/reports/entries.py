"""The entries of a suite that a run belongs to: one for each way in which its settings were chosen.

Tuning may choose exactly the default settings. The run is then the same and is not repeated. It counts for both
entries, no matter which of them requested it first.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from bench.catalog.suites import Suite
from bench.ranking.cells import EntryKey, entry_key
from db.schema import OPEN, Run
from db.standing import Standing

Cell = tuple[EntryKey, str]
"""An entry, and a task."""


def entries_of(suite: Suite, standing: Standing, run: Run) -> list[EntryKey]:
    """Return the entries in which a run counts; the one that the run was recorded for comes first."""
    if run.budget is None:
        return []
    keys = [entry_key(run, sources) for sources in standing.sources(run) if suite.includes(run, sources)]
    return list(dict.fromkeys(keys))


def runs_of_cells(runs: Iterable[Run], standing: Standing, suite: Suite) -> Mapping[Cell, list[Run]]:
    """Return the ended runs that count in each cell of a suite, lowest seed first.

    Args:
        runs: also withdrawn ones, which are left out.
    """
    cells: defaultdict[Cell, list[Run]] = defaultdict(list)
    for run in sorted(standing.counted(runs), key=lambda run: run.seed):
        if run.status != OPEN:
            for entry in entries_of(suite, standing, run):
                cells[entry, run.task].append(run)
    return cells

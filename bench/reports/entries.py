"""The entries of a suite that a run belongs to: one for each way in which its settings were chosen.

Tuning may choose exactly the default settings. The run is then the same and is not repeated. It counts for both
entries, no matter which of them requested it first.
"""

from bench.catalog.suites import Suite
from bench.ranking.cells import EntryKey, entry_key
from db.schema import Run
from db.standing import Standing


def entries_of(suite: Suite, standing: Standing, run: Run) -> list[EntryKey]:
    """Return the entries in which a run counts; the one that the run was recorded for comes first."""
    if run.budget is None:
        return []
    keys = [entry_key(run, sources) for sources in standing.sources(run) if suite.includes(run, sources)]
    return list(dict.fromkeys(keys))

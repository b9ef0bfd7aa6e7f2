"""The entries of a suite that a run belongs to: one for each way in which its settings were chosen.

Tuning may choose the very settings that are the defaults. The run is the same, and is not repeated: it counts for both
entries, whichever it was asked for first.
"""

from bench.catalog.suites import Suite
from bench.ranking.cells import EntryKey, entry_key
from db.schema import Run
from db.standing import Standing


def entries_of(suite: Suite, standing: Standing, run: Run) -> list[EntryKey]:
    """The entries in which a run counts, the one that it was recorded for first."""
    if run.budget is None:
        return []
    keys = [entry_key(run, sources) for sources in standing.sources(run) if suite.includes(run, sources)]
    return list(dict.fromkeys(keys))

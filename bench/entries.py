"""The entries of a suite that a run belongs to: one for each way in which its settings were chosen.

Tuning may choose the very settings that are the defaults. The run is the same, and is not repeated: it counts for both
entries, whichever it was asked for first.
"""

from typing import TYPE_CHECKING

from bench.ranking.cells import EntryKey, entry_key
from bench.sources import same
from bench.suites import Suite
from db.schema import Run
from db.standing import Standing
from db.store import Store

if TYPE_CHECKING:
    from bench.request import RunRequest  # needs torch, which the board can do without


def entries_of(suite: Suite, standing: Standing, run: Run) -> list[EntryKey]:
    """The entries in which a run counts, the one that it was recorded for first."""
    if run.budget is None:
        return []
    keys = [entry_key(run, sources) for sources in standing.sources(run) if suite.includes(run, sources)]
    return list(dict.fromkeys(keys))


def note_asked(request: "RunRequest", store: Store) -> Run | None:
    """The result of a run, if it has one. If the settings come from elsewhere this time, that is noted on it.

    One without a parameter tier is in no entry, and nothing is noted.
    """
    recorded = store.result(request.run_id)
    if recorded and recorded.budget is not None:
        known = Standing.of(store.events(recorded.run_id)).sources(recorded)
        if not any(same(request.sources, sources) for sources in known):
            store.add_event(
                recorded, "asked", "for again, its settings chosen in another way", {"config_source": request.sources}
            )
    return recorded

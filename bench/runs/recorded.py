"""Whether a run has a result already."""

from bench.catalog.setting_sources import same
from bench.runs.request import RunRequest
from db.schema import Run
from db.standing import Standing
from db.store import Store


def note_asked(request: RunRequest, store: Store) -> Run | None:
    """Return the result of a run, if it has one. Add an event to it if its settings come from new sources this time.

    A run without a parameter tier is in no entry, so it gets no event.
    """
    recorded = store.result(request.run_id)
    if recorded and recorded.budget is not None:
        known = Standing.of(store.events(recorded.run_id)).sources(recorded)
        if not any(same(request.sources, sources) for sources in known):
            store.add_event(
                recorded, "asked", "for again, its settings chosen in another way", {"config_source": request.sources}
            )
    return recorded

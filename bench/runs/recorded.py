"""Whether a run has a result already."""

from bench.catalog.setting_sources import same
from bench.runs.request import RunRequest
from db.schema import Run
from db.standing import Standing
from db.store import Store


def note_asked(request: RunRequest, store: Store) -> Run | None:
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

"""Whether a run has a result already."""

from bench.catalog.setting_sources import same
from bench.common.errors import RequestError
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


def answer(request: RunRequest, store: Store, data_dir: str | None) -> Run | None:
    """Return the result of a run, as `note_asked` does, if its task still has the data that gave it.

    Args:
        data_dir: the first folder in which files of data sets are looked for.

    Raises:
        RequestError: the data have changed.
        DataError: some of the data are damaged.
    """
    recorded = note_asked(request, store)
    if recorded:
        _require_same_data(request, recorded, data_dir)
    return recorded


def _require_same_data(request: RunRequest, recorded: Run, data_dir: str | None) -> None:
    """Refuse to answer with a result that other data gave. Data that are not on this machine are not compared.

    Raises:
        RequestError: a split of the task has another hash than the run's record.
        DataError: some of the data are damaged.
    """
    data = request.task.build(data_dir=data_dir)
    known: dict[str, str] = recorded.facts.get("splits", {})
    if data.missing() is None:
        changed = [split for split in data.split_names if known.get(split) not in (None, data.split_hash(split))]
        if changed:
            raise RequestError(
                f"run {recorded.run_id} is recorded, but with other data: {', '.join(changed)} of {request.spec.name} "
                "has changed since. Restore the data, or raise the task's `version` so that its runs are new ones."
            )

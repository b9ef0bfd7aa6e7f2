"""What the tables and figures of the documentation are made of."""

from typing import Any

from db.schema import OPEN, Run
from db.store import Store


def counted(store: Store) -> list[Run]:
    withdrawn = store.standing().withdrawn
    return [run for run in store.runs() if run.status != OPEN and run.run_id not in withdrawn]


def probes(store: Store, probe: str) -> list[tuple[Run, dict[str, Any]]]:
    """The latest of each run, by architecture and then size."""
    runs = {run.run_id: run for run in counted(store)}
    latest = {
        event.run_id: event.data
        for event in store.events()
        if event.kind == "probe" and event.data["probe"] == probe and event.run_id in runs
    }
    found = [(runs[run_id], data) for run_id, data in latest.items()]
    return sorted(found, key=lambda pair: (pair[0].model, pair[0].wrapper, pair[0].params_total, pair[0].run_id))


def name_of(run: Run) -> str:
    return f"{run.model} ({run.wrapper}, {run.params_total:,})"

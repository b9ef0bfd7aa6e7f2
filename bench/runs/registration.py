"""Runs that were made before their architecture was registered, by the path of its file: they become its results.

No row changes. Such a run gets a second row under the architecture's name, which is part of a run's identity, and an
event on the first row says that the second takes its place. Nothing here imports torch.
"""

import shlex
from contextlib import suppress
from dataclasses import replace

from bench.catalog.names import draft_name
from db import identity
from db.schema import OPEN, Run
from db.store import Store, new_event


def take_over_drafts(model: str, source_hash: str, store: Store) -> None:
    """Make results of a registered architecture of those that its file gave as a draft.

    Runs that were repeated or retracted are left as they are, and so are those without a result.

    Args:
        model: the architecture's name. Nothing is done for that of a draft.
        source_hash: SHA-256 of its file.
    """
    if "@" in model:
        return
    runs = store.runs(model=draft_name(model, source_hash))
    same = [run for run in runs if run.source_hash == source_hash and run.status != OPEN]
    for run in store.standing().counted(same) if same else []:
        _take_over(run, model, store)


def _take_over(draft: Run, model: str, store: Store) -> None:
    """Record a draft's run as the architecture's, unless that has a result of its own, and withdraw the draft's.

    A process that is killed meanwhile leaves nothing that the next call does not finish.
    """
    row = _renamed(draft, model, store)
    if store.result(row.run_id) is None:
        with suppress(OSError):  # moved already, or not on this machine
            (store.artifacts / draft.run_id).rename(store.artifacts / row.run_id)
        made_as = new_event("registered", f"made as {draft.model}, from the same file", {"draft": draft.run_id})
        events = [made_as, *map(replace, store.events(draft.run_id))]
        store.record(row, [replace(point) for point in store.curves(draft)], events)
    store.add_event(draft, "superseded", f"its file is registered as {model}", {"by": row.run_id})


def _renamed(draft: Run, model: str, store: Store) -> Run:
    words = shlex.split(draft.command)
    words[words.index("--model") + 1] = model
    parts = {name: getattr(draft, name) for name in identity.PARTS} | {"model": model}
    run_id = identity.run_id(parts)
    return replace(
        draft, run_id=run_id, model=model, command=shlex.join(words), attempt=store.attempts(run_id) + 1, corrects=None
    )
